-- How many runs succeeded and failed in each minute, kept for some days: folded from the lines of `deltas`.
create table minutes (
  minute bigint primary key,      -- since 1970
  succeeded bigint not null default 0,
  failed bigint not null default 0
);
alter table deltas add column minute bigint; -- when the runs of a line of totals ended
insert into minutes (minute, succeeded, failed)
select ended_us / 60000000, count(*) filter (where exit_code = 0 and reason is null),
  count(*) filter (where not (exit_code = 0 and reason is null))
from attempts where ended_us > (extract(epoch from now())::bigint - 691200) * 1000000 and exit_code is not null group by 1;
