"""Which network addresses a call may connect to: pure arithmetic on addresses; names are resolved by whoever connects.

A call is asked for by one program and made by another, which may reach more: the metadata service of a cloud hands out
keys to whoever can connect to it. So the address is judged at the moment of connecting, at each hop of a redirect, in
whatever spelling it came; those that carry another address inside (6to4, NAT64, Teredo …) are judged by that one too.

The narrowest network that contains the address decides. Of equally narrow ones a denied one comes first, then an allowed
one, then what is built in. Private and loopback addresses may be called: many a queue calls its own machine.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from .errors import InvalidInput
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipaddress import IPv4Network
    from typing import Any, TypeAlias

    Address: TypeAlias = IPv4Address | IPv6Address
    Network: TypeAlias = IPv4Network | IPv6Network

# Refused unless somebody allows them: network → what it is.
REFUSED: dict[Network, str] = {
    ip_network(text): what
    for text, what in {
        "0.0.0.0/8": "no address of a host",
        "169.254.0.0/16": "link-local",
        "169.254.169.254/32": "the metadata service of a cloud",
        "169.254.170.2/32": "the credentials of a container",
        "100.100.100.200/32": "the metadata service of a cloud",
        "168.63.129.16/32": "the platform service of a cloud",
        "192.0.0.192/32": "the metadata service of a cloud",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "255.255.255.255/32": "broadcast",
        "::/128": "no address of a host",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "fd00:ec2::/32": "the metadata service of a cloud",
        "fd20:ce::254/128": "the metadata service of a cloud",
        "ff00::/8": "multicast",
    }.items()
}

# Words for the settings that allow and deny.
WORDS: dict[str, tuple[str, ...]] = {
    "all": ("0.0.0.0/0", "::/0"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": (*("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"), "127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
}

ALL_BITS = (1 << 32) - 1
# IPv6 networks whose addresses carry an IPv4 address: how far to shift right to find it; Teredo's is inverted.
CARRIERS: tuple[tuple[IPv6Network, tuple[int, ...], int], ...] = (
    (IPv6Network("::ffff:0:0:0/96"), (0,), 0),  # SIIT
    (IPv6Network("::/96"), (0,), 0),  # "IPv4-compatible"
    (IPv6Network("64:ff9b::/96"), (0,), 0),  # NAT64
    (IPv6Network("64:ff9b:1::/48"), (0,), 0),  # NAT64 of one's own network; shorter prefixes are `_spread`
    (IPv6Network("2002::/16"), (80,), 0),  # 6to4
    (IPv6Network("2001::/32"), (64,), 0),  # Teredo: its server
    (IPv6Network("2001::/32"), (0,), ALL_BITS),  # Teredo: its client
)
OWN_NAT64 = IPv6Network("64:ff9b:1::/48")
MAPPED = IPv6Network("::ffff:0:0/96")
ISATAP = (0x00005EFE, 0x02005EFE)


class Rules(Record):
    """What somebody allows and denies beyond what is built in."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()


def networks(value: Any, field: str) -> str:
    """A list of networks, addresses and words (`all`, `private`, `loopback`, `link-local`), checked and put in one form.

    >>> networks("10.1.2.3/8, private", "call_deny")
    '10.0.0.0/8,private'
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be text", hint="for example 10.0.0.0/8,private", field=field)
    found = []
    for part in value.replace(",", " ").split():
        try:
            found.append(part if part in WORDS else str(ip_network(part, strict=False)))
        except ValueError:
            hint = f"networks such as 10.0.0.0/8, or {', '.join(WORDS)}"
            raise InvalidInput(f"{field} {part[:60]!r} is no network", hint=hint, field=field) from None
    return ",".join(found)


@lru_cache(16)
def rules(allow: str, deny: str) -> Rules:
    """From checked settings."""
    return Rules(_parsed(allow), _parsed(deny))


def _parsed(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(network) for part in filter(None, text.split(",")) for network in WORDS.get(part, (part,)))


@lru_cache(4096)
def refusal(address: str, rules: Rules = Rules()) -> str | None:
    """Why this address must not be connected to; None when it may be.

    >>> refusal("169.254.169.254"), refusal("192.168.1.7"), refusal("64:ff9b::a9fe:a9fe")
    ('the metadata service of a cloud', None, 'the metadata service of a cloud')
    """
    try:
        judged = _plain(ip_address(address.partition("%")[0]))
    except ValueError:
        return "no address"
    for each in (judged, *carried(judged)):
        why = _judgement(each, rules)
        if why is not None:
            return why
    return None


def _plain(address: Address) -> Address:
    """A mapped address is only another spelling of the one it maps."""
    if isinstance(address, IPv6Address) and address in MAPPED:
        return IPv4Address(int(address) & ALL_BITS)
    return address


def carried(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses inside an IPv6 address, to which somebody on the way may forward what is sent.

    >>> carried(ip_address("2002:a9fe:a9fe::1"))
    [IPv4Address('169.254.169.254')]
    """
    if not isinstance(address, IPv6Address) or int(address) < 2:  # :: and ::1 carry none
        return []
    bits = int(address)
    found = [bits >> shift & ALL_BITS ^ flip for net, shifts, flip in CARRIERS if address in net for shift in shifts]
    if bits >> 32 & ALL_BITS in ISATAP:
        found.append(bits & ALL_BITS)
    if address in OWN_NAT64:
        found += _spread(bits)
    return [IPv4Address(number) for number in found]


def _spread(bits: int) -> list[int]:
    """RFC 6052 leaves out bits 64 to 71: where the IPv4 address stands for prefixes of 48, 56 and 64 bits."""
    joined = (bits >> 64 << 56) | (bits & (1 << 56) - 1)  # the 128 bits without those eight
    return [joined >> 120 - prefix - 32 & ALL_BITS for prefix in (48, 56, 64)]


def _judgement(address: Address, rules: Rules) -> str | None:
    """
    >>> _judgement(ip_address("10.0.0.1"), Rules(allow=(ip_network("10.0.0.0/8"),), deny=(ip_network("0.0.0.0/0"),)))
    >>> _judgement(ip_address("10.0.0.1"), Rules(deny=(ip_network("10.0.0.0/24"),)))
    'denied by call_deny'
    """
    best, verdict = -1, None
    for network, why in _table(rules):
        if network.version == address.version and network.prefixlen > best and address in network:
            best, verdict = network.prefixlen, why
    return verdict


@lru_cache(16)
def _table(rules: Rules) -> tuple[tuple[Network, str | None], ...]:
    """Of equally narrow networks the first one counts."""
    denied: list[tuple[Network, str | None]] = [(network, "denied by call_deny") for network in rules.deny]
    allowed: list[tuple[Network, str | None]] = [(network, None) for network in rules.allow]
    return (*denied, *allowed, *REFUSED.items())
