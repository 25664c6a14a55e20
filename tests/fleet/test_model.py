"""The model of claim, lease and fence holds, and fails when a rule is left out of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lease_model", Path(__file__).parents[2] / "docs/models/lease.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.chaos
def test_every_order_of_every_step_keeps_the_promises(model: ModuleType) -> None:
    states, _ = model.check()
    assert states > 100_000


def test_without_ending_its_own_jobs_in_time_two_would_run_at_once(model: ModuleType) -> None:
    model.MARGIN = 0
    with pytest.raises(AssertionError, match="two processes at the same time"):
        model.check()


def test_without_the_fence_a_late_word_would_count(model: ModuleType) -> None:
    def believed(state: object, word: tuple[int, int]) -> object:
        words = tuple(other for other in state.words if other != word)  # type: ignore[attr-defined]
        return state._replace(words=words, completed=state.completed + 1, job="completed")  # type: ignore[attr-defined]

    model.heard = believed
    with pytest.raises(AssertionError, match="completed twice"):
        model.check()
