-- The embedded engine has got this table with this version; here it has been there from the first.
comment on table output is 'What runs wrote: pieces of a job''s log by where they begin in it.';
