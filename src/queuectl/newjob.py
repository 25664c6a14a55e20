"""From what was asked to the row of a new job: everything that is decided when a job is added."""

from __future__ import annotations

from . import codec
from .model import CALL, COMMAND, LATER, READY, TAG, TASK, Call, Function, Job, Spec, state_of
from .record import Record
from .work import target_of, work_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config


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
        needs=needs_of(spec),
        limit_key=spec.limit_key if spec.limit_key is not None else target_of(spec.work),
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
        awaits=0,
        cwd=origin.cwd if spec.cwd is None else spec.cwd,
        umask=origin.umask if spec.umask is None else spec.umask,
        env=origin.env,
        stdin=spec.stdin,
        options=codec.options_text(spec.options),
    )


def needs_of(spec: Spec) -> str:
    """What a worker must offer to run this: what runs such work, and the tags that are asked for.

    >>> from .model import Shell
    >>> needs_of(Spec(work=Shell("nvidia-smi"), where=("gpu", "big")))
    'command tag:big tag:gpu'
    """
    work = spec.work
    runs = CALL if isinstance(work, Call) else TASK + work.name if isinstance(work, Function) else COMMAND
    return " ".join([runs, *[TAG + tag for tag in sorted(set(spec.where))]]) if spec.where else runs
