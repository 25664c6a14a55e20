"""queuectl explain: why a job is not running."""

from __future__ import annotations

from .. import jsontext
from ..explain import explain
from .command import JSON, Arguments, Command
from .open import the_queue
from .text import out, safe


def run(arguments: Arguments) -> int:
    with the_queue(create=False) as queue:
        job = queue.get(arguments.words[0])
        reasons = explain(queue, job)
    if arguments.json:
        out(jsontext.dumps({"id": job.id, "state": job.state, "reasons": reasons}) + "\n")
    else:
        out(f"job {job.id} is {job.state}\n" + "".join([f"  {safe(reason)}\n" for reason in reasons]))
    return 0


COMMANDS = {"explain": Command(run, options=(JSON,), words="JOB", least=1, most=1, example="queuectl explain 7")}
