"""Row 2: a file of commands added in one go, against SQLite writing the same rows into the same tables and indexes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import peers
from harness import Bench, Row, Store, medians, per_second

import queuectl

SCHEMA = Path(queuectl.__file__).parent / "store" / "schema" / "0001.sql"
TABLES = ("jobs", "history")


def rows(bench: Bench) -> Iterator[Row]:
    n = bench.pick(200_000, 50_000)
    lines = bench.folder / "commands"
    lines.write_text("".join(f"echo {i}\n" for i in range(n)))
    sample = bench.store("bulk")
    sample.seconds("enqueue", "--from", str(lines))
    content = {table: _rows(sample, table) for table in TABLES}
    works = {
        "ours": lambda: bench.store("bulk").seconds("enqueue", "--from", str(lines)),
        "floor": lambda: raw(bench.folder / "raw.db", content),
    }
    found = medians(3, works)
    others = {name: measure for name, measure in peers.ADDS.items() if name != "at"}
    yield Row(
        work=f"add {n:,} jobs from a file",
        ours=per_second(n / found["ours"]),
        floor=f"raw SQLite {per_second(n / found['floor'])}",
        peers=peers.each(bench, others, lambda seconds: per_second(1 / seconds)),
        ratio=found["floor"] / found["ours"],
        target=0.4,
        at_least=True,
    )
    sample.remove()


def _rows(store: Store, table: str) -> tuple[str, list[tuple[object, ...]]]:
    """An insert statement of the stored columns, and every row."""
    names = [str(row[1]) for row in store.query(f"pragma table_info({table})")]  # generated columns are not listed
    statement = f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"
    return statement, store.query(f"select {', '.join(names)} from {table}")


def raw(path: Path, content: dict[str, tuple[str, list[tuple[object, ...]]]]) -> float:
    """The least SQLite needs for these rows, durable, in one transaction, opened and closed."""
    for leftover in path.parent.glob(path.name + "*"):
        leftover.unlink()
    db = apsw.Connection(str(path))
    db.execute(
        "pragma auto_vacuum = incremental; pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 0"
    )
    db.execute(SCHEMA.read_text(encoding="utf-8"))
    begun = time.perf_counter()
    db.execute("begin immediate")
    for statement, values in content.values():
        db.executemany(statement, values)
    db.execute("commit")
    db.close()
    took = time.perf_counter() - begun
    os.unlink(path)
    return took
