"""The command line as outside scripts see it: real processes, nothing but arguments, output and exit status."""
