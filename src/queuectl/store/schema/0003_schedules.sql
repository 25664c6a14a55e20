-- Recurring schedules: each adds a job like its template at every instant that its cron expression names.
create table schedules (
  name text primary key,
  cron text not null,
  zone text not null,             -- time zone of the expression
  overlap text not null,          -- while its last job has not ended: skip | allow
  catch_up text not null,         -- instants that no worker was there to see: one | none | all
  paused integer not null default 0,
  next_us integer,                -- null: never again
  fired integer not null default 0,
  skipped integer not null default 0,
  job integer,                    -- the newest it has added
  env integer,                    -- row of table `envs`: of its jobs
  note text,
  template text not null          -- JSON: the columns of its jobs
);
create index schedules_next on schedules (next_us) where paused = 0;
