"""The same done to many jobs, a request's worth at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import queuectl
from queuectl.errors import InvalidInput
from queuectl.ops import acts


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[queuectl.Queue]:
    with queuectl.open(f"sqlite://{tmp_path}/queuectl.db") as queue:
        yield queue


def swept(queue: queuectl.Queue, **given: Any) -> list[dict[str, Any]]:
    """The answers until nothing is left; a job is added after each."""
    answers = [acts.act(queue, given)]
    while answers[-1]["next"] is not None:
        queue.add("true")
        answers.append(acts.act(queue, {**given, "after": answers[-1]["next"]}))
    return answers


def test_what_does_not_fit_into_one_request_goes_on_where_it_ended(queue: queuectl.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "ACT_S", 0.0)
    queue.add_many(["true"] * 1700)
    answers = swept(queue, action="hold", where={})
    assert len(answers) == 4
    assert sum(answer["changed"] for answer in answers) == 1700  # each once, and none that came meanwhile
    assert queue.count(queuectl.Query(stages=("held",))) == 1700
    assert sum(answer["matched"] for answer in swept(queue, action="release", where={}, dry_run=True)) == 1703
    assert sum(answer["changed"] for answer in swept(queue, action="release", where={"state": ("pending",)})) == 1700
    assert sum(answer["changed"] for answer in swept(queue, action="priority", where={}, value=7)) == 1700 + 3 + 3 + 3
    assert sum(answer["changed"] for answer in swept(queue, action="cancel", where={})) == queue.count() - 3
    ended = queue.count(queuectl.Query(states=("cancelled",)))
    assert sum(answer["changed"] for answer in swept(queue, action="delete", where={})) == ended


def test_all_that_is_meant_fits_into_one_answer_where_it_is_quick(queue: queuectl.Queue) -> None:
    queue.add_many(["true"] * 1700)
    assert acts.act(queue, {"action": "cancel", "where": {}}) == {"matched": 1700, "changed": 1700, "next": None}
    assert acts.act(queue, {"action": "cancel", "where": {}}) == {"matched": 1700, "changed": 0, "next": None}
    assert acts.act(queue, {"action": "retry", "ids": ["3", "3", "9999"]}) == {"matched": 1, "changed": 1, "next": None}


@pytest.mark.parametrize("after", ["", "7", "7.", ".7", "x.7", "7.-1", "1" * 50])
def test_a_place_that_was_made_up_is_refused(queue: queuectl.Queue, after: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        acts.act(queue, {"action": "cancel", "where": {}, "after": after})
