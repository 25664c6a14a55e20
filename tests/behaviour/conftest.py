"""Each test gets a queue of its own on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import queuectl

from .harness import EACH_ENGINE, ENGINES, Place


@pytest.fixture(params=EACH_ENGINE)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = Place(ENGINES[request.param](tmp_path), tmp_path)
    yield place
    place.end()


@pytest.fixture
def open_queue(place: Place) -> Callable[..., queuectl.Queue]:
    """Opens the test's queue, as often as wanted; settings by name."""
    return place.open


@pytest.fixture
def queue(place: Place) -> queuectl.Queue:
    return place.open()
