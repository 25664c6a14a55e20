"""The selection syntax: one way to say which jobs are meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.codec import job_id
from queuectl.errors import InvalidInput
from queuectl.model import STATES, Query
from queuectl.select import query


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], Query()),
        (["all"], Query()),
        (["5"], Query(ids=("5",))),
        (["build-7", "x"], Query(ids=("build-7", "x"))),
        (["5-9"], Query(ranges=((5, 9),))),
        (["7-7"], Query(ranges=((7, 7),))),
        (["1,3,8-10"], Query(ids=("1", "3"), ranges=((8, 10),))),
        (["last"], Query(last=1)),
        (["last-3", "last"], Query(last=3)),
        (["@mail"], Query(queue="mail")),
        (["%nightly", "@mail"], Query(queue="mail", label="nightly")),
        (["1,,2,"], Query(ids=("1", "2"))),
    ],
)
def test_words_mean(words: list[str], meant: Query) -> None:
    assert query(words) == meant


@pytest.mark.parametrize("word", ["last-0", "last-x", "last--1", "last-²", "last-9999999999", "9-5"])
def test_a_selection_that_means_nothing_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        query([word])


@pytest.mark.parametrize("word", ["²-5", "٣-٤", "1-99999999999999999999", "-5", "5-"])
def test_what_only_looks_like_a_range_is_an_id_that_no_job_has(word: str) -> None:
    assert query([word]) == Query(ids=(word,))


@pytest.mark.parametrize("states", [["dead", "failed"], ["dead,failed"], ["dead,", "failed"]])
def test_states_are_given_one_by_one_or_in_a_list(states: list[str]) -> None:
    assert query([], states).states == ("dead", "failed")


@pytest.mark.parametrize("state", ["Dead", "running", "dead failed", "*"])
def test_an_unknown_state_is_refused_with_those_there_are(state: str) -> None:
    with pytest.raises(InvalidInput, match="processing"):
        query([], [state])


@given(st.lists(st.text()), st.lists(st.sampled_from(STATES)))
def test_any_words_are_a_query_or_refused(words: list[str], states: list[str]) -> None:
    try:
        assert isinstance(query(words, states), Query)
    except InvalidInput as refusal:
        assert refusal.hint


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True))
def test_every_id_that_may_be_chosen_means_that_job(text: str) -> None:
    try:
        job_id(text)
    except InvalidInput:
        return
    assert query([text]) == Query(ids=(text,))
