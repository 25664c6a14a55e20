"""Where a TaskSpooler server lives: its settings, its folders, its store, and its socket, which nobody else can use.

The socket has mode 0600 from its first instant. A socket file that nobody listens on is replaced; a living server's
socket and whatever is no socket are never touched.
"""

from __future__ import annotations

import os
import socket
import stat

from .. import codec, files
from ..errors import Conflict, InvalidInput, NotAllowed, QueueError
from ..locate import Place, locate, nearest
from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

ADDRESS_MAX = 107  # bytes of a Unix socket's path
BACKLOG = 4096
SLOTS_MAX = 10_000


class Settings(Record):
    """What the environment says."""

    socket: str = "/tmp/taskspool.sock"
    log_folder: str = "/tmp/taskspool_logs"
    temp_folder: str = "/tmp/taskspool_temp"
    limit: int = 3  # jobs that run at once
    zone: tzinfo | None = None  # when set, jobs are shown with their times, in this zone


def settings_from(environ: Mapping[str, str]) -> Settings:
    """Raises InvalidInput naming the variable."""
    built_in = Settings()
    return Settings(
        os.path.abspath(environ.get("TASKSPOOL_SOCKET") or built_in.socket),
        os.path.abspath(environ.get("TASKSPOOL_LOG_DIR") or built_in.log_folder),
        os.path.abspath(environ.get("TASKSPOOL_TEMP_DIR") or built_in.temp_folder),
        codec.whole(environ.get("TASKSPOOL_MAX_JOBS") or built_in.limit, "TASKSPOOL_MAX_JOBS", 1, SLOTS_MAX),
        _zone(environ.get("TASKSPOOL_TZ")),
    )


def _zone(name: str | None) -> tzinfo | None:
    if not name:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        hint = "a name such as Europe/Rome or UTC"
        raise InvalidInput(f"time zone {name!r} is not known here", hint=hint, field="TASKSPOOL_TZ") from None


def place_of(settings: Settings, environ: Mapping[str, str]) -> Place:
    """The store: the one that every other command would find here, else one of its own among the server's logs.

    Never the user's personal queue: the documented clean-up of the server's folders is to begin anew.
    """
    if environ.get("QUEUECTL_URL") or environ.get("QUEUECTL_DB_PATH") or nearest(os.getcwd()):
        return locate(environ)
    return Place(os.path.join(settings.log_folder, "queuectl.db"))


def make_folders(settings: Settings) -> None:
    for folder in (settings.log_folder, settings.temp_folder):
        if os.path.isdir(folder) and os.stat(folder).st_mode & stat.S_ISVTX:
            raise NotAllowed(f"folder {folder} is shared", why="its mode would have to become 0700", hint="name a folder inside it")
        try:
            files.private_folders(folder)
        except OSError as fault:
            raise NotAllowed(f"cannot make folder {folder}", why=fault.strerror or "") from None


class Listener:
    """The server's socket, and the file that names it."""

    def __init__(self, path: str) -> None:
        """Raises Conflict when a server lives there, NotAllowed when something else stands there."""
        self.path = path
        _make_room(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        umask = os.umask(0o177)
        try:
            self.socket.bind(path)
        except OSError as fault:
            raise _no_socket(path, fault) from None
        finally:
            os.umask(umask)
        self._made = _identity(path)
        self.socket.listen(BACKLOG)

    def accept(self) -> socket.socket | None:
        """The next client, None when nobody waits. Only this user and root are let in."""
        while True:
            try:
                connection, _ = self.socket.accept()
            except BlockingIOError:
                return None
            except ConnectionError:
                continue  # it was in a hurry
            connection.setblocking(False)
            if peer_uid(connection) in (0, os.geteuid()):
                return connection
            connection.close()

    def is_in_place(self) -> bool:
        """Whether the file is still there, and ours."""
        return _identity(self.path) == self._made

    def close(self) -> None:
        """Remove the file if it is ours, then listen no more."""
        if self.is_in_place():
            os.unlink(self.path)
        self.socket.close()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _make_room(path: str) -> None:
    if len(os.fsencode(path)) > ADDRESS_MAX:
        raise InvalidInput(f"the socket's path is longer than {ADDRESS_MAX} bytes", why=path, field="TASKSPOOL_SOCKET")
    try:
        facts = os.lstat(path)
    except OSError:
        return  # nothing there; whatever else is wrong, bind will say
    if not stat.S_ISSOCK(facts.st_mode):
        raise NotAllowed(f"{path} is in the way", why="it is not a socket", hint="move it away or set TASKSPOOL_SOCKET")
    if somebody_listens(path):
        raise Conflict(f"a server is running at {path} already", hint="stop it first or set TASKSPOOL_SOCKET")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as fault:
        raise _no_socket(path, fault) from None


def somebody_listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True  # so busy that it lets nobody in at the moment
        except OSError as fault:
            raise _no_socket(path, fault) from None
    return True


def _no_socket(path: str, fault: OSError) -> QueueError:
    return NotAllowed(f"cannot listen at {path}", why=fault.strerror or str(fault), hint="check its folder or set TASKSPOOL_SOCKET")


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end, as the kernel vouches; our own where the kernel has no word for it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()
    import struct

    _, uid, _ = struct.unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)
