"""Group C: power cuts, full disks, damaged databases. Needs root and loop devices for the first two."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from queuectl.model import Options, Shell, Spec

from .harness import END, START, Trial, alive, eventually, figure, job, kill_marked, size

EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, b"\2\0\0\0"
ADDER = """
import sys, queuectl
queue = queuectl.open(sys.argv[1])
while True:
    print(queue.add("true", max_retries=0).id, flush=True)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: NO power cut and NO full disk was tried")


class Disk:
    """A file system of its own, mounted in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.at = folder / "disk"
        self.at.mkdir()

    def ext4(self, megabytes: int) -> None:
        image = self.folder / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        run("mkfs.ext4", "-q", "-F", str(image))

    def mount(self, *words: str) -> None:
        run("mount", *words, str(self.at))

    def mount_image(self) -> None:
        """A process with mounts of its own, as another test may have just now, keeps what was unmounted here; whoever mounted the
        image again meanwhile would get the very file system that was shut down."""
        image = str(self.folder / "image")
        eventually(lambda: not subprocess.check_output(["losetup", "-j", image]), 180, "the image's device to be free")
        self.mount("-o", "loop", image)

    def cut_power(self) -> None:
        """Nothing that was not flushed is there afterwards."""
        fd = os.open(self.at, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
        os.close(fd)

    def unmount(self) -> None:
        eventually(lambda: run("umount", str(self.at), check=False) == 0 or not self.is_mounted(), 20, "umount")

    def is_mounted(self) -> bool:
        """As the kernel lists it: of a file system that was shut down `os.path.ismount` may see nothing."""
        return any(line.split()[1] == str(self.at) for line in Path("/proc/self/mounts").read_text().splitlines())


def run(*words: str, check: bool = True) -> int:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        pytest.skip(f"{' '.join(words)}: {done.stderr.strip()}: NO such disk could be made")
    return done.returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    one = Disk(tmp_path)
    yield one
    if one.is_mounted():
        subprocess.run(["umount", "-l", str(one.at)], check=False)


def end_all(one: Trial) -> None:
    """Everything that uses the disk, at once."""
    one.queue.close()
    kill_marked((f"QUEUECTL_URL={one.url}\0".encode(), f"LEDGER={one.ledger}\0".encode()))
    for process in one.processes:
        process.wait(20)
    one.ended = True


@needs_root
def test_power_cuts_lose_no_acknowledged_job(disk: Disk, tmp_path: Path) -> None:
    cuts, acknowledged, lost, twice, damaged, cut_runs = size(2, 30), 0, 0, 0, 0, 0
    disk.ext4(2000)  # sparse; near its end no job would start
    draw = random.Random(9)
    for n in range(cuts):
        disk.mount_image()
        one = Trial(disk.at / f"q{n}")
        one.ledger = tmp_path / f"{n}.ledger"  # on another disk: it tells what really ran
        one.ledger.touch()
        env = {"LEDGER": str(one.ledger), "PATH": "/usr/bin:/bin"}
        careful = [
            Spec(Shell(START + "sleep 0.05; " + END), env=env, cwd="/", max_retries=0, options=Options(if_interrupted=choice))
            for choice in ("hold", "fail", "rerun") * 30
        ]
        one.queue.add_many(careful)
        one.keeper(4)
        adder = subprocess.Popen([sys.executable, "-c", ADDER, one.url], env=one.environ, stdout=subprocess.PIPE, text=True)
        one.processes.append(adder)
        time.sleep(draw.uniform(0.3, 1.2))
        told = so_far(adder)  # before the cut: it lives on, as nothing does after a real one, and a flush under way
        disk.cut_power()  # in this moment may even be called done by a file system that is shut down
        adder.kill()
        end_all(one)
        disk.unmount()
        disk.mount_image()
        found = after_reboot(disk.at / f"q{n}" / "queuectl.db")
        damaged += found is None
        lost += len(set(told) - (found or set()))
        acknowledged += len(told)
        again = Trial(disk.at / f"q{n}")
        again.ledger = one.ledger
        again.environ["LEDGER"] = str(one.ledger)
        again.keeper(4)
        again.drained(60)
        runs = [line[1] for line in again.lines() if line[0] == "start"]
        twice += sum(runs.count(str(at)) > 1 for at in range(1, 91) if at % 3 != 0)  # hold and fail: at most once
        lost += again.queue.store.run("select count(*) from jobs where stage not in ('completed', 'held', 'dead')")[0][0]
        cut_runs += again.queue.store.run("select sum(interruptions) from jobs")[0][0]
        end_all(again)
        disk.unmount()
    figure(
        "C power cut (ext4 shut down without its log) under adds and a worker",
        "≥ 30 cuts: 0 acknowledged jobs lost, hold and fail never run twice",
        f"{cuts} cuts, {acknowledged} jobs: {lost} lost, {twice} twice, {damaged} databases damaged; {cut_runs} interrupted",
        not (lost or twice or damaged),
    )


def so_far(adder: subprocess.Popen[str]) -> list[str]:
    """The ids that it has told by now."""
    assert adder.stdout
    os.set_blocking(adder.stdout.fileno(), False)
    try:
        return os.read(adder.stdout.fileno(), 1 << 20).decode().split("\n")[:-1]
    except BlockingIOError:
        return []  # nothing so far


def after_reboot(database: Path) -> set[str] | None:
    """The ids that are there; None when the database is damaged. The boot id cannot change here, so the rows are told."""
    db = apsw.Connection(str(database))
    whole = db.pragma("integrity_check") == "ok"
    db.execute("update workers set boot_id = 'before the cut'")
    ids = {row[0] for row in db.execute("select id from jobs")}
    db.close()
    return ids if whole else None


@needs_root
def test_a_full_disk_needs_no_repair(disk: Disk, tmp_path: Path) -> None:
    disk.mount("-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs")
    one = Trial(disk.at / "q", min_free=0)
    one.ledger = tmp_path / "ledger"
    one.ledger.touch()
    try:
        one.add([job("sleep 1; ", f"exit {code}", code) for code in range(1, 5)])
        keeper = one.keeper(4)
        eventually(lambda: len(one.lines()) == 4)
        worker = one.worker_of(keeper)
        ballast = disk.at / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096) == 4096:
                    pass
            except OSError:
                pass
        before = one.queue.store.run("select count(*) from jobs")[0][0]
        refused = [one.command("enqueue", "--command", "true " + "x" * 20_000) for _ in range(3)]
        eventually(lambda: len(one.lines()) == 8, what="the ends of what runs")
        if size(0, 1):
            one.kill(worker)  # a new one cannot even register
            time.sleep(3)
        time.sleep(1.5)
        stored = one.queue.store.run("select count(*) from jobs")[0][0] - before
        lived = alive(keeper) and (bool(size(0, 1)) or alive(worker))
        ballast.unlink()
        one.add([job(end="exit 9", status=9)])
        one.queue.ring_work()
        one.drained()
        verdict = one.check()
        codes = [done.returncode for done in refused]
        words = {done.stderr.strip().split(":")[1].strip()[:40] for done in refused}
        holds = verdict.holds and codes == [7, 7, 7] and not stored and lived and "Traceback" not in one.said()
        reached = f"adds: exit {codes} {words}, {stored} half stored; worker lived: {lived}; ends: {verdict}"
        figure("C full disk (tmpfs): adds, ends, and on without repair", "exit 7, 0 half stored, 0 lost", reached, holds)
    finally:
        end_all(one)


def damage(database: Path, how: str) -> None:
    content = bytearray(database.read_bytes())
    if how == "empty":
        content = bytearray()
    elif how == "no database":
        content = bytearray(b"hello, I am no database at all\n" * 300)
    elif how == "pages overwritten":
        for page in range(1, len(content) // 4096):
            content[page * 4096 : page * 4096 + 64] = os.urandom(64)
    elif how == "cut short":
        content = content[: len(content) // 3]
    database.write_bytes(content)


@pytest.mark.parametrize("how", ["empty", "no database", "pages overwritten", "cut short", "newer"])
def test_a_damaged_database_is_refused_with_a_name_and_a_next_step(trial: Callable[..., Trial], how: str) -> None:
    one = trial()
    one.add([job() for _ in range(500)])
    one.queue.store.checkpoint()
    one.queue.close()
    for leftover in ("-wal", "-shm"):
        Path(f"{one.database}{leftover}").unlink(missing_ok=True)
    if how == "newer":
        db = apsw.Connection(str(one.database))
        db.execute("pragma user_version = 999")
        db.close()
    else:
        damage(one.database, how)
    kept = one.database.read_bytes()
    tried = (("enqueue", "--command", "true"), ("list", "--limit", "1000"), ("worker", "start"))
    done = [one.command(*words) for words in tried]
    refused = [d.returncode == 7 and str(one.database) in d.stderr and "(" in d.stderr for d in done]
    words = done[0].stderr.strip().removeprefix("queuectl: ").replace(str(one.database), "FILE")[:110]
    holds = all(refused) and not any("Traceback" in d.stderr for d in done) and one.database.read_bytes() == kept
    figure(f"C database {how}", "refused, exit 7, a name and a next step; never replaced", f"{words}", holds)
    one.ended = True


def test_a_log_cut_short_loses_its_end_and_nothing_else(trial: Callable[..., Trial]) -> None:
    """SQLite takes the whole transactions of a write-ahead log, up to the first that is not: the queue opens."""
    one = trial()
    for _ in range(20):
        one.add([job()])
    wal = Path(f"{one.database}-wal")
    content, main = wal.read_bytes(), one.database.read_bytes()
    one.queue.close()
    one.database.write_bytes(main)
    wal.write_bytes(content[: len(content) * 2 // 3])
    Path(f"{one.database}-shm").unlink(missing_ok=True)
    done = one.command("status")
    one.ended = True
    figure("C write-ahead log cut short", "opens with what is whole", f"exit {done.returncode}", done.returncode == 0)


# ---------------------------------------------------------------- locked, read-only, half made


def test_a_locked_store_is_waited_for_and_then_told(trial: Callable[..., Trial]) -> None:
    one = trial()
    one.add([job("sleep 1; ", "exit 4", 4)])
    keeper = one.keeper(2)
    eventually(lambda: one.lines())
    db = apsw.Connection(str(one.database))
    db.execute("begin immediate")
    asked = time.monotonic()
    adder = subprocess.Popen([sys.executable, "-m", "queuectl", "enqueue", "--command", "true"], env=one.environ)
    time.sleep(2)
    waited = adder.poll() is None
    db.execute("rollback")
    waited = waited and adder.wait(20) == 0
    db.execute("begin immediate")
    refused = one.command("enqueue", "--command", "true")
    time.sleep(size(0, 20))  # longer than a worker waits before it ends and begins anew
    db.execute("rollback")
    db.close()
    one.add([job(end="exit 5", status=5)])
    one.queue.ring_work()
    one.drained()
    verdict = one.check()
    words = refused.stderr.strip().removeprefix("queuectl: ")
    reached = f"2 s: waited, added; 10 s and more: exit {refused.returncode}, {words!r}; then {verdict}"
    holds = waited and refused.returncode == 75 and "try again" in words and verdict.holds and alive(keeper)
    figure("C store locked by another program", "waits, then says so; nothing lost", reached, holds and time.monotonic() > asked)


@needs_root
def test_a_read_only_store_is_refused_with_words(trial: Callable[..., Trial]) -> None:
    """Root may write whatever its mode: a folder mounted read-only is what it meets."""
    one = trial()
    one.add([job()])
    one.queue.close()
    one.ended = True
    run("mount", "--bind", str(one.folder), str(one.folder))
    try:
        run("mount", "-o", "remount,bind,ro", str(one.folder))
        tried = [one.command(*words) for words in (("enqueue", "--command", "true"), ("worker", "start"), ("cancel", "1"))]
    finally:
        run("umount", "-l", str(one.folder))
    codes = [done.returncode for done in tried]
    said = [done.stderr.strip() for done in tried]
    plain = not any("Traceback" in text for text in said) and all(text.startswith("queuectl: ") for text in said)
    words = said[0].removeprefix("queuectl: ").replace(str(one.database), "FILE")[:90]
    figure("C store on a read-only disk", "refused with words", f"exit {codes}, {words!r}", codes == [7, 7, 7] and plain)


CALLS = ("openat", "pwrite64", "write", "fdatasync", "fsync", "unlink", "link", "ftruncate", "fcntl", "mkdir", "rename")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: NO half-made store was tried")
@pytest.mark.parametrize("what", ["made", "brought up to date"])
def test_killed_at_any_call_while_a_store_is_made(tmp_path: Path, what: str) -> None:
    """Whoever comes next finds no store, one of the old version, or a whole one."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("QUEUECTL")}
    bad, points = [], 0
    draw = random.Random(12)
    for call in CALLS:
        calls = count_calls(tmp_path / f"count-{call}", call, what, environ)
        chosen = range(1, calls + 1) if size(0, 1) else draw.sample(range(1, calls + 1), min(2, calls))
        for n in chosen:
            folder = tmp_path / f"{call}-{n}"
            at = half_made(folder, what)
            environ["QUEUECTL_URL"] = f"sqlite://{at}"
            before = enqueue(environ, folder, "-e", f"inject={call}:signal=KILL:when={n}", "-e", f"trace={call}")
            after = enqueue(environ, folder)
            points += 1
            bad += [f"{call} {n}: {found}" for found in [fault_of(at, before.returncode == 0, after)] if found]
            shutil.rmtree(folder)
    reached = f"{points} points: {bad[:3] or 'all whole'}"
    figure(f"C killed while a store is {what}", "the next command finds it whole or makes it", reached, not bad)


