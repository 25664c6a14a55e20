"""Folders of packets, as Filespooler lays them out: numbers and locks, headers, decoders, what a command sees of a packet."""
