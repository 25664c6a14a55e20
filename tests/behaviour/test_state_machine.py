"""Any order of verbs and worker turns, against a model of a few lines: the rows, the sums and the history agree."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

import queuectl
from queuectl import Conflict, NotFound, Query, Shell, Spec
from queuectl.clock import now_us
from queuectl.lifecycle import Finished, GivenBack, Interrupted, Started
from queuectl.model import Job, Options, Outcome, Serving, state_of
from queuectl.schedule import Backoff
from queuectl.store.stats import by_state

from . import postgres
from .harness import EACH_ENGINE, ENGINES, eventually

FAR_US = 100_000_000_000  # further than any delay or backoff of this test
DELAY_S = 50_000.0
WORKER = 77


class Row:
    """What the model knows of a job."""

    def __init__(self, priority: int, max_retries: int, due: bool, command: str) -> None:
        self.priority = priority
        self.max_retries = max_retries
        self.command = command
        self.stage = "later" if due else "ready"
        self.due = due
        self.attempts = self.interruptions = self.run = self.runs_in_a_row = 0
        self.stop: str | None = None

    def enter(self, stage: str) -> None:
        if stage in ("ready", "running", "completed", "dead", "cancelled"):
            self.due = False
        if stage != "running":
            self.stop = None
        self.stage = stage


class QueueMachine(RuleBasedStateMachine):
    """The real store; a worker that claims and reports but runs nothing, so that any end can happen to any job."""

    jobs = Bundle("jobs")
    runs = Bundle("runs")

    def __init__(self, engine: str) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="queuectl-machine-"))
        self.url = ENGINES[engine](self.folder)
        self.queue = queuectl.open(self.url)
        self.model: dict[int, Row] = {}
        self.keys: dict[str, int] = {}
        self.highest = 0
        self.history: dict[int, int] = {}
        self.started: set[tuple[int, int]] = set()

    def teardown(self) -> None:
        self.queue.close()
        shutil.rmtree(self.folder)
        if self.url.startswith("postgresql:"):
            postgres.drop(self.url)

    @initialize(target=jobs)
    def begin(self) -> Any:
        return multiple()

    def known(self, job: Job, row: Row) -> int:
        assert job.number > self.highest, "a number was used twice"
        self.highest = job.number
        self.model[job.number] = row
        return job.number

    # ------------------------------------------------------------ adding

    @rule(target=jobs, priority=st.integers(-2, 2), max_retries=st.integers(0, 2), due=st.booleans(), queue=st.sampled_from("ab"))
    def add(self, priority: int, max_retries: int, due: bool, queue: str) -> int:
        fields: dict[str, Any] = {"delay": DELAY_S} if due else {}
        job = self.queue.add("true", priority=priority, max_retries=max_retries, queue=queue, **fields)
        return self.known(job, Row(priority, max_retries, due, "true"))

    @rule(target=jobs, key=st.sampled_from("xyz"), command=st.sampled_from(["true", "false"]))
    def add_with_key(self, key: str, command: str) -> Any:
        first = self.keys.get(key)
        if first not in self.model:
            first = self.keys[key] = self.known(self.queue.add(command, key=key), Row(0, 3, False, command))
            return first
        if self.model[first].command == command:
            assert self.queue.add(command, key=key).number == first
        else:
            with pytest.raises(Conflict):
                self.queue.add(command, key=key)
        return multiple()

    @rule(target=jobs, delays=st.lists(st.booleans(), min_size=1, max_size=4))
    def add_many(self, delays: list[bool]) -> Any:
        before = {job.number for job in self.queue.find()}
        self.queue.add_many(Spec(work=Shell("true"), delay_s=DELAY_S if due else None, max_retries=1) for due in delays)
        added = sorted((job for job in self.queue.find() if job.number not in before), key=lambda job: job.number)
        return multiple(*[self.known(job, Row(0, 1, due, "true")) for job, due in zip(added, delays, strict=True)])

    # ------------------------------------------------------------ what people ask for

    def asked(self, verb: str, number: int, leads_to: str | None) -> None:
        """`leads_to` None: refused; `asks …`: the worker is asked."""
        act = getattr(self.queue, verb)
        if number not in self.model:
            with pytest.raises(NotFound):
                act(number)
        elif leads_to is None:
            with pytest.raises(Conflict):
                act(number)
        else:
            [after] = act(number)
            row = self.model[number]
            if leads_to.startswith("asks "):
                row.stop = leads_to.removeprefix("asks ")
            else:
                row.enter(leads_to)
            assert after == self.queue.get(number)

    @rule(number=jobs)
    def cancel(self, number: int) -> None:
        waits = dict.fromkeys(("ready", "later", "held"), "cancelled")
        row = self.model.get(number)
        self.asked("cancel", number, {**waits, "claimed": "asks cancel", "running": "asks cancel"}.get(row.stage) if row else None)

    @rule(number=jobs)
    def hold(self, number: int) -> None:
        row = self.model.get(number)
        self.asked("hold", number, {"ready": "held", "later": "held", "claimed": "asks hold"}.get(row.stage) if row else None)

    @rule(number=jobs)
    def release(self, number: int) -> None:
        row = self.model.get(number)
        held = row is not None and row.stage == "held"
        if row and held:
            row.interruptions = 0
        self.asked("release", number, ("later" if row and row.due else "ready") if held else None)

    @rule(number=jobs)
    def retry(self, number: int) -> None:
        row = self.model.get(number)
        allowed = row is not None and (row.stage in ("dead", "cancelled") or (row.stage == "later" and row.attempts > 0))
        if row and allowed and row.stage != "later":
            row.attempts = row.interruptions = 0
        self.asked("retry", number, "ready" if allowed else None)

    @rule()
    def cancel_whatever_can_be(self) -> None:
        for row in self.model.values():
            if row.stage in ("ready", "later", "held"):
                row.enter("cancelled")
            elif row.stage in ("claimed", "running"):
                row.stop = "cancel"
        self.queue.cancel(Query())

    @rule()
    def prune(self) -> None:
        ended = {n for n, row in self.model.items() if row.stage in ("completed", "dead", "cancelled")}
        assert {job.number for job in self.queue.prune(Query())} == ended
        for number in ended:
            del self.model[number]
            self.history.pop(number, None)

    # ------------------------------------------------------------ what a worker does

    @rule(target=runs, free=st.integers(0, 3), ahead=st.integers(0, 2), far=st.booleans(), only=st.sampled_from(["", "a"]))
    def claim(self, free: int, ahead: int, far: bool, only: str) -> Any:
        now = now_us() + (FAR_US if far else 0)
        self.until_claims_look_at_all()
        with self.queue.store.transaction():
            taken = self.queue.store.claim(WORKER, free, ahead, now, Serving((only,) if only else ())).jobs
        if far:
            for row in self.model.values():
                if row.stage == "later":
                    row.enter("ready")
        queues = {job.number: job.queue for job in self.queue.find()}
        ready = [n for n, row in self.model.items() if row.stage == "ready" and (not only or queues[n] == only)]
        ready.sort(key=lambda n: (-self.model[n].priority, n))
        assert [job.number for job in taken] == ready[: free + ahead]
        for place, job in enumerate(taken):
            row = self.model[job.number]
            row.run += 1
            row.enter("running" if place < free else "claimed")
            assert (job.number, job.run) not in self.started, "one run was given away twice"
            self.started.add((job.number, job.run))
        return multiple(*taken)

    def until_claims_look_at_all(self) -> None:
        """Where lanes are read from a mark on, and due times not at each claim, what was passed by is found a moment later."""
        store = self.queue.store
        for look in (store.marks.full_look, store._due_look) if store.shared else ():
            eventually(lambda look=look: look.allows(monotonic()))
        if store.shared:
            store.marks.busy_until_s = 0.0

    def reported(self, job: Job, event: Any) -> Row | None:
        """Tell the store; the model's row when the run is still that worker's, None when it was fenced off."""
        row = self.model.get(job.number)
        mine = row is not None and row.run == job.run and row.stage in ("claimed", "running")
        try:
            with self.queue.store.transaction():
                change = self.queue.store.apply(job, event, now_us(), "worker")
        except Conflict:
            assert row is not None
            assert row.run == job.run
            assert not mine or (event.name == "start" and row.stage == "running")
            return None
        assert (change is not None) == mine
        return row if mine else None

    @rule(job=runs)
    def start(self, job: Job) -> None:
        row = self.reported(job, Started(now_us()))
        if row:
            row.stage = "running"

    @rule(job=consumes(runs), exit_code=st.sampled_from([0, 0, 1, 65, -9, None]))
    def finish(self, job: Job, exit_code: int | None) -> None:
        now = now_us()
        outcome = Outcome(exit_code=exit_code, started_us=now, ended_us=now)
        row = self.reported(job, Finished(outcome, Options(no_retry=(65,)), Backoff()))
        if row:
            row.attempts += 1
            if exit_code == 0:
                row.enter("completed")
            elif row.stop == "cancel":
                row.enter("cancelled")
            elif exit_code == 65 or row.attempts > row.max_retries:
                row.enter("dead")
            else:
                row.due = True
                row.enter("held" if row.stop == "hold" else "later")

    @rule(job=consumes(runs))
    def give_back(self, job: Job) -> None:
        row = self.reported(job, GivenBack())
        if row:
            row.enter({"cancel": "cancelled", "hold": "held"}.get(row.stop or "", "ready"))

    @rule(job=consumes(runs))
    def interrupt(self, job: Job) -> None:
        row = self.reported(job, Interrupted("power", Options(), Backoff()))
        if row:
            row.interruptions += 1
            held = row.stop == "hold" or row.interruptions >= 3
            row.enter("cancelled" if row.stop == "cancel" else "held" if held else "ready")

    @rule(job=runs)
    def an_old_word_again(self, job: Job) -> None:
        """A worker that was frozen says of a run what has long been decided."""
        row = self.model.get(job.number)
        if row is None or row.run != job.run:
            assert self.reported(job, GivenBack()) is None

    # ------------------------------------------------------------ what is always so

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        rows = {job.number: job for job in self.queue.find()}
        assert set(rows) == set(self.model)
        for number, row in self.model.items():
            job = rows[number]
            found = (job.stage, job.attempts, job.run, job.interruptions, job.stop)
            assert found == (row.stage, row.attempts, row.run, row.interruptions, row.stop)
            assert job.state == state_of(job.stage, job.attempts)
            assert (job.due_us is not None) == row.due
            assert job.attempts <= job.max_retries + 1
            assert (job.worker is not None) == (job.stage in ("claimed", "running"))

    @invariant()
    def sums_are_what_counting_says(self) -> None:
        store = self.queue.store
        counted = store.run("select queue, state, stage, count(*) from jobs group by queue, state, stage")
        assert sorted(store.counts()) == sorted(counted)
        assert sum(by_state(store).values()) == len(self.model)
        if store.shared:
            return  # where what is ready is seen in an index, lanes keep no count of it
        lanes = dict(store.run("select id, ready from lanes where ready <> 0"))
        assert lanes == dict(store.run("select lane, count(*) from jobs where stage = 'ready' group by lane"))

    @invariant()
    def history_only_grows(self) -> None:
        found = dict(self.queue.store.run("select job, count(*) from history group by job"))
        assert set(found) == set(self.model)
        assert all(found[number] >= before for number, before in self.history.items())
        self.history = found


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return str(request.param)


def try_orders(engine: str, examples: int, steps: int) -> None:
    every = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(partial(QueueMachine, engine), settings=every)


# On a server each example makes a schema of its own: there are fewer of them.
@pytest.mark.parametrize("engine", EACH_ENGINE, indirect=True)
def test_any_order_of_verbs(engine: str) -> None:
    try_orders(engine, {"sqlite": 40, "postgres": 8}[engine], 30)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", EACH_ENGINE, indirect=True)
def test_many_orders_of_verbs(engine: str) -> None:
    short, long = {"sqlite": (200, 800), "postgres": (30, 400)}[engine]
    try_orders(engine, long if os.environ.get("QUEUECTL_CHAOS") == "long" else short, 80)
