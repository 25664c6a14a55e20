"""Jobs that wait for others: what a new job asks to wait for, and what is shown of it."""

from __future__ import annotations

from .errors import Conflict, NotFound
from .model import BLOCKED, Dependency, state_of
from .store import sql
from .store.dependents import CONDITIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .model import Job, Spec
    from .store.base import Store


def blocked(store: Store, job: Job, spec: Spec, pile: Mapping[str, int] | None = None) -> Job:
    """The new job, waiting for what its spec names, which is noted; inside the transaction that adds it. What has ended
    already as it must counts as met.

    `pile` has the numbers of jobs that are being added with it, before it. Raises NotFound when there is no such job,
    Conflict when one has ended otherwise than it must.
    """
    waits = []
    for condition, stages in CONDITIONS.items():
        for job_id in dict.fromkeys(getattr(spec, condition)):
            number = pile.get(job_id) if pile else None
            if number is None:
                target = _target(store, job_id, condition)
                if target.stage in stages:
                    continue
                if target.ended:
                    why = f"job {target.id}, which it shall wait for, is {target.state}"
                    hint = f"'queuectl retry {target.id}' first"
                    raise Conflict("the job would wait for ever", why=why, hint=hint, field=condition)
                number = target.number
            waits.append((number, job.number, condition))
    if not waits:
        return job
    store.await_ends(waits)
    return job.but(stage=BLOCKED, state=state_of(BLOCKED, 0), awaits=len(waits))


def _target(store: Store, job_id: str, field: str) -> Job:
    found = store.job_by_id(job_id)
    target = store.locked(found.number) if found else None
    if target is None:
        why = f"there is no job {job_id!r} to wait for"
        raise NotFound("the job cannot be added", why=why, hint="'queuectl list' shows what there is", field=field)
    return target


def of(store: Store, job: Job) -> list[Dependency]:
    """The jobs that this one waits for, or has waited for."""
    return _shown(store, sql.DEPENDENCIES, job)


def dependants(store: Store, job: Job) -> list[Dependency]:
    """The jobs that wait for this one, or have waited for it."""
    return _shown(store, sql.DEPENDANTS, job)


def _shown(store: Store, statement: str, job: Job) -> list[Dependency]:
    rows = [(store.job(number), condition, bool(decided)) for number, condition, decided in store.run(statement, (job.number,))]
    return [Dependency(other, condition, decided) for other, condition, decided in rows if other]
