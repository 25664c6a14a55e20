"""A worker's own part in its lease, on a store that machines share: when it cannot renew it, what others may start again
ends here first. Where nobody else may take a worker for dead there is nothing to do.
"""

from __future__ import annotations

from threading import Event, Thread, get_ident
from time import monotonic

from .. import clock, plan
from ..model import HOLD
from .running import processes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..store.base import Store
    from .slots import Slots
    from .terms import Terms

WATCH_S = 0.25
LOST = "store lost"  # why such a run was stopped


class Leased:
    def __init__(
        self,
        store: Store,
        terms: Terms,
        say: Callable[[str], None],
        under_way: Collection[object],
        end_elsewhere: Callable[[], int],
    ) -> None:
        """`end_elsewhere` asks what runs here and may start elsewhere to end, and returns how many that were."""
        self._store = store
        self._terms = terms
        self._say = say
        self._under_way = under_way
        self._end_elsewhere = end_elsewhere
        self._seen_s = monotonic()
        self._over = Event()
        if store.shared:
            store.impatient = get_ident()
            Thread(target=self._watch, name="lease", daemon=True).start()

    @property
    def tick_s(self) -> float:
        """A worker commits at least so often; the lease may be set otherwise meanwhile."""
        return min(plan.TICK_S, self._terms.config.lease / 8) if self._store.shared else plan.TICK_S

    def left_s(self) -> float:
        """Until the runs that may start elsewhere have to be asked to end, so that they are gone when the lease is."""
        config = self._terms.config
        margin = min(config.kill_grace + plan.TICK_S, config.lease / 3)
        return self._store.lease_until_s - margin - clock.since_boot_us() / 1e6

    def moments(self, now_s: float) -> list[float]:
        return [now_s + max(0.1, self.left_s())] if self._store.shared and self._under_way else []

    def _watch(self) -> None:
        """A loop that waits for a server which does not answer cannot end what it must: then the link is broken for it."""
        while not self._over.wait(max(WATCH_S, min(self.left_s(), self._terms.config.lease / 8))):
            if self.left_s() <= 0 and monotonic() - self._seen_s > WATCH_S:
                self._store.break_link()

    def close(self) -> None:
        self._over.set()

    def tend(self) -> bool:
        """End what others may start again when the lease is as good as over; returns whether it is."""
        self._seen_s = monotonic()
        if not self._store.shared or self.left_s() > 0:
            return False
        if ended := self._end_elsewhere():
            self._say(f"the store has not been reached for too long: ending {ended} jobs, which may start elsewhere")
        return True


def end_runs(slots: Slots) -> int:
    """A worker's `end_elsewhere`."""
    runs = [run for run in slots.runs.values() if not run.ending and run.options.if_interrupted != HOLD]
    table = processes_of(runs) if runs else None
    for run in runs:
        slots.stop(run, LOST, table)
    return len(runs)
