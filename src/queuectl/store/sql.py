"""The statements that both engines share: named, lower case, bound parameters only."""

from __future__ import annotations

from ..model import Attempt, HistoryEntry, Job, Schedule, WorkerRow

JOB = ", ".join(Job.fields)
ATTEMPT = ", ".join(Attempt.fields)
HISTORY = ", ".join(HistoryEntry.fields)
WORKER = ", ".join(WorkerRow.fields)
ID = "coalesce(jobs.name, cast(jobs.number as text))"  # as people know a job

INSERT_JOB = f"insert into jobs ({JOB}) values ({', '.join('?' * len(Job.fields))})"
INSERT_HISTORY = "insert into history (job, at_us, event, stage, run, actor, note) values (?, ?, ?, ?, ?, ?, ?)"

# What a change may write. A job is only ever changed through the version it was decided on.
MUTABLE = (
    *("lane", "state", "stage", "priority", "attempts", "max_retries", "interruptions", "version", "timeout_s"),
    *("label", "due_us", "updated_us", "started_us", "finished_us", "exit_code", "reason", "worker", "stop", "awaits"),
)
UPDATE_JOB = f"update jobs set {', '.join(f'{c} = ?' for c in MUTABLE)} where number = ? and version = ?"
# What an edit may write besides, of a job that waits.
EDITABLE = ("queue", "kind", "command", "work", "needs", "limit_key", "run_at_us")
EDIT_JOB = f"update jobs set {', '.join(f'{c} = ?' for c in EDITABLE)} where number = ? and version = ?"

ADD_DEPENDENCY = "insert into dependencies (target, job, condition) values (?, ?, ?)"
SOMETHING_AWAITED = "select 1 from dependencies where decided = 0 limit 1"
AWAITED_BY = "select job, condition from dependencies where target = ? and decided = 0 order by job"
DECIDED = "update dependencies set decided = 1 where target = ? and decided = 0"
AWAITS_NO_MORE = "update dependencies set decided = 1 where job = ? and decided = 0"
DEPENDENCIES = "select target, condition, decided from dependencies where job = ? order by target"
DEPENDANTS = "select job, condition, decided from dependencies where target = ? order by job"

VERSION = "select number, version from jobs where number = ?"
VERSIONS = "select number, version from jobs where number in ({numbers})"

JOB_BY_NAME = f"select {JOB} from jobs where name = ?"
JOB_BY_NUMBER = f"select {JOB} from jobs where number = ?"
JOB_BY_KEY = f"select {JOB} from jobs where queue = ? and key = ?"
NUMERIC_NAMES = "select 1 from jobs where name >= '0' and name < ':' limit 1"

TAKE_NUMBERS = "update meta set value = value + ? where key = 'next_number' returning value"
META = "select value from meta where key = ?"
SET_META = "insert into meta (key, value) values (?, ?) on conflict (key) do nothing"

EVERYDAY_LANE = "select id from lanes where queue = ? and needs = ? and limit_key = ? and first is null"
ADD_LANE = "insert into lanes (queue, needs, limit_key, adder, first) values (?, ?, ?, ?, ?) returning id"
ADD_QUEUE = "insert into queues (name) values (?) on conflict (name) do nothing"
CLOSED_LANES = "select id from lanes where adder is not null"
OPEN_LANES = """
select lanes.id, lanes.queue, lanes.needs, lanes.limit_key, queues.parallel, queues.interval_us, queues.next_us,
  limits.parallel, limits.interval_us, limits.next_us
from lanes join queues on queues.name = lanes.queue left join limits on limits.key = lanes.limit_key
where lanes.ready > 0 and lanes.adder is null and not queues.paused"""
LIMITED_WAIT = """
select 1 from lanes join queues on queues.name = lanes.queue left join limits on limits.key = lanes.limit_key
where lanes.ready > 0 and (queues.parallel is not null or limits.parallel is not null) limit 1"""
# Up to where the history may be followed: no line below it is still to come.
NEWEST_LINE = "select max(id) as followed from history"
READY_LANES = "select id, queue from lanes where ready > 0 and adder is null limit 1000"
LANES_READY = "select queue, needs, ready from lanes where ready > 0 and adder is null"
QUEUE_STARTED = "update queues set next_us = ? where name = ?"
KEY_STARTED = "update limits set next_us = ? where key = ?"
LIMITS = "select key, parallel, interval_us, next_us from limits order by key"
SET_LIMIT = """
insert into limits (key, parallel, interval_us) values (?, ?, ?)
on conflict (key) do update set parallel = excluded.parallel, interval_us = excluded.interval_us"""
REST_KEY = """
insert into limits (key, next_us) values (?, ?)
on conflict (key) do update set next_us = max(coalesce(limits.next_us, 0), excluded.next_us)"""
FORGET_LIMITS = "delete from limits where parallel is null and interval_us is null and coalesce(next_us, 0) < ?"
BUSY_WITH_KEY = "select count(*) from jobs where limit_key = ? and stage in ('claimed', 'running')"
BUSY_IN_QUEUE = "select coalesce(sum(n), 0) from counts where queue = ? and stage in ('claimed', 'running')"
READY_UNTIL = f"select {JOB} from jobs where lane = ? and stage = 'ready' and number <= ? order by priority desc, number limit ?"
READY_IN_LANE = f"select {JOB} from jobs where lane = ? and stage = 'ready' order by priority desc, number limit ?"
CLAIM_RUNNING = """
update jobs set stage = 'running', state = 'processing', worker = ?, run = run + 1, version = version + 1, updated_us = ?,
  started_us = ?, finished_us = null, exit_code = null, reason = null
where number = ?"""
CLAIM_AHEAD = """
update jobs set stage = 'claimed', worker = ?, run = run + 1, version = version + 1, updated_us = ?
where number = ?"""
DUE = """
select number, queue, needs, limit_key, state, lane from jobs where stage = 'later' and due_us <= ?
  and lane not in (select id from lanes where adder is not null)
order by due_us limit ?"""
MAKE_READY = "update jobs set stage = 'ready', due_us = null, version = version + 1, lane = ? where number = ?"
# Delays and backoffs are spans of time, a run_at is a moment: only the first move when somebody sets the clock.
SHIFT_SPANS = (
    """
update jobs set due_us = due_us + ?, version = version + 1
where due_us is not null and stage in ('later', 'held') and (run_at_us is null or due_us <> run_at_us)""",
    "update queues set next_us = next_us + ? where next_us is not null",
    "update limits set next_us = next_us + ? where next_us is not null",
)
PUT_META = "insert into meta (key, value) values (?, ?) on conflict (key) do update set value = excluded.value"
NEXT_DUE = """
select min(at) from (
  select min(due_us) as at from jobs where stage = 'later'
  union all select min(next_us) from schedules where paused = 0) as moments"""
