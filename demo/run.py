"""The main job on real input: a few hundred jobs, two at a time, watched live, then looked at from every side and checked.

Everything happens in a temporary folder, through the real `queuectl` program. Ends with 1 when a check fails.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import checks
import jobs

PROGRAM = str(Path(sys.executable).parent / "queuectl")
DEADLINE_S = 50.0
BAR = 32


class Demo:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        jobs.furnish(folder)
        self.env = os.environ | {"QUEUECTL_DB_PATH": str(folder / "queuectl.db")}
        self.env.pop("QUEUECTL_URL", None)
        self.terminal = sys.stdout.isatty()

    # ------------------------------------------------------------ talking to the program

    def title(self, text: str) -> None:
        print(f"\n\x1b[1m{text}\x1b[0m" if self.terminal else f"\n== {text}", flush=True)

    def show(self, *words: str) -> None:
        """Run a command as a user would, in full view."""
        prompt = f"$ queuectl {shlex.join(words)}"
        print(f"\x1b[32m{prompt}\x1b[0m" if self.terminal else prompt, flush=True)
        subprocess.run([PROGRAM, *words], env=self.env, check=True, cwd=self.folder)

    def ask(self, *words: str, text: str | None = None) -> str:
        return subprocess.run(
            [PROGRAM, *words], env=self.env, check=True, cwd=self.folder, input=text, text=True, capture_output=True
        ).stdout

    def add(self, made: list[jobs.Job]) -> int:
        lines = "".join(json.dumps(job) + "\n" for job in made)
        return int(self.ask("enqueue", "--from", "-", "--jsonl", text=lines))

    # ------------------------------------------------------------ the story

    def run(self) -> bool:
        modules = jobs.modules()
        self.title(f"Adding: {len(modules)} modules of Python's library to compress and checksum, and some trouble")
        self.ask("init")
        began = time.monotonic()
        pile = [*jobs.pile(modules), *jobs.flaky(modules), *jobs.special()]
        urgent = jobs.urgent(modules)
        added = self.add(pile) + self.add(urgent)
        print(f"{added} jobs are on disk after {time.monotonic() - began:.2f} s; the urgent ones were added last")
        self.show("list", "--limit", "6")
        self.title("Two workers")
        self.show("worker", "start", "--count", "2", "--background")
        self.watch(added)
        self.look_around()
        found = checks.read(self.folder / "queuectl.db")
        self.bring_back()
        return self.check(found, added, jobs.expected([*pile, *urgent]))

    def watch(self, added: int) -> None:
        """Progress until everything has ended: one line that moves on a terminal, a line a second elsewhere."""
        began = time.monotonic()
        while True:
            counts = json.loads(self.ask("status", "--json"))
            took = time.monotonic() - began
            ended = counts["completed"] + counts["dead"]
            filled = BAR * ended // added
            line = f"[{'#' * filled}{'.' * (BAR - filled)}] {ended}/{added} ended, {counts['processing']} running, "
            line += f"{counts['failed']} to run again, {counts['dead']} dead, {took:4.1f} s"
            print(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n", flush=True)
            if ended == added:
                break
            if took > DEADLINE_S:
                raise SystemExit(f"demo: {added - ended} jobs have not ended after {DEADLINE_S:g} s")
            time.sleep(0.15 if self.terminal else 1.0)
        print(end="\n" if self.terminal else "", flush=True)

    def look_around(self) -> None:
        self.title("What happened")
        self.show("status")
        self.show("metrics")
        self.title("One job that needed a second run: what it wrote, and its whole story")
        self.show("logs", "flaky-1")
        self.show("show", "flaky-1")

    def bring_back(self) -> None:
        self.title("The dead-letter queue")
        self.show("dlq", "list")
        self.show("explain", "endless")
        self.show("explain", "report")
        self.title("Its input arrives; run it again")
        (self.folder / "report.txt").write_text("better late than never\n" * 1000)
        self.show("dlq", "retry", "report")
        self.show("wait", "report", "--timeout", "20s")
        self.show("logs", "report", "--attempt", "3")

    def check(self, found: dict[str, checks.Found], added: int, packed: dict[str, str]) -> bool:
        self.title("Checks")
        retried = json.loads(self.ask("show", "report", "--json"))
        outcome = [
            checks.results(self.folder, packed),
            *checks.behaviour(found, added),
            ("after its retry it completed", retried["state"] == "completed"),
        ]
        for sentence, holds in outcome:
            print(f"  {'ok    ' if holds else 'FAILED'}  {sentence}")
        return all(holds for _, holds in outcome)

    def stop(self) -> None:
        subprocess.run([PROGRAM, "worker", "stop", "--now", "--timeout", "10s"], env=self.env, check=False, capture_output=True)


def main() -> int:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    demo = Demo(Path(tempfile.mkdtemp(prefix="queuectl-demo-")))
    try:
        fine = demo.run()
    except KeyboardInterrupt:
        return 130
    finally:
        demo.stop()
        shutil.rmtree(demo.folder, ignore_errors=True)
    print(f"\n{'All is well' if fine else 'Something is wrong'}, after {time.monotonic() - began:.0f} s.")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
