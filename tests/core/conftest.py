"""What the tests of the pure core share: an outcome, a finish, settings of Hypothesis that a busy machine can keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from queuectl.lifecycle import Finished
from queuectl.model import Options, Outcome
from queuectl.schedule import Backoff

settings.register_profile("queuectl", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("queuectl")

ENDED_US = 1_000_000_000


@pytest.fixture
def finished() -> Callable[..., Finished]:
    """Opens a `Finished`: `finished(1)`, `finished(0, reason="timeout")`, `finished(3, no_retry=(3,))`."""

    def make(
        exit_code: int | None = 0,
        reason: str = "",
        no_retry: tuple[int, ...] = (),
        backoff: Backoff = Backoff(),
        draw: float = 0.0,
    ) -> Finished:
        outcome = Outcome(exit_code=exit_code, started_us=ENDED_US - 5, ended_us=ENDED_US, reason=reason)
        return Finished(outcome, Options(no_retry=no_retry), backoff, draw)

    return make
