"""Processor time of processes and of all that they have started."""

from __future__ import annotations

import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def processes() -> dict[int, tuple[int, float, float]]:
    """Of each process its parent, its own processor seconds, and those of its children that have ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            own, waited = int(words[11]) + int(words[12]), int(words[13]) + int(words[14])
            found[int(entry.name)] = (int(words[1]), own / TICK, waited / TICK)
    return found


def tree_cpu_s(roots: list[int]) -> float:
    """Of these processes and all below them, also of those that have ended."""
    table = processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in table.items():
        children.setdefault(parent, []).append(pid)
    total, left = 0.0, [pid for pid in roots if pid in table]
    while left:
        pid = left.pop()
        total += table[pid][1] + table[pid][2]
        left += children.get(pid, [])
    return total
