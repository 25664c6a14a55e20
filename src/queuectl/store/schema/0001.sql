-- The first schema. Times are whole microseconds since 1970; the columns ending in _at, and the others that are
-- `generated`, show the same in the words of the documents and cost nothing to write.

create table meta (key text primary key, value) without rowid;

create table jobs (
  number integer primary key,
  name text,                      -- the id somebody chose; null: the number is the id
  queue text not null,
  lane integer not null,          -- the run of ready jobs it stands in, see `lanes`
  kind text not null,             -- shell | argv | call | function
  command text not null,          -- as a person reads it; of kind shell as it is run
  work text,                      -- JSON: the words of an argv, a call, a function with its arguments
  state text not null,            -- what users see
  stage text not null,            -- where it stands inside, see lifecycle.py
  priority integer not null,
  attempts integer not null,
  max_retries integer not null,
  interruptions integer not null,
  run integer not null,           -- number of the latest run: never goes back
  version integer not null,
  timeout_s real,                 -- null: the setting; 0: none
  label text,
  key text,                       -- a job once
  needs text not null default 'command',  -- what a worker must offer to run it: words, see `lanes`
  limit_key text,                 -- the name that limits hang on, see `limits`
  run_at_us integer,              -- asked for
  due_us integer,                 -- not before
  created_us integer not null,
  updated_us integer not null,
  started_us integer,
  finished_us integer,
  exit_code integer,              -- negative: the signal that ended it
  reason text,
  worker integer,                 -- who has claimed it
  stop text,                      -- what is asked of that worker: cancel | hold
  awaits integer not null default 0,  -- how many of its `dependencies` are open
  cwd text,
  umask integer,
  env integer,
  stdin text,                     -- file in the payload folder
  options text,                   -- JSON of what few jobs ask for
  id text generated always as (coalesce(name, cast(number as text))) virtual,
  created_at text generated always as (strftime('%Y-%m-%dT%H:%M:%SZ', created_us / 1000000, 'unixepoch')) virtual,
  updated_at text generated always as (strftime('%Y-%m-%dT%H:%M:%SZ', updated_us / 1000000, 'unixepoch')) virtual,
  next_run_at text generated always as (strftime('%Y-%m-%dT%H:%M:%SZ', due_us / 1000000, 'unixepoch')) virtual,
  run_at text generated always as (strftime('%Y-%m-%dT%H:%M:%SZ', run_at_us / 1000000, 'unixepoch')) virtual,
  started_at text generated always as (strftime('%Y-%m-%dT%H:%M:%SZ', started_us / 1000000, 'unixepoch')) virtual,
  finished_at text generated always as (strftime('%Y-%m-%dT%H:%M:%SZ', finished_us / 1000000, 'unixepoch')) virtual,
  duration_seconds real generated always as ((finished_us - started_us) / 1000000.0) virtual,
  timeout real generated always as (timeout_s) virtual,
  log_file text generated always as
    (case when run > 0 then 'job_logs/' || coalesce(name, cast(number as text)) || '.log' end) virtual
);
create unique index jobs_name on jobs (name) where name is not null;
create unique index jobs_key on jobs (queue, key) where key is not null;
create index jobs_ready on jobs (lane, priority desc, number) where stage = 'ready';
create index jobs_later on jobs (due_us) where stage = 'later';
create index jobs_worker on jobs (worker) where worker is not null;
create index jobs_limited on jobs (limit_key) where limit_key is not null and stage in ('claimed', 'running');
create index jobs_state on jobs (state, number);

-- Which job waits for which other one to end, and how that must end.
create table dependencies (
  target integer not null,
  job integer not null,
  condition text not null,        -- after: completed | after_any: ended | after_failed: dead or cancelled
  decided integer not null default 0,
  primary key (target, job, condition)
) without rowid;
create index dependencies_job on dependencies (job);
create index dependencies_open on dependencies (target) where decided = 0;

-- One row per run that was started.
create table attempts (
  id integer primary key,
  job integer not null,
  run integer not null,
  worker integer,
  pid integer,
  started_us integer not null,
  ended_us integer,
  exit_code integer,
  reason text,
  cpu_s real,
  memory_max integer,
  log_start integer not null,
  log_end integer,
  unique (job, run)
);

-- Every change of every job: when, what, by whom.
create table history (
  id integer primary key autoincrement,  -- never used twice: who follows the changes remembers how far it has read
  job integer not null,
  at_us integer not null,
  event text not null,
  stage text not null,
  run integer not null,
  actor text not null,
  note text
);
create index history_job on history (job);

-- A queue is what users name; a lane is a run of ready jobs that are alike in all that decides whether they may start.
-- Everyday adds go to the lane of their queue, needs and key that has no `first`. A bulk add fills lanes of its own that
-- nobody serves (`adder` is set) and opens them with one small write when it is complete. Empty lanes are dropped,
-- but for those everyday ones that have no key.
create table queues (
  name text primary key,
  paused integer not null default 0,
  parallel integer,               -- how many may run at once; null: no limit
  interval_us integer,            -- time between two starts; null: no limit
  next_us integer                 -- no start before
) without rowid;
create table lanes (
  id integer primary key autoincrement, -- never used again: jobs that have left a lane keep its number
  queue text not null,
  needs text not null default 'command',
  limit_key text not null default '',
  ready integer not null default 0,
  adder text,                     -- the process that still fills it
  first integer                   -- its first job number
);
create unique index lanes_everyday on lanes (queue, needs, limit_key) where first is null;

-- The same limits as a queue has, for all jobs with this key, in whatever queue.
create table limits (
  key text primary key,
  parallel integer,
  interval_us integer,
  next_us integer
) without rowid;

-- Sums kept with each write, so that `status` and `metrics` never count rows.
create table counts (
  queue text not null,
  state text not null,
  stage text not null,
  n integer not null,
  primary key (queue, state, stage)
) without rowid;
create table totals (
  queue text primary key,
  succeeded integer not null default 0,
  failed integer not null default 0,
  duration_us integer not null default 0,
  waited_us integer not null default 0
) without rowid;

-- What was answered to an add with an Idempotency-Key, for a day: a repeat is given the same answer.
create table answers (key text primary key, at_us integer not null, digest blob not null, answer text not null) without rowid;
create index answers_at on answers (at_us);

-- Environments of submitters, once per distinct content. Workers remember them by id, so that no id comes twice.
create table envs (id integer primary key autoincrement, digest blob not null unique, body blob not null);

create table workers (
  id integer primary key autoincrement,
  host text not null,
  pid integer not null,
  pid_start integer not null,
  boot_id text not null,
  pid_ns integer not null,
  slots integer not null,
  queues text,
  started_us integer not null,
  stopping text,                  -- what is asked of it: finish | now | leave
  offers text not null default 'command',  -- what it can run
  lease_us integer                -- for stores that are shared between machines
);

insert into meta (key, value) values ('next_number', 1);
