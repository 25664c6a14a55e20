"""What PostgreSQL says otherwise than SQLite: for each shared statement that cannot be as it is, the one to run instead.

Where SQLite has one writer at a time, here rows are locked: those to be changed before they are decided on, those to be
claimed or made ready with `skip locked`, so that workers pass each other by.
"""

from __future__ import annotations

from . import sql

FENCED = "QU001"  # the code of our own refusal
FENCE = f"""
create or replace function fence() returns trigger language plpgsql as
$$ begin raise exception using errcode = '{FENCED}', message = tg_argv[0]; end $$"""
NOW_US = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"

# For each lane one look at the index: without the `offset` all that is ready would be read, to be joined.
SOME = "exists (select 1 from jobs where lane = lanes.id and stage = 'ready' offset 0)"

OWN: dict[str, str] = {
    sql.VERSION: sql.VERSION + " for update",
    sql.EVERYDAY_LANE: sql.EVERYDAY_LANE + " for key share",
    sql.ADD_LANE: sql.ADD_LANE.replace(
        " returning",
        # Made by somebody else in this moment: wait for them and take theirs.
        " on conflict (queue, needs, limit_key) where first is null do update set queue = excluded.queue returning",
    ),
    sql.OPEN_LANES: """
select lanes.id, lanes.queue, lanes.needs, lanes.limit_key, queues.parallel, queues.interval_us, queues.next_us,
  limits.parallel, limits.interval_us, limits.next_us
from lanes join queues on queues.name = lanes.queue left join limits on limits.key = lanes.limit_key
where lanes.adder is null and queues.paused = 0""",
    sql.LIMITED_WAIT: f"""
select 1 from lanes join queues on queues.name = lanes.queue left join limits on limits.key = lanes.limit_key
where (queues.parallel is not null or limits.parallel is not null)
  and {SOME} limit 1""",
    sql.LANES_READY: f"""
select queue, needs, 1 from lanes
where adder is null and {SOME}""",
    sql.BUSY_IN_QUEUE: """
with of as (select cast(? as text) as queue)
select (select coalesce(sum(n), 0) from counts, of where counts.queue = of.queue and stage in ('claimed', 'running'))
  + (select coalesce(sum(n), 0) from deltas, of where deltas.queue = of.queue and stage in ('claimed', 'running'))""",
    # Lines get their numbers before their commits, which overtake each other: those of the last moment are not followed yet.
    sql.NEWEST_LINE: f"""
select coalesce((select id from history where at_us < {NOW_US} - 250000 order by id desc limit 1), 0)""",
    sql.READY_LANES: f"""
select id, queue from lanes
where adder is null and {SOME} limit 1000""",
    sql.ENV: sql.ENV + " for key share",
    sql.ADD_ENV: sql.ADD_ENV.replace(" returning", " on conflict (digest) do update set digest = excluded.digest returning"),
    sql.DUE_SCHEDULES: sql.DUE_SCHEDULES + " for update skip locked",
    sql.SCHEDULE: sql.SCHEDULE + " for update",
    sql.DUE: sql.DUE + " for update of jobs skip locked",
    sql.REST_KEY: sql.REST_KEY.replace("max(", "greatest("),
    sql.TOTALS: """
select queue, sum(succeeded), sum(failed), sum(duration_us), sum(waited_us) from (
  select * from totals
  union all select queue, succeeded, failed, duration_us, waited_us from deltas where state is null) as lines
group by queue order by queue""",
    sql.MINUTES: """
select minute, sum(succeeded), sum(failed) from (
  select * from minutes union all select minute, succeeded, failed from deltas where minute is not null) as lines
where minute >= ? group by minute""",
}

VERSIONS = "select number, version from jobs where number = any(?) order by number for update"
COUNTS = """
select queue, state, stage, sum(n) from (
  select * from counts union all select queue, state, stage, n from deltas where state is not null) as lines
group by queue, state, stage having sum(n) <> 0 order by queue"""
ADD_DELTAS = """
insert into deltas (queue, state, stage, n, minute, succeeded, failed, duration_us, waited_us)
select * from unnest(
  ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])"""
