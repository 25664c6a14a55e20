"""A store of an older version on a server: whoever opens it brings it up to date, once, and where they were killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from behaviour import postgres
from behaviour.harness import work

import queuectl
from queuectl.store import migrate, pg_link
from queuectl.store.pg_connection import SCHEMA_FILES, SCHEMA_VERSION

pytestmark = pytest.mark.wide

# As a program of the first version has left it: one job that has run a minute ago, one that waits, and their sums.
FIRST = """
insert into meta values ('store_id', '0123456789abcdef'), ('schema', '1');
insert into queues (name) values ('default');
insert into lanes (queue) values ('default');
insert into envs (digest, body) values ('\\x00', '');
insert into jobs (number, queue, lane, kind, command, state, stage, priority, attempts, max_retries, interruptions, run, version,
  created_us, updated_us, exit_code, cwd, env)
select nextval('job_numbers'), 'default', 1, 'shell', command, state, stage, 0, n, 3, 0, n, 1, 0, 0, nullif(0, 1 - n), '/', 1
from (values ('echo old', 'completed', 'completed', 1), ('echo waits', 'pending', 'ready', 0)) as of (command, state, stage, n);
insert into history (job, at_us, event, stage, run, actor) select number, 0, 'add', 'ready', 0, 'cli' from jobs;
insert into attempts (job, run, started_us, ended_us, exit_code, log_start, log_end)
select 1, 1, now - 61000000, now - 60000000, 0, 0, 0 from (select extract(epoch from now())::bigint * 1000000 as now) as at;
insert into counts select queue, state, stage, 1 from jobs;
insert into deltas (queue, succeeded) values ('default', 1);
"""
OPENER = "import queuectl, sys; print('ready', flush=True); sys.stdin.readline(); queuectl.open(sys.argv[1]).close()"
SHAPE = """
select table_name, column_name, data_type, obj_description(to_regclass(format('%%I.%%I', table_schema, table_name)))
from information_schema.columns where table_schema = %s"""
# Killed before a version is applied, or with it applied and not committed.
KILLED_AT = """
import os, sys, queuectl
from queuectl.store.pg_connection import PostgresConnection
url, at, applied = sys.argv[1:]
plain = PostgresConnection.apply_schema
def apply_schema(store, script, version):
    last = version == int(at)
    if not last or applied == "applied":
        plain(store, script, version)
    if last:
        os.kill(os.getpid(), 9)
PostgresConnection.apply_schema = apply_schema
queuectl.open(url)
"""


Shape = frozenset[tuple[str, ...]]


@contextmanager
def connected(url: str) -> Iterator[tuple[psycopg.Connection, str]]:
    """To a store's own schema, by its name."""
    to = pg_link.address(url)
    with psycopg.connect(to.url) as db:
        db.execute(f'set search_path to "{to.schema}"')
        yield db, to.schema


@pytest.fixture
def older(store: str) -> str:
    """The URL of a store of the first version."""
    with connected(store) as (db, schema):
        db.execute(f'create schema "{schema}"')
        db.execute(migrate.scripts(SCHEMA_FILES)[0][1])
        db.execute(FIRST)
    return store


@pytest.fixture
def shapes(older: str) -> list[Shape]:
    """What the tables of each version look like, from the first on."""
    url = postgres.url()
    with connected(url) as (db, schema):
        db.execute(f'create schema "{schema}"')
        found = []
        for _, script in migrate.scripts(SCHEMA_FILES):
            db.execute(script)
            found.append(frozenset(db.execute(SHAPE, (schema,)).fetchall()))
        db.rollback()
    assert len(set(found)) == SCHEMA_VERSION
    return found


def version(url: str, shapes: list[Shape]) -> tuple[int, int]:
    """The version that the store says, and the one that its tables are of."""
    with connected(url) as (db, schema):
        [(told,)] = db.execute("select value from meta where key = 'schema'").fetchall()
        return int(told), 1 + shapes.index(frozenset(db.execute(SHAPE, (schema,)).fetchall()))


def kept_and_works(url: str) -> None:
    with queuectl.open(url) as queue:
        old, waits = sorted(queue.find(), key=lambda job: job.number)
        assert [(old.command, old.state), (waits.command, waits.state)] == [("echo old", "completed"), ("echo waits", "pending")]
        assert [line.event for line in queue.history(old)] == ["add"]
        assert sum(n for _, n, _ in queue.store.run("select minute, succeeded, failed from minutes")) == 1
        work(queue)
        assert queue.get("2").state == "completed"
        assert b"".join(queue.logs("2")) == b"waits\n"
        assert queue.add("true").number == 3


def test_many_that_open_an_older_store_at_once_bring_it_up_to_date_once(older: str, shapes: list[Shape]) -> None:
    assert version(older, shapes) == (1, 1)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    openers = [subprocess.Popen([sys.executable, "-c", OPENER, older], **pipes) for _ in range(8)]
    for opener in openers:
        assert opener.stdout and opener.stdout.readline() == b"ready\n"
    for opener in openers:
        assert opener.stdin
        opener.stdin.close()  # all of them begin now
    assert [opener.wait(60) for opener in openers] == [0] * 8
    assert version(older, shapes) == (SCHEMA_VERSION, SCHEMA_VERSION)
    kept_and_works(older)


def test_killed_between_any_two_versions_the_next_goes_on_from_there(older: str, shapes: list[Shape]) -> None:
    for number in range(2, SCHEMA_VERSION + 1):
        for applied in ("", "applied"):
            done = subprocess.run([sys.executable, "-c", KILLED_AT, older, str(number), applied], check=False, timeout=60)
            assert done.returncode == -signal.SIGKILL
            assert version(older, shapes) == (number - 1, number - 1)
    queuectl.open(older).close()
    assert version(older, shapes) == (SCHEMA_VERSION, SCHEMA_VERSION)
    kept_and_works(older)
