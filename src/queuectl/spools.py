"""Attached spools: folders of packets whose packets become jobs of a queue, one after the other, in the order of their numbers.

A spool is a row that says where the folder is and what is done with its packets; `run.spools` watches the folder. What
is next stands in the folder alone, in `nextseq`, so that Filespooler itself can go on with it at any time.
"""

from __future__ import annotations

import os

from . import bell, clock, codec, envs, jsontext
from .errors import Conflict, InvalidInput, NotAllowed, StorageError, TryAgainLater
from .model import ENDED, HOST, WAITING, Argv, Options, Spec
from .newjob import Origin, new_job
from .packets import sequence
from .packets.faults import FsplError
from .packets.names import done_name
from .packets.rejecting import set_aside
from .spool_rows import ADD, LOCKED, SETTLE, TAKE, Spool, Terms, all_of, is_here, named, placed, spool_of, this_machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .model import Job
    from .queue import Queue
    from .store.base import Store

BELL = "spools"  # wakes who watches the folders
ON_ERROR = ("stop", "delete", "leave")  # what a packet leads to whose job has failed for good; Filespooler's `retry` is `stop`
PASSED_BY = 69  # exit status of a run that finds its packet's number passed by another program


# ---------------------------------------------------------------- attaching and detaching


def attach(queue: Queue, name: str, folder: str, terms: Terms, environ: Mapping[bytes, bytes]) -> Spool:
    """Attach a folder: from now on its packets are run. Raises InvalidInput, Conflict."""
    name = codec.queue_name(name)
    folder, host = _checked_folder(folder), this_machine(queue.store)
    _check_trusted(folder, bool(terms.verify))
    config = queue.settings.read()
    body = envs.packed(envs.captured(environ, config.capture_env))
    text = jsontext.dumps({field: getattr(terms, field) for field in Terms.fields})
    with queue.store.transaction():
        for spool in all_of(queue.store):
            if spool.name == name or (spool.folder, spool.host) == (folder, host):
                hint = f"'queuectl spool detach {spool.name}' lets go of it"
                raise Conflict(f"spool {spool.name} is attached to {placed(spool.host, spool.folder)}", hint=hint)
        queue.store.run(ADD, (name, placed(host, folder), text, queue.store.env_id(envs.digest(body), body)))
    wake(queue)
    return named(queue.store, name)


def _checked_folder(folder: str) -> str:
    folder = os.path.realpath(folder)
    hint = f"'fspl queue-init -q {folder}' makes one"
    if not os.path.isdir(os.path.join(folder, "jobs")):
        raise InvalidInput(f"{folder} is no queue of packets", why="it has no folder 'jobs'", hint=hint)
    if not os.path.exists(os.path.join(folder, "nextseq.lock")):
        raise InvalidInput(f"{folder} can only be added to", why="it has no file nextseq.lock", hint=hint)
    if not os.access(folder, os.W_OK) or not os.access(os.path.join(folder, "jobs"), os.W_OK):
        raise NotAllowed(f"{folder} cannot be worked on", why="you may not write to it", hint="check its owner and mode")
    next_number(os.fsencode(folder))
    return folder


def _check_trusted(folder: str, verified: bool) -> None:
    """What lies there becomes the input of this user's command. Raises NotAllowed when others could put it there and
    nothing looks at it before."""
    for path in (folder, os.path.join(folder, "jobs")):
        facts = os.stat(path)
        if facts.st_uid not in (os.geteuid(), 0):
            why = f"it belongs to user {facts.st_uid}"
            raise NotAllowed(f"{path} is not trusted", why=why, hint="copy the packets into a folder of your own")
        own_group = facts.st_gid == os.getegid() == facts.st_uid
        loose = facts.st_mode & (0o002 if own_group else 0o022)
        if loose and not (verified and path != folder):
            hint = f"'chmod go-w {path}'" + ("" if path == folder else ", or give --verify a command that knows whose they are")
            raise NotAllowed(f"{path} is not trusted", why="others can write to it", hint=hint)


def wake(queue: Queue) -> None:
    """Tell whoever watches the folders; if nobody does, the workers, whose keeper starts the watch."""
    if not queue.ring(BELL):
        queue.ring(bell.WORK)


def detach(queue: Queue, name: str) -> bool:
    """Take no more packets of it. False: the packet that is on its way comes to its end first."""
    with queue.store.transaction():
        spool = named(queue.store, name, locked=True)
        job = _job_of(queue, spool)
        gone = job is None or job.stage in ENDED
        if gone:
            let_go(queue.store, spool)
        else:
            queue.store.run("update spools set detaching = 1 where name = ?", (name,))
    wake(queue)
    return gone