FOLD_DELTAS = """
with gone as (delete from deltas returning *),
kept as (
  insert into counts (queue, state, stage, n)
  select queue, state, stage, sum(n) from gone where state is not null group by 1, 2, 3 having sum(n) <> 0 order by 1, 2, 3
  on conflict (queue, state, stage) do update set n = counts.n + excluded.n),
timed as (
  insert into minutes (minute, succeeded, failed)
  select minute, sum(succeeded), sum(failed) from gone where minute is not null group by 1 order by 1
  on conflict (minute) do update set succeeded = minutes.succeeded + excluded.succeeded, failed = minutes.failed + excluded.failed)
insert into totals (queue, succeeded, failed, duration_us, waited_us)
select queue, sum(succeeded), sum(failed), sum(duration_us), sum(waited_us) from gone where state is null group by 1 order by 1
on conflict (queue) do update set succeeded = totals.succeeded + excluded.succeeded,
  failed = totals.failed + excluded.failed, duration_us = totals.duration_us + excluded.duration_us,
  waited_us = totals.waited_us + excluded.waited_us"""

# Lanes of piles and of keys, once nothing of them is ready; locked first, so that an adder who has found one keeps it.
IDLE_LANES = """
select id from lanes where adder is null and (first is not null or limit_key <> '')
  and not exists (select 1 from jobs where lane = lanes.id and stage = 'ready') limit 1000 for update skip locked"""
DROP_LANES = """
delete from lanes where id = any(?) and not exists (select 1 from jobs where lane = lanes.id and stage = 'ready')"""

# Pieces of lanes, from a position on up to a priority, in the order in which their jobs start. Whoever claims at the same time
# passes these by. A row that is locked stays in its place, by which it is found again sooner than by an index.
READY = f"""
select j.* from unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[]) as l (lane, turned, number, above, most)
cross join lateral (
  select {sql.JOB}, ctid as place from jobs
  where jobs.lane = l.lane and jobs.stage = 'ready' and (-jobs.priority, jobs.number) > (l.turned, l.number)
    and -jobs.priority < l.above and jobs.number <= ?
  order by -jobs.priority, jobs.number limit l.most for update skip locked) as j"""
SOME_READY = "select 1 from jobs where lane = any(?) and stage = 'ready' and number <> all(?) and number <= ? limit 1"
LOCK_QUEUES = """
select name, parallel, interval_us, next_us from queues where name = any(?) and paused = 0 order by name for update"""
LOCK_KEYS = "select key, parallel, interval_us, next_us from limits where key = any(?) order by key for update"
CLAIM_RUNNING = """
update jobs set stage = 'running', state = 'processing', worker = ?, run = run + 1, version = version + 1, updated_us = ?,
  started_us = ?, finished_us = null, exit_code = null, reason = null
where ctid = any(?::tid[])"""
CLAIM_AHEAD = """
update jobs set stage = 'claimed', worker = ?, run = run + 1, version = version + 1, updated_us = ? where ctid = any(?::tid[])"""
CLAIM_ATTEMPTS = """
insert into attempts (job, run, worker, started_us, log_start) select *, ?, ?, 0 from unnest(?::bigint[], ?::bigint[])"""
CLAIM_HISTORY = """
insert into history (job, at_us, event, stage, run, actor)
select job, ?, 'start', 'running', run, ? from unnest(?::bigint[], ?::bigint[]) as t (job, run)"""

# ---------------------------------------------------------------- leases

# A lease of 0 is one that was taken away: nothing renews it.
RENEW = f"update workers set lease_us = {NOW_US} + ? where id = ? and lease_us > 0 returning lease_us"
HOLDS = f"select lease_us > {NOW_US} from workers where id = ? and lease_us > 0 for key share"
LOST = f"""
select id from workers where lease_us > 0 and lease_us < {NOW_US} - ? and boot_id <> 'restored' and not (id = any(?))
order by id for update skip locked"""
SOME_LOST = f"""
select 1 from workers where lease_us > 0 and lease_us < {NOW_US} and boot_id <> 'restored' and not (id = any(?)) limit 1"""
# A client that froze in the middle of what it sends keeps its locks: no timeout of the server's counts then.
END_SILENT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and usename = current_user and application_name = 'queuectl' and pid <> pg_backend_pid()
  and state <> 'idle' and wait_event = 'ClientRead' and xact_start < clock_timestamp() - interval '30 seconds'"""
# Whoever claims keeps the row from this until the commit, which may be on its way when the worker dies.
LOCK_WORKER = "select 1 from workers where id = ? for update"
TAKE_LEASE = "update workers set lease_us = 0 where id = ?"
SINCE_START = "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())"
