"""A worker that froze in the middle of what it sends: the server waits for the rest of it, and its locks are kept."""

from __future__ import annotations

import time

import psycopg
import pytest

from queuectl import Queue
from queuectl.model import Serving
from queuectl.store import pg_link
from queuectl.workers import own_row

from .hosts import until


@pytest.mark.wide
def test_the_locks_of_a_worker_that_froze_while_it_sent_keep_nobody_from_its_jobs(queue: Queue, store: str) -> None:
    with queue.store.transaction():
        worker = queue.store.add_worker(own_row(1, Serving()))
    to = pg_link.address(store)
    frozen = psycopg.connect(to.url, application_name="queuectl", autocommit=True)
    with pytest.raises(psycopg.OperationalError), frozen, frozen.pipeline():  # the server ends it
        frozen.execute("begin")
        frozen.execute(f"select id from {to.schema}.workers where id = %s for key share", (worker,)).fetchall()

        def taken() -> bool:
            with queue.store.transaction():
                return queue.store.lost_worker([]) == worker

        began = time.monotonic()
        until(taken, 60)
        assert time.monotonic() - began > 20
