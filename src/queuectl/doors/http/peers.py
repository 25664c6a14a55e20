"""Who is at the other end of a connection, as the kernel tells: nothing that the other end says of itself counts."""

from __future__ import annotations

import ipaddress
import socket
import struct

from ...record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
ESTABLISHED = "01"


class Peer(Record):
    """The other end: of a Unix socket or not, on this very machine or not, and whose it is where the system says so."""

    unix: bool = False
    loopback: bool = False
    uid: int | None = None


def of_connection(transport: Any) -> Peer:
    """The peer of an asyncio transport."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_UNIX:
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return Peer(unix=True, loopback=True, uid=uid)
    return of_addresses(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))


def of_addresses(client: Any, server: Any) -> Peer:
    """The peer of a TCP connection: (host, port) of both its ends."""
    if not client or not server or not _is_loopback(client[0]) or not _is_loopback(server[0]):
        return Peer()
    return Peer(loopback=True, uid=owner_of(client, server))


def _is_loopback(host: Any) -> bool:
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def owner_of(client: Any, server: Any) -> int | None:
    """The user whose socket the client end is; None when the system does not say.

    Only a row of an established connection counts that has a socket behind it: one that is closing has no inode, and
    its row names user 0.
    """
    wanted = {(_row_address(*ends[0][:2]), _row_address(*ends[1][:2])) for ends in ((client, server),)}
    wanted |= {(_row_address(_mapped(client[0]), client[1]), _row_address(_mapped(server[0]), server[1]))}
    for path in TABLES:
        try:
            with open(path, encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue
        for row in rows:
            if row[3] == ESTABLISHED and row[9] != "0" and (row[1], row[2]) in wanted:
                return int(row[7])
    return None


def _mapped(host: str) -> str:
    return host if ":" in host else f"::ffff:{host}"


def _row_address(host: str, port: int) -> str:
    """An address as the kernel's tables spell it.

    >>> _row_address("127.0.0.1", 5000), _row_address("::1", 80)
    ('0100007F:1388', '00000000000000000000000001000000:0050')
    """
    packed = ipaddress.ip_address(host.partition("%")[0]).packed
    words = [packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4)]
    return f"{''.join(words)}:{port:04X}"
