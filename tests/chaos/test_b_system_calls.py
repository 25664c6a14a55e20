"""Groups A and C: the worker is killed, or the system refuses, at each system call of claim, start, end and takeover."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from .harness import Trial, Verdict, figure, size
from .straced import SCRIPTS, Point, needs_strace, points

pytestmark = needs_strace

# What the system may answer, by call.
REFUSALS = {
    "openat": ("ENOSPC", "EMFILE", "EIO", "ENOMEM"),
    "write": ("ENOSPC", "EIO"),
    "pwrite64": ("ENOSPC", "EIO"),
    "pread64": ("EIO",),
    "fdatasync": ("EIO", "ENOSPC"),
    "ftruncate": ("EIO",),
    "clone3": ("EAGAIN", "ENOMEM"),
    "clone": ("EAGAIN", "ENOMEM"),
    "vfork": ("EAGAIN", "ENOMEM"),
    "pidfd_open": ("EMFILE", "ENOMEM"),
    "fcntl": ("ENOLCK",),
    "flock": ("ENOLCK",),
    "rename": ("ENOSPC", "EIO"),
    "unlink": ("EIO",),
    "newfstatat": ("EIO",),
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "mmap": ("ENOMEM",),
    "waitid": ("EINTR",),
}


@pytest.fixture(scope="module")
def enumerated(tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    folder = tmp_path_factory.mktemp("points")
    opened: list[Trial] = []

    def open_one() -> Trial:
        opened.append(Trial(folder / f"trial{len(opened)}"))
        return opened[-1]

    found = list(points(open_one, folder))
    assert len(found) >= 300, len(found)
    return found


def strike(trial: Callable[..., Trial], chosen: list[tuple[Point, str]], log: Path) -> tuple[Verdict, list[str]]:
    verdict, bad = Verdict(), []
    for point, what in chosen:
        one = trial()
        options = ("-e", f"trace={point.call}", "-e", f"inject={point.call}:{what}:when={point.n}")
        try:
            found = SCRIPTS[point.script](one, point.thread, log, *options)
        except AssertionError as fault:
            found = Verdict(lost=[f"{fault}"])
        if not found.holds or "Traceback" in one.said():
            bad.append(f"{point} {what}: {found}\n{one.said()[-2000:]}")
        verdict.add(found)
        one.end()
    return verdict, bad


def test_a_worker_killed_at_each_system_call(trial: Callable[..., Trial], enumerated: list[Point], tmp_path: Path) -> None:
    draw = random.Random(5)
    chosen = sorted(draw.sample(enumerated, min(len(enumerated), size(14, 500))))
    verdict, bad = strike(trial, [(point, "signal=KILL") for point in chosen], tmp_path / "log")
    print("\n".join(bad))
    figure(
        "A worker killed at enumerated system calls",
        "≥ 400 points: all recover",
        f"{len(chosen)} of {len(enumerated)} points, {len(bad)} bad: {verdict}",
        verdict.holds and not bad,
    )


def test_the_system_refuses_at_any_system_call(trial: Callable[..., Trial], enumerated: list[Point], tmp_path: Path) -> None:
    draw = random.Random(6)
    possible = [(point, f"error={error}") for point in enumerated for error in REFUSALS.get(point.call, ())]
    chosen = sorted(draw.sample(possible, min(len(possible), size(10, 300))))
    verdict, bad = strike(trial, chosen, tmp_path / "log")
    print("\n".join(bad))
    figure(
        "C errors injected (ENOSPC, EIO, EMFILE, EAGAIN, ENOMEM, ENOLCK)",
        "≥ 120 recover, no traceback",
        f"{len(chosen)} of {len(possible)} errors, {len(bad)} bad: {verdict}",
        verdict.holds and not bad,
    )