SCHEDULE_COLUMNS = ", ".join(Schedule.fields)
SCHEDULES = f"select {SCHEDULE_COLUMNS} from schedules order by name"
SCHEDULE = f"select {SCHEDULE_COLUMNS} from schedules where name = ?"
DUE_SCHEDULES = f"select {SCHEDULE_COLUMNS} from schedules where paused = 0 and next_us <= ? order by next_us limit ?"
ADD_SCHEDULE = """
insert into schedules (name, cron, zone, overlap, catch_up, next_us, env, template) values (?, ?, ?, ?, ?, ?, ?, ?)"""
SCHEDULE_FIRED = "update schedules set next_us = ?, fired = ?, skipped = ?, job = ? where name = ?"
PAUSE_SCHEDULE = "update schedules set paused = 1, note = ? where name = ?"
RESUME_SCHEDULE = "update schedules set paused = 0, note = null, next_us = ? where name = ?"
REMOVE_SCHEDULE = "delete from schedules where name = ?"
HAND_OVER = "update jobs set worker = ?, version = version + 1 where number = ?"
STOPPING = "select stopping from workers where id = ?"
STOPS_ASKED = "select number, run, stop from jobs where worker = ? and stop is not null"

ATTEMPT_STARTED = "insert into attempts (job, run, worker, started_us, log_start) values (?, ?, ?, ?, 0)"
ATTEMPT_WHOLE = """
insert into attempts (job, run, worker, pid, started_us, ended_us, exit_code, reason, cpu_s, memory_max, log_start, log_end)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ATTEMPT_ENDED = f"""{ATTEMPT_WHOLE}
on conflict (job, run) do update set pid = excluded.pid, started_us = excluded.started_us, ended_us = excluded.ended_us,
  exit_code = excluded.exit_code, reason = excluded.reason, cpu_s = excluded.cpu_s, memory_max = excluded.memory_max,
  log_start = excluded.log_start, log_end = excluded.log_end"""
ATTEMPT_TOLD = "update attempts set pid = ?, log_start = ? where job = ? and run = ? and ended_us is null"
# Claimed as running and given back before any process was told of: no run, and the log's next lines are not its output.
ATTEMPT_NOT_BEGUN = "delete from attempts where job = ? and run = ? and pid is null and ended_us is null"
# Output kept in the store; nothing is written once the job has another run.
PUT_OUTPUT = """
insert into output (job, stream, start, body, size) select ?, ?, ?, ?, ?
where exists (select 1 from jobs where number = ? and run = ?)
on conflict (job, stream, start) do update set body = excluded.body, size = excluded.size"""
OUTPUT = "select start, body from output where job = ? and stream = ? order by start"
FORGET_OUTPUT = "delete from output where job = ?"
ATTEMPT_CUT = "update attempts set ended_us = ?, reason = ? where job = ? and run = ? and ended_us is null"

ADD_COUNT = """
insert into counts (queue, state, stage, n) values (?, ?, ?, ?)
on conflict (queue, state, stage) do update set n = counts.n + excluded.n"""
ADD_LANE_READY = "update lanes set ready = ready + ? where id = ?"
DROP_EMPTY_LANES = """
delete from lanes where ready <= 0 and adder is null and (first is not null or limit_key <> '')"""
ADD_TOTALS = """
insert into totals (queue, succeeded, failed, duration_us, waited_us) values (?, ?, ?, ?, ?)
on conflict (queue) do update set succeeded = totals.succeeded + excluded.succeeded,
  failed = totals.failed + excluded.failed, duration_us = totals.duration_us + excluded.duration_us,
  waited_us = totals.waited_us + excluded.waited_us"""

ADD_MINUTE = """
insert into minutes (minute, succeeded, failed) values (?, ?, ?)
on conflict (minute) do update set succeeded = minutes.succeeded + excluded.succeeded, failed = minutes.failed + excluded.failed"""
MINUTES = "select minute, succeeded, failed from minutes where minute >= ?"
OLD_MINUTE = "select 1 from minutes where minute < ? limit 1"
FORGET_MINUTES = "delete from minutes where minute < ?"

TOTALS = "select queue, succeeded, failed, duration_us, waited_us from totals order by queue"
RECENT_ENDS = "select ended_us, started_us, exit_code, reason from attempts where ended_us is not null order by id desc limit ?"
ENV = "select id from envs where digest = ?"
ADD_ENV = "insert into envs (digest, body) values (?, ?) returning id"
FORGET_ENV = """
delete from envs where id = ? and not exists (select 1 from jobs where env = ?)
  and not exists (select 1 from spools where env = ?) and not exists (select 1 from schedules where env = ?)"""
HELD_BY_SPOOLS = "select job from spools where job is not null"
