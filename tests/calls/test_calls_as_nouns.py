"""A call is checked before it is stored, shown without its secrets, and comes back from an export as it was."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl import calls, codec, shown, work
from queuectl.errors import InvalidInput
from queuectl.lifecycle import a_job
from queuectl.model import HOLD, RERUN, Call

WRONG: dict[str, list[Any]] = {
    "url": [
        "",
        " ",
        "x",
        "ftp://a/",
        "file:///etc/passwd",
        "gopher://a",
        "//a/b",
        "http:///x",
        "http://",
        "http://a b/",
        "http://a\n/",
        "http://a:99999/",
        "http://[::1/",
        "http://" + "a" * 9000,
        "javascript:alert(1)",
        5,
        None,
        [],
        "http://\ud800/",
    ],
    "method": ["", "GE T", "CONNECT", "trace", "G\r\n", 5, None, "X" * 33],
    "headers": [
        "a: b",
        {"A": 1},
        {"": "x"},
        {"A B": "x"},
        {"A": "x\r\nB: y"},
        {"A": "x\0"},
        {"A": "\u2603"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        [["A"]],
        5,
        {"A": "x" * 70_000},
        {"connection": "close"},
    ],
    "body": [5, [], {}, "\ud800", "x" * 8_000_001],
    "expect_status": ["", "9xx", "abc", [], True],
    "expect_body": ["", 5, []],
    "redirects": [-1, 51, "x", True, None, 1.5],
    "verify": ["yes", 1, None],
    "proxy": ["", "x", "socks5://a", 5],
    "sign": ["", "a b", 5, "x" * 256],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in WRONG.items() for v in values], ids=lambda x: repr(x)[:30])
def test_a_wrong_field_of_a_call_is_refused_and_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        codec.spec_from_object({"url": "http://a/", field: value})
    assert refused.value.field == field


def test_every_field_of_a_call_is_in_the_table() -> None:
    assert tuple(calls.FIELDS) == Call.fields
    assert set(WRONG) == set(Call.fields)


@pytest.mark.parametrize("kinds", [("command", "url"), ("argv", "function"), ("url", "function")])
def test_a_job_is_one_kind_of_work(kinds: tuple[str, str]) -> None:
    given = {"command": "true", "argv": ["true"], "url": "http://a/", "function": "f"}
    with pytest.raises(InvalidInput):
        codec.spec_from_object({kind: given[kind] for kind in kinds})


@pytest.mark.parametrize(
    ("method", "then"),
    [("GET", RERUN), ("head", RERUN), ("PUT", RERUN), ("DELETE", RERUN), ("POST", HOLD), ("PATCH", HOLD), ("PURGE", HOLD)],
)
def test_what_may_not_be_done_twice_waits_for_a_person_after_a_cut(method: str, then: str) -> None:
    fields = {"url": "http://a/", "method": method}
    assert codec.spec_from_object(fields).options.if_interrupted == then
    assert codec.spec_from_object(fields | {"if_interrupted": "fail"}).options.if_interrupted == "fail"


def test_secrets_of_a_call_are_not_shown() -> None:
    asked = codec.spec_from_object({"url": "https://me:hush@a/x", "headers": {"Authorization": "Bearer hush", "X-A": "b"}}).work
    row = a_job(**work.work_columns(asked))
    found = shown.job_object(row)
    assert "hush" not in str(found)
    assert found["command"] == "GET https://me:***@a/x"
    assert found["call"]["headers"] == [["Authorization", "***"], ["X-A", "b"]]
    assert work.work_of(row) == asked


def test_a_function_is_a_name_and_arguments_that_json_can_hold() -> None:
    asked = codec.spec_from_object({"function": "resize", "args": ["a.png", 3], "kwargs": {"deep": {"x": [None, True]}}}).work
    row = a_job(**work.work_columns(asked))
    assert shown.job_object(row)["function"] == {"name": "resize", "args": ["a.png", 3], "kwargs": {"deep": {"x": [None, True]}}}
    assert work.work_of(row) == asked


@pytest.mark.parametrize(
    ("field", "fields"),
    [("function", {"function": ""}), ("function", {"function": "a b"}), ("args", {"function": "f", "args": {}}),
     ("kwargs", {"function": "f", "kwargs": []}), ("kwargs", {"function": "f", "kwargs": "x"})],
)  # fmt: skip
def test_a_wrong_field_of_a_function_is_refused_and_named(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        codec.spec_from_object(fields)
    assert refused.value.field == field