def let_go(store: Store, spool: Spool) -> None:
    """Forget the spool, with the environment that nobody else needs; inside a transaction."""
    store.run("delete from spools where name = ?", (spool.name,))
    store.forget_envs({spool.env})


# ---------------------------------------------------------------- packets


def next_number(folder: bytes) -> int:
    """The number of the packet that comes next. Raises StorageError."""
    try:
        found = sequence.peek(folder + b"/nextseq")
    except (FsplError, OSError) as fault:
        path = os.fsdecode(folder) + "/nextseq"
        raise StorageError(f"{path} cannot be read", why=str(fault), hint="'fspl queue-set-next' sets it") from None
    return 1 if found is None else found


def take(queue: Queue, spool: Spool, number: int, file: bytes) -> Job | None:
    """Make the packet a job, and write that down with it; None when the spool has changed meanwhile.

    From here on the packet is this job's, whoever dies: it is not taken again.
    """
    store = queue.store
    with store.transaction():
        found = store.run(LOCKED, (spool.name,))
        if not found or spool_of(found[0]).but(note=spool.note) != spool or spool.detaching:
            return None
        job = _job(queue, spool, number, file)
        store.insert([job], f"spool {spool.name}")
        store.run(TAKE, (str(number), jsontext.dumps(os.fsdecode(file)), job.number, spool.name))
    queue.ring(bell.WORK)
    return job


def _job(queue: Queue, spool: Spool, number: int, file: bytes) -> Job:
    """The row of the packet's job; inside a transaction."""
    terms, name = spool.terms, f"{spool.name}-{number}"
    free = len(name) <= codec.ID_LENGTH_MAX and queue.store.job_by_id(name) is None
    spec = Spec(
        work=Argv(terms.command),
        id=name if free else None,
        queue=terms.queue,
        priority=terms.priority,
        max_retries=terms.max_retries,
        timeout_s=terms.timeout_s,
        label=spool.name,
        # Whatever the packet started ends with its run: the next one must not meet it.
        options=Options(leftovers="kill", no_retry=(PASSED_BY,)),
    )
    job = new_job(spec, Origin(terms.cwd, terms.umask, spool.env), queue.settings.read(), clock.now_us())
    needs = f"{job.needs} {HOST}{spool.host}" if spool.host else job.needs
    job = job.but(kind="packet", work=delivery(spool, number, file), needs=needs)
    return job.but(number=queue.number_for(spec.id), lane=queue.store.lane_for(job))


def delivery(spool: Spool, number: int, file: bytes) -> str:
    """What the packet's own process is told (`run.delivery`), as JSON."""
    terms = spool.terms
    return jsontext.dumps(
        {
            "folder": spool.folder,
            "file": os.fsdecode(file),
            "number": number,
            "command": list(terms.command),
            "decoder": terms.decoder,
            "verify": terms.verify,
            "allow_job_params": terms.allow_job_params,
        }
    )


def take_anew(queue: Queue) -> None:
    """In a store that was copied: packets whose jobs wait are taken once more, for what those need was another store's."""
    for spool in all_of(queue.store):
        job = _job_of(queue, spool)
        if job is not None and job.stage in WAITING:
            queue.cancel(job.id)
            queue.store.run(SETTLE, (spool.name,))


# ---------------------------------------------------------------- after a failure


def retry(queue: Queue, name: str) -> Spool:
    """Run the packet again at which the spool has stopped. Raises Conflict when it has not stopped."""
    spool = named(queue.store, name)
    if not is_stopped(queue, spool):
        raise Conflict(f"spool {name} has not stopped", why=waits_for(queue, spool)[0], hint="there is nothing to run again")
    job = _job_of(queue, spool)
    if job is not None and (not is_here(queue.store, spool) or _file_is_there(queue, spool, job)):
        queue.retry(job.id)
    else:  # somebody has put another in its place: that becomes a job of its own
        queue.store.run(SETTLE, (name,))
    wake(queue)
    return spool


def _file_is_there(queue: Queue, spool: Spool, job: Job) -> bool:
    [(store_id,)] = queue.store.run("select value from meta where key = 'store_id'")
    return any(os.path.lexists(spool.path + b"/jobs/" + name) for name in (spool.file, done_name(store_id, job.number)))


