-- Folders of packets that are attached to a queue: a row each, with the one packet that is on its way.
create table spools (
  name text primary key,
  folder text not null unique,    -- a Filespooler queue: jobs/, nextseq, nextseq.lock
  terms text not null,            -- JSON: the command, the queue of its jobs, decoder and the like, see spools.py
  env bigint not null,           -- row of table `envs`: variables of the command
  number text,                    -- of the packet that was taken and is not settled (text: it has 64 bits without sign)
  file text,                      -- its name in jobs/, as JSON
  job bigint,                    -- that runs it
  detaching bigint not null default 0,
  note text                       -- what is worth knowing beside `nextseq`: a gap, a trouble
);
create index spools_job on spools (job) where job is not null;
