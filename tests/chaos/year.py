"""A year in one time zone with a real worker: `python -m tests.chaos.year FOLDER ZONE SEED STEPS`, under a clock of `clocks`.

Time goes by in steps. After each, the jobs that must run now are known beforehand: those whose delay or backoff is over,
however the clock was set meanwhile, and those whose moment has come. Each job writes the step it ran in to a ledger.
Printed as JSON: what ran in another step than it should have, or not once.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from queuectl.model import Shell, Spec

from .clocks import Clock
from .harness import Trial, alive, eventually, ring

YEAR_S = 365 * 86400
JUMPS_S = (7200, -7200, 86400, -86400, 3600, -3600, 90, -90)
MARGIN_S = 5.0  # no step ends so near to a moment that it could be told to be before or after it
BACKOFF_BASE = 100  # the first retry after 100 s, the second after nearly three hours
TEXT = 'read step <"$STEP"; printf "%s %s %s\\n" "$QUEUECTL_JOB_ID" "${QUEUECTL_RUN##*:}" "$step" >>"$LEDGER"; '


@dataclass
class Waiting:
    """A run that is to come: at a moment of the wall clock, or when a span of time is over (its end known to lie between two)."""

    name: str
    run: int
    moment: bool
    first: float
    last: float
    fails: int = 0


def true_now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Year:
    def __init__(self, folder: Path, zone: str, seed: int) -> None:
        self.draw = random.Random(f"{zone} {seed}")
        self.zone = ZoneInfo(zone)
        self.clock = Clock(Path(os.environ["TEST_CLOCK"]))
        self.trial = Trial(folder / "year", backoff_base=BACKOFF_BASE, keep_days=0)
        self.step_file = folder / "step"
        self.step = 0
        self.note_step()
        self.env = {"LEDGER": str(self.trial.ledger), "STEP": str(self.step_file), "PATH": "/usr/bin:/bin"}
        self.waiting: list[Waiting] = []
        self.expected: dict[tuple[str, int], int] = {}  # (job, run) → step
        self.counts: Counter[str] = Counter()
        self.missed: list[str] = []

    def note_step(self) -> None:
        new = self.step_file.with_suffix(".new")
        new.write_text(f"{self.step}\n")
        new.rename(self.step_file)

    # -------------------------------------------------------- jobs

    def add(self, fails: int = 0, **when: object) -> None:
        """One job; `fails` times it fails and is retried."""
        statuses = " ".join(str(9 * (n < fails)) for n in range(3))
        text = TEXT + f'set -- {statuses}; shift $((QUEUECTL_ATTEMPT - 1)); exit "$1"'
        before = true_now()
        job = self.trial.queue.add(Spec(Shell(text), env=self.env, cwd="/", max_retries=2, **when))  # type: ignore[arg-type]
        after = true_now()
        if "run_at_us" in when:
            at = float(when["run_at_us"]) / 1e6  # type: ignore[arg-type]
            self.waiting.append(Waiting(job.id, 1, True, at, at, fails))
        else:
            span = float(when["delay_s"])  # type: ignore[arg-type]
            self.waiting.append(Waiting(job.id, 1, False, before + span, after + span, fails))

    def add_moments(self) -> None:
        """A moment on each day, and every ten minutes around both changes of summer time, as a person writes them."""
        now = datetime.now(UTC)
        moments = {now + timedelta(days=day, seconds=self.draw.uniform(600, 86000)) for day in range(364)}
        for change in changes(self.zone, now):
            local = change.astimezone(self.zone).replace(tzinfo=None)
            for minutes in range(-120, 121, 10):
                for fold in (0, 1):
                    wall = (local + timedelta(minutes=minutes)).replace(tzinfo=self.zone, fold=fold)
                    moments.add(datetime.fromisoformat(wall.isoformat()).astimezone(UTC))
            self.counts["changes of summer time"] += 1
        for moment in moments:
            self.add(run_at_us=round(moment.timestamp() * 1e6))

    # -------------------------------------------------------- time

    def is_due(self, one: Waiting) -> bool:
        return (time.time() if one.moment else true_now()) >= one.last

    def is_near(self, one: Waiting, passed_s: float) -> bool:
        now = (time.time() if one.moment else true_now()) + passed_s
        return one.first - MARGIN_S < now < one.last + MARGIN_S

    def go_on(self, seconds: float) -> None:
        """A step: the clock moves, and what is due by then must run, and nothing else."""
        while any(self.is_near(one, seconds) for one in self.waiting):
            seconds += 2 * MARGIN_S + 1
        self.next_step()
        self.clock.pass_by(seconds)
        self.settle()

    def set_clock(self) -> None:
        """Somebody sets it; moments may have come by that, spans are never over sooner or later."""
        jump = self.draw.choice(JUMPS_S)
        while any(one.moment and self.is_near(one, jump) for one in self.waiting):
            jump += 2 * MARGIN_S + 1
        self.next_step()
        self.clock.set_by(jump)
        self.counts["clock set"] += 1
        if true_now() < self.end and self.draw.random() < 0.5:  # before any worker has looked
            self.add(delay_s=self.draw.uniform(60, 86400))
        self.settle()

    def restart_exactly_at_the_due_second(self) -> None:
        self.trial.command("worker", "stop")
        one = min(self.waiting, key=lambda w: w.first - (time.time() if w.moment else true_now()))
        left = one.first - (time.time() if one.moment else true_now())
        self.next_step()
        self.clock.pass_by(max(0.0, left))
        eventually(lambda: self.is_due(one))
        self.start()
        self.counts["restarts in the due second"] += 1
        self.settle()

    def next_step(self) -> None:
        self.step += 1
        self.note_step()
        self.counts["steps"] += 1

    def settle(self) -> None:
        """Wait for the runs that are due by now, and for the retries that follow from them to be known."""
        due = [one for one in self.waiting if self.is_due(one)]
        self.waiting = [one for one in self.waiting if one not in due]
        before = true_now()
        for one in due:
            self.expected[one.name, one.run] = self.step
        ring(self.trial)
        try:
            eventually(lambda: not [one for one in due if not self.has_ended(one)], 60, "the runs of this step")
        except AssertionError:
            self.missed += [f"job {one.name} run {one.run} in step {self.step}" for one in due if not self.has_ended(one)]
        after = true_now()
        for one in due:
            if one.fails:
                span = BACKOFF_BASE**one.run
                self.waiting.append(Waiting(one.name, one.run + 1, False, before + span, after + span, one.fails - 1))

    def has_ended(self, one: Waiting) -> bool:
        job = self.trial.queue.get(one.name)
        return job.run >= one.run and job.stage in ("later", "completed", "dead")

    def start(self) -> None:
        self.keeper = self.trial.keeper(4)

    # -------------------------------------------------------- the whole

    def live(self, steps: int) -> None:
        self.start()
        self.add_moments()
        self.end = true_now() + YEAR_S
        while true_now() < self.end or (self.waiting and not self.missed):
            for _ in range(self.draw.choice((0, 1, 1, 2)) if true_now() < self.end else 0):
                self.add(fails=self.draw.choice((0, 0, 0, 1, 2)), delay_s=self.draw.uniform(30, 3 * 86400))
            self.go_on(YEAR_S / steps * self.draw.uniform(0.1, 1.9))
            if self.draw.random() < 0.1:
                self.set_clock()
            if self.draw.random() < 0.02 and self.waiting:
                self.restart_exactly_at_the_due_second()
        self.trial.command("worker", "stop")
        eventually(lambda: not alive(self.keeper))

    def told(self) -> dict[str, object]:
        ran: dict[tuple[str, int], list[int]] = {}
        for line in self.trial.ledger.read_text().splitlines():
            name, run, step = line.split()
            ran.setdefault((name, int(run)), []).append(int(step))
        expected = self.expected
        wrong = {key: steps[0] for key, steps in ran.items() if expected.get(key) != steps[0]}
        told = {
            "double": [f"job {n} run {r}: steps {steps}" for (n, r), steps in ran.items() if len(steps) > 1],
            "missed": self.missed + [f"job {n} run {r}" for n, r in expected if (n, r) not in ran],
            "wrong": [f"job {n} run {r}: step {step}, not {expected.get((n, r))}" for (n, r), step in wrong.items()],
        }
        return {"runs": len(ran), **self.counts, **told, "said": self.trial.said()[-500:]}


def changes(zone: ZoneInfo, now: datetime) -> list[datetime]:
    """When this zone changes its distance from UTC, in the year to come, to the minute."""
    found = []
    for hour in range(YEAR_S // 3600):
        a, b = now + timedelta(hours=hour), now + timedelta(hours=hour + 1)
        if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset():
            while b - a > timedelta(minutes=1):
                middle = a + (b - a) / 2
                same = middle.astimezone(zone).utcoffset() == a.astimezone(zone).utcoffset()
                a, b = (middle, b) if same else (a, middle)
            found.append(b)
    return found


def main(words: list[str]) -> None:
    folder, zone, seed, steps = Path(words[0]), words[1], int(words[2]), int(words[3])
    year = Year(folder, zone, seed)
    try:
        year.live(steps)
        print(json.dumps(year.told()))
    finally:
        year.trial.end()


if __name__ == "__main__":
    main(sys.argv[1:])
