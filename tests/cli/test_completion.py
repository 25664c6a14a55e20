"""Completion as the shells do it: the script is loaded into a real shell and asked."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from .conftest import PATIENCE_S, Queuectl

ASK = """
source <(queuectl completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_queuectl
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def queue_with_jobs(queue: Queuectl) -> Queuectl:
    queue.ok("enqueue", "--id", "build-1", "--command", "true", "--queue", "slow")
    queue.ok("enqueue", "--command", "true")
    return queue


def shell(queue: Queuectl, command: list[str]) -> list[str]:
    done = subprocess.run(command, cwd=queue.folder, env=queue.env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.split()


def bash(queue: Queuectl, line: str) -> list[str]:
    """What bash offers for the last word; `line` begins after `queuectl `."""
    return shell(queue, ["bash", "-c", ASK, "bash", "queuectl", *line.split(" ")])


def fish(queue: Queuectl, line: str) -> list[str]:
    if not shutil.which("fish"):
        pytest.skip("NOT TESTED: fish is not installed")
    script = f"queuectl completion fish | source; complete -C 'queuectl {line}' | cut -f 1"
    return shell(queue, ["fish", "--no-config", "-c", script])


CASES = {
    "wor": {"worker", "worker-run", "worker-start", "worker-stop"},
    "worker ": {"start", "stop", "restart", "list", "forget"},
    "worker start --un": {"--until-idle"},
    "worker-start --c": {"--count"},
    "dlq re": {"retry"},
    "list --state pe": {"pending"},
    "show bu": {"build-1"},
    "logs --raw bu": {"build-1"},
    "dlq retry bu": {"build-1"},
    "enqueue --queue s": {"slow"},
    "queue pause s": {"slow"},
    "config set max_r": {"max_retries"},
    "completion ba": {"bash"},
    "enqueue --if-interrupted r": {"rerun"},
}


@pytest.mark.parametrize("line", CASES)
def test_bash_completes_commands_options_values_ids_and_queues(queue_with_jobs: Queuectl, line: str) -> None:
    assert set(bash(queue_with_jobs, line)) == CASES[line]


@pytest.mark.parametrize("line", CASES)
@pytest.mark.wide
def test_fish_completes_the_same(queue_with_jobs: Queuectl, line: str) -> None:
    assert set(fish(queue_with_jobs, line)) == CASES[line]


def test_bash_completes_files_where_files_are_wanted(queue_with_jobs: Queuectl) -> None:
    queue_with_jobs.file("cmd.txt", "true")
    assert bash(queue_with_jobs, "enqueue --command-file cm") == ["cmd.txt"]
    assert bash(queue_with_jobs, "import cm") == ["cmd.txt"]


def test_bash_offers_nothing_where_anything_may_stand(queue_with_jobs: Queuectl) -> None:
    assert bash(queue_with_jobs, "enqueue --label ") == [] and bash(queue_with_jobs, "enqueue --command w") == []


def test_the_script_for_zsh_loads(queue: Queuectl) -> None:
    if not shutil.which("zsh"):
        pytest.skip("NOT TESTED: zsh is not installed")
    script = "autoload -Uz compinit; compinit -u -D; source <(queuectl completion zsh); print ${_comps[queuectl]}"
    assert "_queuectl" in shell(queue, ["zsh", "-f", "-c", script])


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_every_option_of_every_command_is_in_the_script(queue: Queuectl, name: str) -> None:
    script = queue.ok("completion", name)
    assert all(option in script for option in ("max-retries", "if-interrupted", "until-idle", "dry-run", "with-env", "older"))
