"""Group E: clocks that are set, summer time, machines that sleep. Nothing runs twice, nothing is missed, no span of time
grows or shrinks."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.model import Shell, Spec

from .clocks import Clock, library, needs_clock
from .harness import LONG, ROOT, Trial, Verdict, eventually, figure, is_worker, mixed, ring, size

pytestmark = needs_clock
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),  # the last by half an hour
    *("America/Santiago", "Pacific/Chatham", "Africa/Cairo"),
)


def test_a_year_with_summer_time_and_a_clock_that_is_set(tmp_path: Path) -> None:
    told: Counter[str] = Counter()
    bad: list[str] = []
    for zone in ZONES if LONG else ZONES[:1]:
        folder = tmp_path / zone.replace("/", "-")
        folder.mkdir()
        clock = Clock(folder / "clock")
        environ = {**os.environ, **clock.environ(library(folder)), "TZ": zone}
        program = [sys.executable, "-m", f"{__package__}.year", str(folder), zone, "1", str(size(60, 900))]
        done = subprocess.run(program, env=environ, cwd=above(), capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        year = json.loads(done.stdout)
        bad += [f"{zone} {what}: {year[what][:3]}" for what in ("double", "missed", "wrong") if year[what]]
        told.update({name: n for name, n in year.items() if isinstance(n, int)})
    counts = ", ".join(f"{n} {name}" for name, n in told.items())
    reached = f"{len(ZONES) if LONG else 1} years: {counts}; {bad or '0 double, 0 missed, 0 early'}"
    promise = "E a simulated year: both changes of summer time, ±2 h and ±1 day, restart in the due second"
    figure(promise, "6 zones: 0 double, 0 missed", reached, not bad)


def above() -> Path:
    """Where this package can be imported by its name, whichever that is."""
    return ROOT if __package__.startswith("tests.") else ROOT / "tests"


def test_workers_are_killed_while_the_clock_is_set(trial: Callable[..., Trial], tmp_path: Path) -> None:
    clock, made = Clock(tmp_path / "clock"), library(tmp_path)
    draw, verdict, sets, kills = random.Random(4), Verdict(), 0, 0
    for _ in range(size(1, 6)):
        one = trial()
        one.environ |= clock.environ(made)
        one.add(mixed(draw) for _ in range(size(60, 250)))
        keeper = one.keeper(8)
        while not one.all_ended():
            clock.set_by(draw.choice((7200, -7200, 86400, -86400)))
            sets += 1
            time.sleep(draw.uniform(0.02, 0.3))
            worker = one.worker_of(keeper)
            time.sleep(draw.uniform(0.02, 0.2))
            if is_worker(worker) and draw.random() < 0.4:
                one.kill(worker)
        verdict.add(one.check())
        kills += one.kills
        one.end()
    reached = f"clock set {sets} times, {kills} kills: {verdict}"
    figure("E a worker killed by -9 while the clock is set", "0 lost, 0 twice, 0 wrong", reached, verdict.holds)


@pytest.mark.parametrize("adopted", [False, True], ids=["", "adopted"])
def test_a_timeout_is_as_long_as_it_was_whatever_the_clock_does(trial: Callable[..., Trial], tmp_path: Path, adopted: bool) -> None:
    clock, one = Clock(tmp_path / "clock"), trial()
    one.environ |= clock.environ(library(tmp_path))
    env = {"PATH": "/usr/bin:/bin"}
    one.queue.add_many([Spec(Shell("sleep 30"), env=env, cwd="/", max_retries=0, timeout_s=3.0) for _ in range(4)])
    keeper = one.keeper(4)
    eventually(lambda: sum(n for _, _, stage, n in one.queue.store.counts() if stage == "running") == 4)
    began, sets = time.monotonic(), (86400, -172800, 7200, 79200)
    # Until their processes are known: the worker takes the clock since boot for the kernel's, which this one will not be.
    eventually(lambda: sum(bool(run.pid) for job in one.queue.find() for run in one.queue.attempts(job)) == 4)
    for n, seconds in enumerate(sets):
        clock.set_by(seconds)
        if adopted and n == 1:
            one.kill(one.worker_of(keeper))
        if not adopted:
            clock.pass_by(8 * 3600)  # a machine that sleeps: a job that could not run has not used up its time
        ring(one)
        time.sleep(0.3)
    still = not one.all_ended()
    one.drained(20)
    took = time.monotonic() - began
    reasons = {job.reason for job in one.queue.find()}
    words = f"3 s lasted {took:.1f} s{', adopted meanwhile' if adopted else ''}; {reasons}"
    promise = "E timeouts of 3 s while the clock is set and the machine sleeps" + ", job adopted" * adopted
    figure(promise, "neither sooner nor later", words, still and 2.2 <= took < 8 and reasons == {"timeout"})
