"""Help at every level, and the words of both documents."""

from __future__ import annotations

import pytest

from .conftest import Queuectl

COMMANDS = [
    *("init", "enqueue", "run", "status", "list", "show", "logs", "wait", "explain", "cancel", "hold", "release", "retry"),
    *("clean", "worker start", "worker stop", "worker restart", "worker list", "dlq list", "dlq retry", "queue list"),
    *("queue pause", "queue resume", "queue limit", "config set", "config get", "config list", "config unset", "metrics"),
    *("export", "import", "completion", "add", "worker-run", "worker-start", "worker-stop", "worker run"),
]
# Each row of the contract: words and options that the documents name.
DOCUMENTED = {
    "enqueue": "--id --command --command-file --job-file --max-retries --delay --run-at --priority --timeout",
    "worker start": "--count --background --use-processes --until-idle --queue",
    "worker-start": "--count --use-processes",
    "worker-run": "--count",
    "status": "--json",
    "list": "--state --json --limit --all",
    "logs": "-f --attempt --tail --stderr",
    "dlq list": "--json",
    "dlq retry": "--all",
    "metrics": "--json",
    "wait": "--any --timeout",
    "clean": "--dry-run",
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.wide
def test_every_command_explains_itself_with_an_example(queue: Queuectl, name: str) -> None:
    done = queue(*name.split(), "--help")
    assert (done.rc, done.err) == (0, "") and "example:\n  " in done.out and "queuectl" in done.out.partition("example:")[2]
    assert queue(*name.split(), "-h").out == done.out


@pytest.mark.parametrize("group", ["worker", "dlq", "queue", "config"])
def test_every_group_explains_itself_with_an_example(queue: Queuectl, group: str) -> None:
    done = queue(group, "--help")
    assert (done.rc, done.err) == (0, "") and "example:" in done.out and f"{group} list" in done.out
    bare = queue(group)
    assert (bare.rc, bare.out) == (2, "") and "example:" in bare.err


@pytest.mark.parametrize("words", ["--help", "-h", "help"])
def test_the_overview_lists_commands_examples_and_exit_codes(queue: Queuectl, words: str) -> None:
    done = queue(words)
    assert (done.rc, done.err) == (0, "")
    listed = [name for name in COMMANDS if " " not in name and "-" not in name and name != "add"]
    assert all(f"  {name} " in done.out for name in listed)
    assert "queuectl enqueue" in done.out and "124 wait timed out" in done.out


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_help_names_every_documented_option(queue: Queuectl, name: str) -> None:
    text = queue.ok(*name.split(), "--help")
    assert [option for option in DOCUMENTED[name].split() if option not in text] == []


def test_help_of_a_command_can_be_asked_for_both_ways(queue: Queuectl) -> None:
    assert queue.ok("help", "worker", "start") == queue.ok("worker", "start", "--help")
    assert queue.ok("help", "enqueue") == queue.ok("enqueue", "--help")


def test_the_version_is_told(queue: Queuectl) -> None:
    assert queue.ok("--version").startswith("queuectl ") and queue.ok("version") == queue.ok("-V")


@pytest.mark.parametrize("words", [["frobnicate"], ["worker", "frob"], ["dlq", "drop"], ["--frobnicate"]], ids=" ".join)
def test_an_unknown_word_ends_2_with_a_hint(queue: Queuectl, words: list[str]) -> None:
    done = queue(*words)
    assert (done.rc, done.out) == (2, "") and "queuectl" in done.err and done.err.count("\n") == 1


def test_asking_for_help_makes_no_database(queue: Queuectl) -> None:
    env = {"QUEUECTL_DB_PATH": str(queue.folder / "none.db")}
    for words in (["--help"], ["enqueue", "--help"], ["worker", "--help"], ["completion", "bash"]):
        queue.ok(*words, env=env)
    assert not (queue.folder / "none.db").exists()
