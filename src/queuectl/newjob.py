"""From what was asked to the row of a new job: everything that is decided when a job is added."""

from __future__ import annotations

from . import codec, jsontext
from .model import LATER, READY, Argv, Job, Shell, Spec, state_of
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .config import Config
    from .model import Work


class Origin(Record):
    """What a job takes over from the process that adds it."""

    cwd: str
    umask: int
    env: int  # row of table `envs`


def new_job(spec: Spec, origin: Origin, config: Config, now: int) -> Job:
    """The row of a new job, still without its number and lane."""
    due = spec.run_at_us if spec.delay_s is None else now + round(spec.delay_s * 1e6)
    later = due is not None and due > now
    stage = LATER if later else READY
    return Job(
        number=0,
        name=spec.id,
        queue=spec.queue,
        lane=0,
        **work_columns(spec.work),
        state=state_of(stage, 0),
        stage=stage,
        priority=spec.priority,
        attempts=0,
        max_retries=config.max_retries if spec.max_retries is None else spec.max_retries,
        interruptions=0,
        run=0,
        version=1,
        timeout_s=spec.timeout_s,
        label=spec.label,
        key=spec.key,
        run_at_us=spec.run_at_us,
        due_us=due if later else None,
        created_us=now,
        updated_us=now,
        started_us=None,
        finished_us=None,
        exit_code=None,
        reason=None,
        worker=None,
        stop=None,
        cwd=origin.cwd if spec.cwd is None else spec.cwd,
        umask=origin.umask if spec.umask is None else spec.umask,
        env=origin.env,
        stdin=spec.stdin,
        options=codec.options_text(spec.options),
    )


def work_columns(work: Work) -> dict[str, Any]:
    """The columns that say what is run."""
    kind = "argv" if isinstance(work, Argv) else "shell"
    return {"kind": kind, "command": command_of(work), "argv": argv_of(work)}


def as_work(work: str | Sequence[str] | Work) -> Work:
    """Text is for the shell, a list is a program with its arguments."""
    if isinstance(work, (Shell, Argv)):
        return work
    return Shell(codec.command_text(work)) if isinstance(work, str) else Argv(codec.words(list(work)))


def command_of(work: Work) -> str:
    return work.text if isinstance(work, Shell) else codec.quoted(work.words)


def argv_of(work: Work) -> str | None:
    return jsontext.dumps(list(work.words)) if isinstance(work, Argv) else None
