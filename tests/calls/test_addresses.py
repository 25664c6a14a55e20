"""No spelling of an address leads a call to a place that hands out keys."""

from __future__ import annotations

import socket

import pytest

from queuectl import addresses
from queuectl.errors import InvalidInput

METADATA = "169.254.169.254"

# As they may stand in a URL: libc reads many of them, and whatever it makes of them is what is judged.
SPELLINGS = [
    METADATA,
    "2852039166",  # decimal
    "0xA9FEA9FE",  # hex
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0xA9.254.0251.254",
    "025177524776",  # octal
    "0251.0376.0251.0376",
    "00251.000376.0251.0376",
    "169.254.43518",  # short
    "169.16689662",
    "169.254.0xa9fe",
    "169.0xfea9fe",
    "0251.254.169.0376",
    "::ffff:169.254.169.254",  # mapped
    "::ffff:a9fe:a9fe",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    "0000:0000:0000:0000:0000:FFFF:A9FE:A9FE",
    "::ffff:0:169.254.169.254",  # SIIT
    "::169.254.169.254",  # compatible
    "::a9fe:a9fe",
    "64:ff9b::169.254.169.254",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "0064:ff9b:0:0:0:0:a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",  # NAT64 of one's own network, 96 bits
    "64:ff9b:1:a9fe:a9:fe00::",  # 48 bits
    "64:ff9b:1:a9:fe:a9fe::",  # 56 bits
    "64:ff9b:1:0:a9:fea9:fe00:0",  # 64 bits
    "2002:a9fe:a9fe::1",  # 6to4
    "2002:a9fe:a9fe:1234::abcd",
    "2001:0:a9fe:a9fe::",  # Teredo: server
    "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo: client, inverted
    "fe80::5efe:a9fe:a9fe",  # ISATAP
    "2001:db8::200:5efe:169.254.169.254",
    "fe80::1",
    "FE80::1",
    "febf:ffff::1",
    "fec0::1",
    "169.254.0.1",
    "169.254.255.255",
    "169.254.170.2",
    "100.100.100.200",
    "0x64646464.".rstrip(".").replace("64646464", "646464c8"),  # 100.100.100.200 in hex
    "168.63.129.16",
    "2822734096",  # the same
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "0.0.0.0",
    "0",
    "0x0",
    "::",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "0xffffffff",
    "240.0.0.1",
    "ff02::1",
    "::ffff:0.0.0.0",
]
ALLOWED = ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.5.5", "1.1.1.1", "2606:4700::1111", "::ffff:10.0.0.1", "fc00::1"]


def as_connected(spelling: str) -> str:
    """The address that a connection to this spelling goes to."""
    found = socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return str(found[0][4][0])


def test_there_are_enough_spellings() -> None:
    assert len(set(SPELLINGS)) >= 40


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_forbidden_place_is_refused_in_every_spelling(spelling: str) -> None:
    assert addresses.refusal(as_connected(spelling))


@pytest.mark.parametrize("spelling", ALLOWED)
def test_the_own_machine_and_network_and_everybody_else_may_be_called(spelling: str) -> None:
    assert addresses.refusal(as_connected(spelling)) is None


def test_a_scope_does_not_hide_an_address() -> None:
    assert addresses.refusal("fe80::1%eth0")
    assert addresses.refusal("fe80::1%25")


def test_what_is_no_address_is_refused() -> None:
    assert addresses.refusal("localhost") == "no address"
    assert addresses.refusal("") == "no address"


def test_private_networks_can_be_denied_but_for_one() -> None:
    rules = addresses.rules("10.7.0.0/16", "private")
    assert addresses.refusal("10.7.1.1", rules) is None
    assert addresses.refusal("10.8.1.1", rules) == "denied by call_deny"
    assert addresses.refusal("::ffff:127.0.0.1", rules)
    assert addresses.refusal("2002:7f00:1::", rules), "6to4 to loopback"
    assert addresses.refusal("1.1.1.1", rules) is None


def test_only_what_is_allowed_may_be_called_when_all_is_denied() -> None:
    rules = addresses.rules("203.0.113.0/24", "all")
    assert addresses.refusal("203.0.113.9", rules) is None
    assert addresses.refusal("1.1.1.1", rules)
    assert addresses.refusal("2606:4700::1111", rules)


def test_the_metadata_service_stays_refused_unless_it_is_named_itself() -> None:
    assert addresses.refusal(METADATA, addresses.rules("link-local", ""))
    assert addresses.refusal(METADATA, addresses.rules("all", ""))
    assert addresses.refusal("169.254.1.1", addresses.rules("link-local", "")) is None
    assert addresses.refusal(METADATA, addresses.rules(METADATA, "")) is None


def test_a_denied_network_beats_an_equally_narrow_allowed_one() -> None:
    assert addresses.refusal("10.0.0.1", addresses.rules("10.0.0.0/8", "10.0.0.0/8"))


@pytest.mark.parametrize("value", ["10.0.0.0/33", "example.com", "10.0.0", "::1/129", 7, None])
def test_a_network_that_is_none_is_refused_with_the_field(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        addresses.networks(value, "call_deny")
    assert refused.value.field == "call_deny"
