-- Output that is kept in the store: answers of calls, most of which are smaller than a file of their own would be. Pieces of
-- a job's log by where they begin in it; whoever reads the log finds them in its file.
create table output (
  job integer not null,
  stream text not null,           -- as in the names of log files
  start integer not null,
  body blob,
  size integer not null,
  primary key (job, stream, start)
) without rowid;
