"""`python -m queuectl.compat.fspl`."""

from queuectl.compat.fspl import entry

entry()
