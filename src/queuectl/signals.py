"""Exit statuses of jobs as exit statuses of commands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Job


def exit_status(job: Job) -> int:
    """What a shell would say of the job's end: its own status, 128 + n after signal n, 1 when there is none.

    >>> from .lifecycle import a_job
    >>> exit_status(a_job(stage="completed", exit_code=0)), exit_status(a_job(stage="dead", exit_code=-9))
    (0, 137)
    """
    if job.state == "completed":
        return 0
    if job.exit_code is None or job.exit_code == 0:
        return 1
    return job.exit_code if job.exit_code > 0 else 128 - job.exit_code
