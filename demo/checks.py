"""What the demo must have done: every result is read back and compared; a sentence each, and whether it holds."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs import BACKOFF_S, DELAY_S

Found = dict[str, Any]  # a row of table `jobs`, and its runs' exact times
Check = tuple[str, bool]


def read(database: Path) -> dict[str, Found]:
    """All jobs by id, read with Python's own sqlite3: the store is an ordinary database that anybody may look into."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    jobs: dict[str, Found] = {row["id"]: {**dict(row), "runs": []} for row in db.execute("select * from jobs")}
    runs = db.execute("select jobs.id, a.started_us, a.ended_us from attempts a join jobs on number = job order by job, a.run")
    for job, started_us, ended_us in runs:
        jobs[job]["runs"].append((started_us / 1e6, ended_us / 1e6))
    db.close()
    return jobs


def results(folder: Path, packed: dict[str, str]) -> Check:
    """`packed`: target → source. Everything unpacks to what went in, and the checksum beside it is right."""
    wrong = [target for target, source in packed.items() if not _is_intact(folder / target, folder / source)]
    return f"{len(packed)} files unpack to exactly what went in{', except ' + ', '.join(wrong) if wrong else ''}", not wrong


def _is_intact(target: Path, source: Path) -> bool:
    content = source.read_bytes()
    try:
        packed, digest = Path(f"{target}.gz").read_bytes(), Path(f"{target}.sha256").read_text()
    except FileNotFoundError:
        return False
    return gzip.decompress(packed) == content and hashlib.sha256(content).hexdigest() == digest


def behaviour(jobs: dict[str, Found], added: int) -> Iterator[Check]:
    """`jobs` by id, as they were before anything was retried by hand."""
    states = [job["state"] for job in jobs.values()]
    yield (
        f"all {added} jobs ended: {states.count('completed')} completed, {states.count('dead')} dead",
        (len(jobs) == added and states.count("dead") == 2 and states.count("completed") == added - 2),
    )
    plain = [job for job in jobs.values() if job["label"] in ("pack", "urgent")]
    yield "each job that can succeed ran exactly once", all(job["run"] == job["attempts"] == 1 for job in plain)
    yield "urgent jobs, added last, started first, by priority", _in_order(jobs)
    yield "jobs of equal priority started in the order they were added", _first_in_first_out(jobs)
    flaky = [job for job in jobs.values() if job["label"] == "flaky"]
    yield (
        "flaky jobs failed once and completed on their second run",
        all((j["state"], j["attempts"]) == ("completed", 2) for j in flaky),
    )
    yield f"and waited {BACKOFF_S} s between", all(_pause(job) >= BACKOFF_S for job in flaky)
    later = jobs["later"]
    yield (
        f"the delayed job started no earlier than {DELAY_S} s after it was added",
        _start(later, 0) - later["created_us"] / 1e6 >= DELAY_S,
    )
    endless = jobs["endless"]
    yield "the endless job was ended by its timeout", (endless["state"], endless["reason"]) == ("dead", "timeout")
    yield (
        "the job without its input is in the dead-letter queue after two runs",
        (jobs["report"]["state"], jobs["report"]["attempts"]) == ("dead", 2),
    )


def _start(job: Found, run: int) -> float:
    started, _ = job["runs"][run]
    return float(started)


def _pause(job: Found) -> float:
    _, ended = job["runs"][0]
    return _start(job, 1) - float(ended)


def _in_order(jobs: dict[str, Found]) -> bool:
    urgent = [job for job in jobs.values() if job["label"] == "urgent"]
    starts = [_start(job, 0) for job in sorted(urgent, key=lambda job: -job["priority"])]
    return starts == sorted(starts) and starts[-1] <= min(_start(job, 0) for job in jobs.values() if job["label"] == "pack")


def _first_in_first_out(jobs: dict[str, Found]) -> bool:
    starts = [_start(job, 0) for job in sorted(jobs.values(), key=lambda job: job["number"]) if job["label"] == "pack"]
    return starts == sorted(starts)
