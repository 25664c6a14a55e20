"""Doors: ways into the queue other than its command line. A door translates and waits; it decides nothing about jobs."""
