"""JSON by the interpreter's own scanner gives what the ordinary module gives, and names every fault."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl import jsontext
from queuectl.errors import InvalidInput

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)

MALFORMED = [
    *("", " ", "{", "}", "[", "[1", "[1,", "[1,]", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{1:2}", "{'a':1}"),
    *('"', '"a', '"\\x"', '"\\u12"', '"a\nb"', '"a\tb"', "tru", "nul", "True", "None", "01", "1.", ".5", "+1", "-", "1e", "0x1"),
    *("1 2", "{} {}", "[] x", "{]", "[}", "nan", "undefined", "//", "{a:1}", '{"a" 1}', "\0", "{\0}", "\u00a01", '{"a":1}\0'),
]


@given(VALUES)
def test_what_is_written_reads_back_as_the_ordinary_module_reads_it(value: Any) -> None:
    text = jsontext.dumps(value)
    assert json.loads(text) == jsontext.loads(text) == value


@given(VALUES)
def test_what_is_written_is_what_the_ordinary_module_writes(value: Any) -> None:
    assert jsontext.dumps(value) == json.dumps(value)
    assert jsontext.dumps(value, indent=2) == json.dumps(value, indent=2)


@given(VALUES, st.booleans(), st.sampled_from([None, 0, 2]))
def test_any_writing_of_a_value_is_read(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert jsontext.loads(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@given(st.text())
def test_any_text_is_read_as_the_ordinary_module_reads_it_or_refused_as_it_refuses(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(InvalidInput):
            jsontext.loads(text.removeprefix("\ufeff"))
    else:
        if expected == expected and expected not in (float("inf"), float("-inf")):
            assert jsontext.loads(text) == expected


@given(VALUES, st.data())
def test_a_damaged_text_is_refused_or_read_alike(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.sampled_from(["", "x", '"', "}", "]", ",", "\0", "\\"])) + text[at + 1 :]
    try:
        expected = json.loads(damaged)
    except ValueError:
        expected = InvalidInput
    try:
        found = jsontext.loads(damaged)
    except InvalidInput as fault:
        assert expected is InvalidInput or "twice" in fault.what
    else:
        assert found == expected


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        jsontext.loads(text)
    assert refusal.value.what
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("text", "place"), [('{"a": 1,}', "column "), ('{\n  "a": x\n}', "line 2, column 8"), ("[1 2]", "column 4")]
)
def test_a_refusal_says_where(text: str, place: str) -> None:
    with pytest.raises(InvalidInput, match=place):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_what_only_python_calls_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not JSON"):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '[{"b":{"a":1,"a":1}}]'])
def test_a_name_given_twice_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="'a' twice"):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[" * 200_000 + "]" * 200_000])
def test_nesting_without_end_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        jsontext.loads(text)


def test_a_number_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too many digits"):
        jsontext.loads("1" * 5000)


def test_a_byte_order_mark_and_spaces_are_passed_over() -> None:
    assert jsontext.loads('\ufeff \r\n\t{"a": 1} \n') == {"a": 1}


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {"a": 1j}])
def test_what_has_no_json_form_is_our_own_mistake(value: object) -> None:
    with pytest.raises(TypeError):
        jsontext.dumps(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_json_has_not_are_never_written(value: object) -> None:
    for indent in (None, 2):
        with pytest.raises(ValueError):
            jsontext.dumps(value, indent)


def test_what_is_written_is_ascii() -> None:
    assert jsontext.dumps({"ä": "\x1b[31m\u202e"}).isascii()


def test_faults_are_found_in_a_process_that_has_not_loaded_json() -> None:
    code = (
        "import sys; from queuectl import jsontext, errors\n"
        "assert 'json' not in sys.modules\n"
        "for text in eval(sys.stdin.read()):\n"
        "    for name in [n for n in sys.modules if n == 'json' or n.startswith('json.')]: del sys.modules[name]\n"
        "    try: jsontext.loads(text)\n"
        "    except errors.InvalidInput: continue\n"
        "    print(repr(text))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=repr(MALFORMED), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
