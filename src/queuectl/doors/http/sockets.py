"""The listening sockets: bound before anything is started, private from the first instant, taken over from systemd.

They belong to the keeper. A web process that dies or is renewed leaves them open: who connects meanwhile waits.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from ...errors import Conflict, InvalidInput, NotAllowed
from ...files import exclusive

BACKLOG = 1024
PATH_MAX = 107  # bytes of a Unix socket's path
FIRST_FD = 3


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen_tcp(host: str, port: int) -> socket.socket:
    """Raises Conflict when the port is taken, InvalidInput when there is no such address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as fault:
        raise InvalidInput(f"there is no address {host!r}", why=str(getattr(fault, "strerror", fault)), field="host") from None
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as fault:
        sock.close()
        raise _unavailable(fault, f"{host}:{port}") from None
    return sock


def _unavailable(fault: OSError, where: str) -> Exception:
    if fault.errno == errno.EADDRINUSE:
        return Conflict(f"{where} is taken", why="another program listens there", hint="end it, or choose another with --port")
    if fault.errno == errno.EACCES:
        return NotAllowed(f"{where} is not allowed", why=fault.strerror or "", hint="choose a port above 1023")
    return InvalidInput(f"cannot listen at {where}", why=fault.strerror or "", field="host")


def listen_unix(path: str) -> socket.socket:
    """A socket that only its owner can connect to. One that nobody listens at any more is replaced. Raises Conflict."""
    if len(os.fsencode(path)) > PATH_MAX:
        raise InvalidInput(f"the path of the socket is longer than {PATH_MAX} bytes", hint="choose a shorter one", field="socket")
    with exclusive(path + ".lock"):
        _make_room(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)  # it is there with its mode at once
        try:
            sock.bind(path)
            sock.listen(BACKLOG)
        except OSError as fault:
            sock.close()
            raise InvalidInput(f"cannot listen at {path}", why=fault.strerror or "", field="socket") from None
        finally:
            os.umask(mask)
    return sock


def _make_room(path: str) -> None:
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    if facts.st_mode & 0o170000 != 0o140000 or facts.st_uid != os.geteuid():
        raise NotAllowed(f"{path} is in the way", why="it is not a socket of yours", hint="move it away, or choose another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            os.unlink(path)
            return
    raise Conflict(f"{path} is taken", why="another server of this queue listens there", hint="end it first")


def given(pid: int) -> list[socket.socket]:
    """The sockets that a process with this pid was given, as systemd gives them."""
    if os.environ.get("LISTEN_PID") != str(pid):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=fd) for fd in range(FIRST_FD, FIRST_FD + count)]


def hand_on(sockets: list[socket.socket]) -> dict[str, str]:
    """Put them where the program that takes this process's place looks for them; returns the environment it needs."""
    fds = [_above(sock.fileno(), FIRST_FD + len(sockets)) for sock in sockets]
    for target, fd in enumerate(fds, FIRST_FD):
        os.dup2(fd, target, inheritable=True)
    for sock in sockets:
        sock.detach()
    return {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(os.getpid())}


def _above(fd: int, least: int) -> int:
    """A descriptor for the same that is not among those to be overwritten."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
