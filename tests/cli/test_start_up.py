"""What everybody pays every time: which modules the everyday commands load."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import PATIENCE_S, Queuectl

pytestmark = pytest.mark.engine("sqlite")  # a driver of a server is dear by itself

# Each of these takes longer to import than adding a job takes.
DEAR = {
    *("asyncio", "argparse", "re", "json", "dataclasses", "enum", "typing", "pathlib", "subprocess", "logging"),
    *("datetime", "hashlib", "inspect", "random", "shutil", "socket", "sqlite3", "tempfile", "threading", "traceback", "rich"),
}
LOADED = "import sys; from queuectl.cli import main; code = main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
OURS = {
    "enqueue": {"queuectl.cli.enqueue", "queuectl.store.sqlite", "queuectl.queue"},
    "status": {"queuectl.cli.status", "queuectl.store.sqlite"},
    "list": {"queuectl.cli.list", "queuectl.store.sqlite"},
}
EVERYDAY = [
    ["enqueue", "--command", "true"],
    ["enqueue", '{"id": "job1", "command": "sleep 2", "priority": 1}'],
    ["enqueue", "--priority", "5", "--label", "x", "--", "echo", "a b"],
    ["status"],
    ["status", "--json"],
    ["list"],
    ["list", "--json", "--state", "pending"],
]


def loaded(queue: Queuectl, words: list[str]) -> set[str]:
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, cwd=queue.folder, env=queue.env, timeout=PATIENCE_S, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", EVERYDAY, ids=" ".join)
def test_everyday_commands_load_nothing_dear(queue: Queuectl, words: list[str]) -> None:
    alone = [sys.executable, "-c", "import sys; print(*sys.modules)"]
    bare = subprocess.run(alone, env=queue.env, capture_output=True, text=True, timeout=PATIENCE_S).stdout.split()
    found = loaded(queue, words) - set(bare)
    assert found & DEAR == set()
    assert OURS[words[0]] <= found


@pytest.mark.parametrize("words", EVERYDAY, ids=" ".join)
def test_everyday_commands_load_no_part_of_the_product_they_do_not_need(queue: Queuectl, words: list[str]) -> None:
    found = loaded(queue, words)
    assert not {name for name in found if name.startswith(("queuectl.run", "queuectl.compat", "queuectl.doors"))}
    assert found.isdisjoint({"queuectl.cli.help", "queuectl.transfer", "queuectl.payload", "queuectl.bulk"})
