"""queuectl explain: why a job is not running, or a spool waits."""

from __future__ import annotations

from .. import jsontext, spools
from ..errors import NotFound
from ..explain import explain
from .command import JSON, Arguments, Command
from .open import the_queue
from .text import out, safe


def run(arguments: Arguments) -> int:
    word = arguments.words[0]
    with the_queue(create=False) as queue:
        try:
            job = queue.get(word)
        except NotFound:
            said = spools.explain(queue, word)
            if not said:
                raise
            return _spool(word, said, bool(arguments.json))
        reasons = explain(queue, job)
    if arguments.json:
        out(jsontext.dumps({"id": job.id, "state": job.state, "reasons": reasons}) + "\n")
    else:
        out(f"job {job.id} is {job.state}\n" + "".join([f"  {safe(reason)}\n" for reason in reasons]))
    return 0


def _spool(word: str, said: list[str], as_json: bool) -> int:
    if as_json:
        out(jsontext.dumps({"spool": word, "reasons": said}) + "\n")
    else:
        out(f"{word}\n" + "".join([f"  {safe(line)}\n" for line in said]))
    return 0


COMMANDS = {"explain": Command(run, options=(JSON,), words="JOB|SPOOL", least=1, most=1, example="queuectl explain 7")}
