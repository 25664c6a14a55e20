"""queuectl worker forget HOST: give up a machine that will not come back."""

from __future__ import annotations

from .. import workers
from ..errors import Conflict, InvalidInput, NotFound
from .command import Arguments, Command
from .open import the_queue
from .text import note


def run(arguments: Arguments) -> int:
    from ..run import rescue

    host = arguments.words[0]
    with the_queue() as queue:
        if not queue.store.shared:
            hint = "here the next worker takes over by itself: start one"
            raise InvalidInput("only a queue that machines share can forget one", hint=hint)
        rows = [row for row in queue.store.workers() if row.host == host]
        if not rows:
            raise NotFound(f"no worker of machine {host!r} is known", hint="'queuectl doctor' lists workers that are gone")
        alive = {row.id for row in workers.living(queue.store)}
        if living := [row for row in rows if row.id in alive]:
            hint = "'queuectl worker stop' ends workers; one that has died is known to be dead when its lease is over"
            raise Conflict(f"{len(living)} workers of {host} live, as far as is known", hint=hint)
        settled = rescue.forget(queue, queue.settings.read(), rows, queue.actor)
    note(f"{host} is forgotten; {settled} job{'' if settled == 1 else 's'} interrupted")
    return 0


COMMANDS = {
    "worker forget": Command(
        run,
        words="HOST",
        least=1,
        most=1,
        example="queuectl worker forget build-7",
        about="For machines that share a queue on PostgreSQL. What may run again has long started elsewhere; "
        "what must not run twice waits for its machine until this command says that it is gone.",
    )
}
