"""The statements that both engines share: named, lower case, bound parameters only."""

from __future__ import annotations

from ..model import Attempt, HistoryEntry, Job, WorkerRow

JOB = ", ".join(Job.fields)
ATTEMPT = ", ".join(Attempt.fields)
HISTORY = ", ".join(HistoryEntry.fields)
WORKER = ", ".join(WorkerRow.fields)

INSERT_JOB = f"insert into jobs ({JOB}) values ({', '.join('?' * len(Job.fields))})"
INSERT_HISTORY = "insert into history (job, at_us, event, stage, run, actor, note) values (?, ?, ?, ?, ?, ?, ?)"

# What a change may write. A job is only ever changed through the version it was decided on.
MUTABLE = (
    *("lane", "state", "stage", "priority", "attempts", "max_retries", "interruptions", "version", "timeout_s"),
    *("label", "due_us", "updated_us", "started_us", "finished_us", "exit_code", "reason", "worker", "stop"),
)
UPDATE_JOB = f"update jobs set {', '.join(f'{c} = ?' for c in MUTABLE)} where number = ? and version = ?"

VERSION = "select number, version from jobs where number = ?"
VERSIONS = "select number, version from jobs where number in ({numbers})"

JOB_BY_NAME = f"select {JOB} from jobs where name = ?"
JOB_BY_NUMBER = f"select {JOB} from jobs where number = ?"
JOB_BY_KEY = f"select {JOB} from jobs where queue = ? and key = ?"
NUMERIC_NAMES = "select 1 from jobs where name >= '0' and name < ':' limit 1"

TAKE_NUMBERS = "update meta set value = value + ? where key = 'next_number' returning value"
META = "select value from meta where key = ?"
SET_META = "insert into meta (key, value) values (?, ?) on conflict (key) do nothing"

LANE_OF_QUEUE = "select lane from queues where name = ?"
ADD_LANE = "insert into lanes (queue, adder, first) values (?, ?, ?) returning id"
ADD_QUEUE = "insert into queues (name, lane) values (?, ?)"
CLOSED_LANES = "select id from lanes where adder is not null"
OPEN_LANES = """
select lanes.id, lanes.queue, queues.parallel
from lanes join queues on queues.name = lanes.queue
where lanes.ready > 0 and lanes.adder is null and not queues.paused"""
LIMITED_WAIT = """
select 1 from queues join lanes on lanes.queue = queues.name where queues.parallel is not null and lanes.ready > 0 limit 1"""
BUSY_IN_QUEUE = "select coalesce(sum(n), 0) from counts where queue = ? and stage in ('claimed', 'running')"
READY_IN_LANE = f"select {JOB} from jobs where lane = ? and stage = 'ready' order by priority desc, number limit ?"
CLAIM_RUNNING = """
update jobs set stage = 'running', state = 'processing', worker = ?, run = run + 1, version = version + 1, updated_us = ?,
  started_us = ?, finished_us = null, exit_code = null, reason = null
where number = ?"""
CLAIM_AHEAD = """
update jobs set stage = 'claimed', worker = ?, run = run + 1, version = version + 1, updated_us = ?
where number = ?"""
PROMOTE_DUE = """
update jobs set stage = 'ready', due_us = null, version = version + 1,
  lane = (select lane from queues where name = jobs.queue)
where number in (
  select number from jobs where stage = 'later' and due_us <= ?
    and lane not in (select id from lanes where adder is not null)
  order by due_us limit ?)
returning queue, state, lane"""
# Delays and backoffs are spans of time, a run_at is a moment: only the first move when somebody sets the clock.
SHIFT_DUE = """
update jobs set due_us = due_us + ?, version = version + 1
where due_us is not null and stage in ('later', 'held') and (run_at_us is null or due_us <> run_at_us)"""
PUT_META = "insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value"
NEXT_DUE = "select min(due_us) from jobs where stage = 'later'"
HAND_OVER = "update jobs set worker = ?, version = version + 1 where number = ?"
STOPS_ASKED = "select number, run, stop from jobs where worker = ? and stop is not null"

ATTEMPT_STARTED = "insert into attempts (job, run, worker, started_us, log_start) values (?, ?, ?, ?, 0)"
ATTEMPT_ENDED = """
insert into attempts (job, run, worker, pid, started_us, ended_us, exit_code, reason, cpu_s, memory_max, log_start, log_end)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (job, run) do update set pid = excluded.pid, started_us = excluded.started_us, ended_us = excluded.ended_us,
  exit_code = excluded.exit_code, reason = excluded.reason, cpu_s = excluded.cpu_s, memory_max = excluded.memory_max,
  log_start = excluded.log_start, log_end = excluded.log_end"""
ATTEMPT_TOLD = "update attempts set pid = ?, log_start = ? where job = ? and run = ? and ended_us is null"
# Claimed as running and given back before any process was told of: no run, and the log's next lines are not its output.
ATTEMPT_NOT_BEGUN = "delete from attempts where job = ? and run = ? and pid is null and ended_us is null"
ATTEMPT_CUT = "update attempts set ended_us = ?, reason = ? where job = ? and run = ? and ended_us is null"

ADD_COUNT = """
insert into counts (queue, state, stage, n) values (?, ?, ?, ?)
on conflict (queue, state, stage) do update set n = counts.n + excluded.n"""
ADD_LANE_READY = "update lanes set ready = ready + ? where id = ?"
DROP_EMPTY_LANES = """
delete from lanes where ready <= 0 and adder is null and id not in (select lane from queues)"""
ADD_TOTALS = """
insert into totals (queue, succeeded, failed, duration_us, waited_us) values (?, ?, ?, ?, ?)
on conflict (queue) do update set succeeded = totals.succeeded + excluded.succeeded,
  failed = totals.failed + excluded.failed, duration_us = totals.duration_us + excluded.duration_us,
  waited_us = totals.waited_us + excluded.waited_us"""

RECENT_ENDS = "select ended_us, started_us, exit_code, reason from attempts where ended_us is not null order by id desc limit ?"