def skip(queue: Queue, name: str, number: int | None = None) -> int:
    """Go on after the packet at which the spool has stopped, or for which it waits in vain; returns its number.

    Its file, where there is one, goes to `rejected`. Raises Conflict when it is running or waits for its run, or when
    another number than the one that was named is next.
    """
    spool = named(queue.store, name)
    if not is_here(queue.store, spool):
        raise NotAllowed(f"spool {name} is another machine's", why=f"its folder is on {spool.host}", hint="run this command there")
    stopped = is_stopped(queue, spool)
    if spool.job is not None and not stopped:
        hint = "'queuectl cancel' ends it"
        raise Conflict(f"packet {spool.number} cannot be skipped", why=waits_for(queue, spool)[0], hint=hint)
    try:
        with sequence.of_queue(spool.path) as locked:
            found = locked.read()
            if number not in (None, found):
                raise Conflict(f"packet {number} cannot be skipped", why=f"packet {found} is next", hint="name that one, or none")
            locked.write(sequence.after(found), sync_rename=True)
            if stopped and os.path.lexists(spool.path + b"/jobs/" + spool.file):
                set_aside(spool.path, spool.file, f"packet {found} was skipped by {queue.actor}")
    except BlockingIOError:
        raise TryAgainLater(f"{spool.folder} is locked", why="a packet is being run", hint="try again") from None
    except FsplError as fault:
        raise StorageError(f"{spool.folder} cannot be worked on", why=str(fault)) from None
    wake(queue)
    return found


def is_stopped(queue: Queue, spool: Spool) -> bool:
    """Whether a packet has failed for good, was cancelled, or nobody knows, and it is still its turn."""
    job = _job_of(queue, spool)
    over = spool.job is not None and (job is None or job.stage in ("dead", "cancelled"))
    return over and (not is_here(queue.store, spool) or next_number(spool.path) == spool.number)


def _job_of(queue: Queue, spool: Spool) -> Job | None:
    return queue.store.job(spool.job) if spool.job is not None else None


def waits_for(queue: Queue, spool: Spool) -> list[str]:
    """What the spool is at, a sentence each."""
    job = _job_of(queue, spool)
    trouble = [spool.note] if spool.note else []
    if job is not None and job.stage not in ENDED:
        return [f"packet {spool.number} is job {job.id}, which is {job.state}", *trouble]
    if is_stopped(queue, spool):
        ended = "was cancelled" if job and job.stage == "cancelled" else "has failed for good" if job else "was removed"
        return [
            f"it has stopped at packet {spool.number}: job {job.id if job else spool.job} {ended}",
            f"'queuectl spool retry {spool.name}' runs it again, 'queuectl spool skip {spool.name}' goes on without it",
        ]
    if not is_here(queue.store, spool):
        return [f"{spool.host or 'no machine'} watches it" + (f"; of the packet that is next: {spool.note}" if spool.note else "")]
    return [f"it waits for packet {next_number(spool.path)}" + (f": {spool.note}" if spool.note else ", which is not there")]


def shown(queue: Queue, spool: Spool) -> dict[str, Any]:
    """The spool as JSON, for `--json` and the API."""
    try:
        number = next_number(spool.path) if is_here(queue.store, spool) else spool.number
        said = waits_for(queue, spool)
    except StorageError as fault:
        number, said = None, [str(fault)]
    job = _job_of(queue, spool)
    return {
        "name": spool.name,
        "folder": spool.folder,
        "host": spool.host or None,
        "here": is_here(queue.store, spool),
        "queue": spool.terms.queue,
        "command": list(spool.terms.command),
        "decoder": spool.terms.decoder,
        "verify": spool.terms.verify,
        "allow_job_params": spool.terms.allow_job_params,
        "on_error": spool.terms.on_error,
        "next": number,
        "job": job.id if job is not None else None,
        "stopped": number is not None and is_stopped(queue, spool),
        "detaching": spool.detaching,
        "is": said,
    }


def explain(queue: Queue, word: str) -> list[str]:
    """What a spool is at, or why one of its packets (NAME-NUMBER) is no job yet; nothing when it is no spool's word."""
    for spool in all_of(queue.store):
        if word == spool.name:
            return waits_for(queue, spool)
        digits = word.removeprefix(f"{spool.name}-")
        if digits != word and digits.isdecimal() and digits.isascii():
            if not is_here(queue.store, spool):
                return waits_for(queue, spool)
            number, following = int(digits), next_number(spool.path)
            if number < following:
                return [f"packet {number} of spool {spool.name} is past: packet {following} is next"]
            return [f"packet {number} of spool {spool.name} is no job yet", *waits_for(queue, spool)]
    return []


def stopped_by(queue: Queue, job: Job) -> list[str]:
    """What a packet's job that has failed keeps from going on."""
    if job.kind != "packet":
        return []
    held = [spool for spool in all_of(queue.store) if spool.job == job.number and is_stopped(queue, spool)]
    return [f"spool {spool.name} waits: {waits_for(queue, spool)[1]}" for spool in held]
