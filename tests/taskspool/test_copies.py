"""Which jobs' outputs are copied: of every run, whatever has become of those before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from behaviour.harness import EACH_ENGINE, ENGINES

import queuectl
from queuectl import output
from queuectl.doors.taskspool_files import Copies, Outputs
from queuectl.doors.taskspool_words import QUEUE
from queuectl.lifecycle import Finished, GivenBack
from queuectl.model import Job, Options, Outcome, Serving
from queuectl.run.turn import Turn, TurnWriter
from queuectl.schedule import Backoff
from queuectl.workers import own_row


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_a_job_that_was_given_back_hides_no_other(engine: str, tmp_path: Path) -> None:
    """Its attempt is removed, and on one machine the next one gets its number."""
    with queuectl.open(ENGINES[engine](tmp_path)) as queue:
        with queue.store.transaction():
            worker = queue.store.add_worker(own_row(1, Serving((QUEUE,))))
        turns, outputs = TurnWriter(queue, worker, Serving((QUEUE,))), Outputs(str(tmp_path), queue.place.logs)
        copies = Copies(queue, outputs)
        copies.open()

        def added(n: int) -> Job:
            outputs.begin(n)
            return queue.add("true", id=f"ts-{n}", queue=QUEUE, priority=n)

        def claimed() -> Job:
            [job] = turns.commit(Turn([], [], free=1)).claimed
            copies.follow()
            return job

        added(1)
        turns.commit(Turn([(claimed(), GivenBack())], []))
        added(2)
        job = claimed()
        log = Path(output.log_path(queue.place.logs, job))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("--- run 1 started 2026-11-23T00:00:00Z\nout\n")
        end = Outcome(exit_code=0, started_us=1, ended_us=2)
        turns.commit(Turn([(job, Finished(end, Options(), Backoff()))], []))
        copies.follow()
        assert (tmp_path / "job-2.out").read_text() == "out\n"
        assert not copies.are_growing
