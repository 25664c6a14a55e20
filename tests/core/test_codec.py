"""Every field that a job may be given from outside: right, of the wrong type, out of range; and back again."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl import codec, jsontext, shown
from queuectl.errors import InvalidInput
from queuectl.lifecycle import a_job
from queuectl.model import Argv, Options, Shell, Spec
from queuectl.schedule import SECONDS_MAX

DAY_US = 86_400_000_000

SIZES: tuple[list[tuple[Any, Any]], list[Any]] = (
    [("500M", 500_000_000), ("2g", 2_000_000_000), (4096, 4096), ("0", 0), (None, None)],
    [-1, "-1k", "x", "M", "1.5G", 1.5, True, [], "9" * 40],
)
# field → (what is accepted and what it becomes, what is refused)
FIELDS: dict[str, tuple[list[tuple[Any, Any]], list[Any]]] = {
    "id": (
        [
            ("job1", "job1"),
            (12, "12"),
            ("a" * 128, "a" * 128),
            ("0", "0"),
            ("A.b_c-9", "A.b_c-9"),
            (None, None),
            ("lastly", "lastly"),
        ],
        [
            *("", " ", "a b", "../x", ".a", "-a", "_a", "a/b", "ä", "a\n", "a\0", "a" * 129, "٣"),
            *("all", "last", "last-3", "none", "5-9", True, 1.5, [], {}, -1),
        ],
    ),
    "queue": ([("default", "default"), ("a.b_c-9", "a.b_c-9")], ["", "a b", "-a", "ä", "a,b", "a" * 129, 5, None, True, []]),
    "priority": (
        [(0, 0), (-5, -5), ("7", 7), ("-7", -7), ("+7", 7), (codec.PRIORITY_MAX, codec.PRIORITY_MAX)],
        [*("", "-", "x", "1.5", "٣", "²", "1_0", " 1"), 1.5, None, True, [], {}, codec.PRIORITY_MAX + 1, 10**40, "9" * 400],
    ),
    "max_retries": ([(0, 0), ("3", 3), (1_000_000, 1_000_000), (None, None)], [-1, "-1", 1_000_001, 1.0, "x", True, [], {}]),
    "timeout": (
        [(0, 0.0), (1.5, 1.5), ("90", 90.0), ("2h30m", 9000.0), (None, None)],
        [-1, "-1", -0.001, "x", "", SECONDS_MAX + 1, float("nan"), float("inf"), True, [], {}],
    ),
    "delay": (
        [(0, 0.0), ("10m", 600.0), (0.25, 0.25), (None, None)],
        [-1, "-5m", "soon", SECONDS_MAX * 2, float("-inf"), True, [], {}],
    ),
    "run_at": (
        [("1970-01-02T00:00:00Z", DAY_US), ("1970-01-02", DAY_US), ("1970-01-02T01:00+01:00", DAY_US), (None, None)],
        ["", "tomorrow", "2025-02-30", 5, 5.0, True, [], {}],
    ),
    "key": (
        [("k", "k"), ("ä b", "ä b"), ("k" * 255, "k" * 255), (None, None)],
        ["", "k" * 256, "a\nb", "a\0", "\ud800", 5, True, []],
    ),
    "label": ([("l", "l"), ("\u202e", "\u202e"), (None, None)], ["", "l" * 256, "a\rb", "\udcff", 5, False, {}]),
    **dict.fromkeys(
        ("after", "after_any", "after_failed"),
        (
            [([], ()), (["a", 7], ("a", "7")), ("5, b-1", ("5", "b-1")), (5, ("5",))],
            ["", "a b", ["all"], "5-9", {}, None, True, 1.5, "x" * 129, ["a", ""], list(range(1001))],
        ),
    ),
    "where": (
        [([], ()), (["gpu", "big"], ("gpu", "big")), ("gpu, big", ("gpu", "big"))],
        ["", "a b", ["gpu "], [5], [""], None, 5, True, {}, "tag:gpu", "a,,b"],
    ),
    "limit_key": ([("api.example.org:443", "api.example.org:443"), (None, None)], ["", "k" * 256, "a\nb", "a\0", 5, True, []]),
    "cwd": ([("/tmp", "/tmp"), (None, None)], ["", " ", "a\0b", "\ud800", "x" * 131_072, 5, True, []]),
    "umask": ([(0, 0), (0o777, 0o777), ("18", 18), (None, None)], [-1, 0o1000, "x", 1.5, True, []]),
    "env": (
        [({}, {}), ({"A": ""}, {"A": ""}), ({"A": "1=2"}, {"A": "1=2"}), (None, None)],
        [[], "A=1", {"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "x\0"}, {"A": 1}, {"A": None}, {"A": "\ud800"}, 5, True],
    ),
    "if_interrupted": ([("rerun", "rerun"), ("hold", "hold"), ("fail", "fail")], ["", "Rerun", "x", None, 1, True, []]),
    "no_retry": (
        [([], ()), ([1, 255], (1, 255)), ("1,2 3", (1, 2, 3)), ((-9,), (-9,))],
        [[256], [-65], "x", [1.5], [True], 5, None, {}, ["x"]],
    ),
    "grace": ([(0, 0.0), ("5s", 5.0), (None, None)], [-1, "x", True, [], float("nan")]),
    "leftovers": ([("leave", "leave"), ("kill", "kill")], ["", "Kill", None, 1, True, []]),
    "callback": ([("http://a/b", "http://a/b"), (None, None)], ["", "a", "ftp://a", "http://", "http://a b", 5, True, []]),
    "callback_sign": ([("shop", "shop"), (None, None)], ["", "a b", "s" * 256, 5, True, []]),
    "memory": SIZES,
    "max_output": SIZES,
    "processes": ([(1, 1), ("64", 64), (None, None)], [0, -1, "x", 1.5, True, []]),
    "cpu_time": ([(0, 0.0), ("10m", 600.0), (None, None)], [-1, "x", True, [], float("nan")]),
    "nice": ([(0, 0), ("-20", -20), (19, 19), (None, None)], [-21, 20, "x", 1.5, True, []]),
    "stderr_apart": ([(True, True), (False, False)], [0, 1, "true", None, []]),
}

RIGHT = [(field, given_, becomes) for field, (right, _) in FIELDS.items() for given_, becomes in right]
WRONG = [(field, value) for field, (_, wrong) in FIELDS.items() for value in wrong]


def test_every_field_is_in_this_table() -> None:
    assert set(FIELDS) == set(codec.FIELDS)


@pytest.mark.parametrize(("field", "value", "becomes"), RIGHT, ids=lambda x: repr(x)[:20])
def test_a_right_value_is_taken(field: str, value: Any, becomes: Any) -> None:
    place = codec.FIELDS[field][0]
    spec = codec.spec(Shell("true"), {field: value})
    assert getattr(spec.options if place in Options.fields else spec, place) == becomes


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda x: repr(x)[:20])
def test_a_wrong_value_is_refused_and_the_field_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        codec.spec(Shell("true"), {field: value})
    assert refusal.value.field == field
    assert field in refusal.value.what
    assert len(str(refusal.value)) < 400
    str(refusal.value).encode("utf-8", "backslashreplace")


JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text())
    | st.dictionaries(st.text(), st.text())
)


@given(st.dictionaries(st.sampled_from(sorted(codec.FIELDS)), JUNK))
def test_any_junk_is_either_a_spec_or_named(fields: dict[str, Any]) -> None:
    try:
        spec = codec.spec(Shell("true"), fields)
    except InvalidInput as refusal:
        assert refusal.field in fields
    else:
        assert isinstance(spec, Spec)


@pytest.mark.parametrize("field", ["state", "attempts", "created_at", "updated_at", "next_run_at"])
def test_what_the_queue_keeps_itself_cannot_be_given(field: str) -> None:
    with pytest.raises(InvalidInput, match="the queue itself keeps it"):
        codec.spec(Shell("true"), {field: 1})


@pytest.mark.parametrize("field", ["prioritiy", "", "x" * 500, "command\n"])
def test_an_unknown_field_is_refused_with_those_there_are(field: str) -> None:
    with pytest.raises(InvalidInput, match="max_retries"):
        codec.spec(Shell("true"), {field: 1})


def test_delay_and_run_at_exclude_each_other() -> None:
    with pytest.raises(InvalidInput, match="both"):
        codec.spec(Shell("true"), {"delay": 1, "run_at": "2025-01-01"})


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ('{"command": "sleep 2"}', Shell("sleep 2")),
        ('{"argv": ["sleep", "2"]}', Argv(("sleep", "2"))),
        ('\ufeff{"command": "echo \\"a\\" $HOME"}', Shell('echo "a" $HOME')),
    ],
)
def test_a_json_job_is_read(text: str, work: Any) -> None:
    assert codec.spec_from_json(text) == Spec(work=work)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[]",
            "5",
            '"x"',
            "null",
            "{}",
            '{"id": "a"}',
            '{"command": ""}',
            '{"command": " "}',
            '{"command": 5}',
            '{"command": null}',
        ),
        *('{"command": "a", "argv": ["a"]}', '{"argv": []}', '{"argv": [""]}', '{"argv": "a"}', '{"argv": [1]}', '{"argv": null}'),
        *('{"command": "a\\u0000b"}', '{"argv": ["a\\u0000"]}', '{"command": "\\ud800"}', '{"command": "a", "x": 1}'),
    ],
)
def test_a_json_text_that_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        codec.spec_from_json(text)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("text", ["x" * 131_071, "é" * 65_535])
def test_the_longest_argument_is_taken(text: str) -> None:
    assert codec.command_text(text) == text
    assert codec.words([text]) == (text,)


@pytest.mark.parametrize("text", ["x" * 131_072, "é" * 65_536])
def test_a_longer_argument_is_refused_and_the_limit_named(text: str) -> None:
    for check in (codec.command_text, lambda t: codec.words(["a", t])):
        with pytest.raises(InvalidInput, match="131071"):
            check(text)


# ---------------------------------------------------------------- what goes out

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
OPTIONS = st.builds(
    Options,
    if_interrupted=st.sampled_from(["rerun", "hold", "fail"]),
    no_retry=st.lists(st.integers(-64, 255)).map(tuple),
    grace_s=st.none() | st.floats(0, 1e9),
    stderr_apart=st.booleans(),
    leftovers=st.sampled_from(["leave", "kill"]),
    memory=st.none() | st.integers(0, 2**62),
    nice=st.none() | st.integers(-20, 19),
)


@given(OPTIONS)
def test_options_are_stored_and_read_back(options: Options) -> None:
    assert codec.options_from(codec.options_text(options)) == options


def test_default_options_cost_nothing() -> None:
    assert codec.options_text(Options()) is None


@given(st.lists(TEXT, min_size=1))
def test_quoted_arguments_mean_the_same_to_a_shell(arguments: list[str]) -> None:
    assert shlex.split(codec.quoted(tuple(arguments))) == arguments


@given(st.lists(st.text("abc '\"\\$`!*?~#=%;&|<>()[]{}\n\t"), min_size=1))
def test_quoting_keeps_every_character_that_a_shell_reads_as_more(arguments: list[str]) -> None:
    assert shlex.split(codec.quoted(tuple(arguments))) == arguments


NUMBERS = st.integers(0, 10**6)
JOBS = st.builds(
    a_job,
    number=st.integers(1, 10**9),
    name=st.none() | st.just("build-1"),
    command=TEXT,
    stage=st.sampled_from(["ready", "later", "held", "running", "completed", "dead", "cancelled"]),
    work=st.none() | st.lists(TEXT, min_size=1).map(jsontext.dumps),
    attempts=NUMBERS,
    created_us=st.integers(0, 253_402_300_799_999_999),
    due_us=st.none() | st.integers(0, 253_402_300_799_999_999),
    started_us=st.none() | st.integers(0, 10**15),
    finished_us=st.none() | st.integers(0, 10**15),
    timeout_s=st.none() | st.floats(0, 1e9),
    exit_code=st.none() | st.integers(-64, 255),
    label=st.none() | TEXT,
)
FIRST = ("id", "command", "state", "attempts", "max_retries", "created_at", "updated_at")


@given(JOBS)
def test_a_job_is_shown_in_one_shape_that_json_holds(job: Any) -> None:
    found = shown.job_object(job)
    assert tuple(found)[: len(FIRST)] == FIRST
    assert jsontext.loads(jsontext.dumps(found)) == found
    assert found["id"] == (job.name or str(job.number))
    assert set(found) == set(shown.job_object(a_job()))


@given(JOBS)
def test_the_next_run_is_shown_only_while_a_job_waits_for_it(job: Any) -> None:
    found = shown.job_object(job)["next_run_at"]
    assert (found is not None) == (job.stage in ("later", "held") and job.due_us is not None)


@given(JOBS)
def test_a_job_of_an_argument_list_shows_it_unharmed(job: Any) -> None:
    words = None if job.work is None else jsontext.loads(job.work)
    assert shown.job_object(job.but(kind="argv" if words else "shell"))["argv"] == words
