"""Records: values that are compared, shown and copied by content."""

from __future__ import annotations

import pytest

from queuectl.model import Options, Query, Shell, Spec
from queuectl.record import Record


def test_records_are_equal_by_kind_and_content() -> None:
    assert Shell("a") == Shell("a") != Shell("b")
    assert hash(Query(ids=("1",))) == hash(Query(ids=("1",)))
    assert Options() != Query()


def test_but_makes_another_and_leaves_the_first() -> None:
    spec = Spec(work=Shell("a"), priority=1)
    other = spec.but(priority=2)
    assert (spec.priority, other.priority, other.work) == (1, 2, spec.work)


def test_a_field_that_does_not_exist_is_an_error() -> None:
    with pytest.raises((TypeError, AttributeError)):
        Shell("a").but(txet="b")
    with pytest.raises(TypeError):
        Spec(work=Shell("a"), prio=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Shell("a").txet = "b"  # type: ignore[attr-defined]


def test_a_record_shows_its_fields() -> None:
    assert repr(Shell("a b")) == "Shell(text='a b')"


def test_defaults_are_filled_in_and_order_is_that_of_the_text() -> None:
    class Point(Record):
        x: int
        y: int = 2

    assert Point(1).values() == (1, 2)
    assert Point.fields == ("x", "y")
