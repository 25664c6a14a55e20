-- How many runs succeeded and failed in each minute, kept with each write for some days: what charts are drawn from.
create table minutes (
  minute integer primary key,     -- since 1970
  succeeded integer not null default 0,
  failed integer not null default 0
);
insert into minutes (minute, succeeded, failed)
select ended_us / 60000000, sum(exit_code = 0 and reason is null), sum(not (exit_code = 0 and reason is null))
from attempts where ended_us > (strftime('%s', 'now') - 691200) * 1000000 and exit_code is not null group by 1;