def half_made(folder: Path, what: str) -> Path:
    folder.mkdir(mode=0o700)
    at = folder / "queuectl.db"
    if what != "made":
        first_version(at)
    return at


def first_version(at: Path) -> None:
    """A store as the first version made it."""
    from queuectl.store import sqlite

    at.touch(mode=0o600)
    folder = Path(sqlite.__file__).with_name("schema")
    db = apsw.Connection(str(at))
    db.execute("pragma auto_vacuum = incremental; pragma journal_mode = wal")
    db.execute((folder / "0001.sql").read_text())
    db.execute("insert into meta (key, value) values ('store_id', 'abcdef0123456789')")
    db.execute(f"pragma application_id = {sqlite.APPLICATION_ID}; pragma user_version = 1")
    db.close()


def enqueue(environ: dict[str, str], folder: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    traced = ["strace", "-qq", "-f", "-o", str(folder / "trace"), *strace] if strace else []
    program = [*traced, sys.executable, "-m", "queuectl", "enqueue", "--command", "true"]
    return subprocess.run(program, env=environ, capture_output=True, text=True, timeout=60, check=False)


def count_calls(folder: Path, call: str, what: str, environ: dict[str, str]) -> int:
    """How many such calls there are that the store's making may be cut in: those that name it are the last ones."""
    at = half_made(folder, what)
    environ["QUEUECTL_URL"] = f"sqlite://{at}"
    assert enqueue(environ, folder, "-e", f"trace={call}").returncode == 0
    return len((folder / "trace").read_text(errors="replace").splitlines())


def fault_of(at: Path, told: bool, after: subprocess.CompletedProcess[str]) -> str:
    """What is wrong with what was left; empty when nothing is."""
    if after.returncode != 0 or "Traceback" in after.stderr:
        return f"exit {after.returncode}: {after.stderr[-200:]}"
    db = apsw.Connection(str(at))
    whole = db.pragma("integrity_check") == "ok"
    [(jobs,)] = db.execute("select count(*) from jobs")
    db.close()
    left = [name for name in os.listdir(at.parent) if name.endswith(".new")]
    return "" if whole and jobs >= 1 + told else f"whole: {whole}, {jobs} jobs, left: {left}"
