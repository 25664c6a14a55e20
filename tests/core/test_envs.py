"""What of a submitter's environment is captured, how it is stored, what of it is shown."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl import envs

NAMES = st.binary(min_size=1).map(lambda b: b.replace(b"\0", b"").replace(b"=", b"") or b"N")
VALUES = st.binary().map(lambda b: b.replace(b"\0", b""))
ENVIRONMENTS = st.dictionaries(NAMES, VALUES)
HERE = {
    b"PATH": b"/bin",
    b"HOME": b"/h",
    b"LC_ALL": b"C",
    b"LC_TIME": b"de",
    b"API_TOKEN": b"s3",
    b"_": b"/bin/ls",
    b"\xff": b"\xfe",
}


@given(ENVIRONMENTS)
def test_what_is_stored_reads_back(variables: dict[bytes, bytes]) -> None:
    assert envs.unpacked(envs.packed(variables)) == variables


@given(ENVIRONMENTS)
def test_the_order_of_variables_makes_no_other_environment(variables: dict[bytes, bytes]) -> None:
    turned = dict(reversed(variables.items()))
    assert envs.packed(turned) == envs.packed(variables)


@given(st.binary())
def test_the_digest_is_what_hashlib_says(body: bytes) -> None:
    assert envs.digest(body) == hashlib.blake2b(body, digest_size=16).digest()


def test_all_is_all_but_the_shells_own_note() -> None:
    assert envs.captured(HERE, "all") == {name: value for name, value in HERE.items() if name != b"_"}


def test_basic_is_what_programs_need_to_run() -> None:
    assert set(envs.captured(HERE, "basic")) == {b"PATH", b"HOME", b"LC_ALL", b"LC_TIME"}


def test_none_is_nothing() -> None:
    assert envs.captured(HERE, "none") == {}


@pytest.mark.parametrize(
    "name", ["API_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "PASSPHRASE", "GH_AUTH", "Cookie", "CREDENTIALS"]
)
def test_what_looks_like_a_secret_is_masked(name: str) -> None:
    assert envs.masked({name.encode(): b"s3cret"}) == {name: envs.MASK}


@given(ENVIRONMENTS)
def test_any_environment_can_be_shown(variables: dict[bytes, bytes]) -> None:
    for name, value in envs.masked(variables).items():
        (name + value).encode()
