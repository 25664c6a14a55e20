"""Row 1: one `queuectl enqueue -- true` against a bare start of the same Python, with an empty queue and a full one."""

from __future__ import annotations

from collections.abc import Iterator

import peers
from harness import PYTHON, Bench, Row, Store, medians, ms


def rows(bench: Bench, waiting: Store, n: int) -> Iterator[Row]:
    empty, behind = bench.store("empty"), bench.store("behind", waiting)
    works = {
        "floor": lambda: bench.seconds([PYTHON, "-c", "pass"]),
        "empty": lambda: empty.seconds("enqueue", "--", "true"),
        "behind": lambda: behind.seconds("enqueue", "--", "true"),
    }
    for work in works.values():
        work()  # once outside the count: file caches
    found = medians(bench.pick(60, 25), works)
    floor = ms(found["floor"])
    others = peers.each(bench, peers.ADDS, ms)
    for name, work in (("empty", "one enqueue, empty queue"), ("behind", f"one enqueue behind {n:,} waiting")):
        ratio = found[name] / found["floor"]
        yield Row(
            work=work,
            ours=ms(found[name]),
            floor=f"python {floor}",
            peers=others if name == "empty" else {},
            ratio=ratio,
            target=2.2,
        )
    behind.remove()
