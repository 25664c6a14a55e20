"""A store on a server, and openers of machines that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from behaviour import postgres

import queuectl

from .hosts import Host, machines


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if why := postgres.missing():
        pytest.skip(why)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    url = postgres.url()
    yield url
    postgres.drop(url)


@pytest.fixture
def queue(store: str) -> Iterator[queuectl.Queue]:
    """The same store, seen from here."""
    with queuectl.open(store) as queue:
        queue.settings.set("lease", 4)
        queue.settings.set("kill_grace", 0.3)
        yield queue


@pytest.fixture
def host(store: str, queue: queuectl.Queue, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    with machines(tmp_path, store) as host:
        yield host
