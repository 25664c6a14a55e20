-- Folders of packets that are attached to a queue: a row each, with the one packet that is on its way.
create table spools (
  name text primary key,
  folder text not null,           -- a Filespooler queue: jobs/, nextseq, nextseq.lock
  terms text not null,            -- JSON: command, queue, decoder and the like, see spools.py
  number text,                    -- of the packet that was taken last (text: 64 bits without sign), until nextseq is past it
  file text,                      -- its name in jobs/
  job bigint,                    -- that runs it
  detaching bigint not null default 0
);
create unique index spools_folder on spools (folder);
