"""Row 7: `status`, and `list` of a page, behind a million finished jobs, against the same commands on an empty queue."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Row, Store, medians, ms

# A million real runs would take a quarter of an hour; the rows that they leave behind are written directly.
FINISH = """
begin immediate;
update jobs set stage = 'completed', state = 'completed', attempts = 1, run = 1, version = 3, due_us = null,
  started_us = created_us + 1000, finished_us = created_us + 3000, updated_us = created_us + 3000, exit_code = 0;
insert into attempts (job, run, worker, pid, started_us, ended_us, exit_code, reason, cpu_s, memory_max, log_start, log_end)
  select number, 1, 1, 1, started_us, finished_us, 0, null, 0.001, 1000000, 80, 80 from jobs;
insert into history (job, at_us, event, stage, run, actor)
  select number, started_us, 'start', 'running', 1, 'worker 1' from jobs;
insert into history (job, at_us, event, stage, run, actor)
  select number, finished_us, 'finish', 'completed', 1, 'worker 1' from jobs;
update counts set n = 0;
insert into counts (queue, state, stage, n) select queue, 'completed', 'completed', count(*) from jobs group by queue;
update lanes set ready = 0;
insert into totals (queue, succeeded, duration_us, waited_us)
  select queue, count(*), 2000 * count(*), 1000 * count(*) from jobs group by queue;
commit"""


def finished(bench: Bench, waiting: Store) -> Store:
    store = bench.store("finished", waiting)
    db = store.open()
    db.execute(FINISH)
    db.close()
    store.settle()
    return store


def rows(bench: Bench, waiting: Store, n: int) -> Iterator[Row]:
    full, empty = finished(bench, waiting), bench.store("empty")
    for words in (("status",), ("list",)):
        works = {"full": lambda words=words: full.seconds(*words), "empty": lambda words=words: empty.seconds(*words)}
        for work in works.values():
            work()
        found = medians(bench.pick(40, 15), works)
        work = f"{words[0]} with {n:,} finished" if words[0] == "status" else f"list (newest 50) with {n:,} finished"
        yield Row(
            work=work, ours=ms(found["full"]), floor=f"empty {ms(found['empty'])}", ratio=found["full"] / found["empty"], target=1.5
        )
    full.remove()
