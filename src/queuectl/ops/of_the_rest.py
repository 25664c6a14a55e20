"""What can be asked of queues, limits, workers, spools, schedules, settings, and of the whole."""

from __future__ import annotations

from .. import clock, codec, config, cron, limits, report, schedules, shown, spool_rows, spools
from ..store import stats
from . import acts
from .asked import (
    BOOL,
    EVERY,
    ID,
    JOB,
    KEY,
    MANY_LINES,
    NAME,
    PARALLEL,
    RATE,
    SCHEDULE,
    SPAN,
    SPOOL,
    TEXT,
    WORKER,
    Argument,
    Operation,
    _text,
    limit,
    obj,
    one_of,
    setting,
    several,
    whole,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .asked import Schema


def _cron(value: Any) -> str:
    return cron.expression(_text(value, "cron", 1000))


def choice(name: str, choices: tuple[str, ...], about: str) -> Argument:
    return Argument(name, "body", one_of(*choices), about, lambda v: codec.one_of(v, name, choices))


def schedule_verb(word: str, about: str, gives: Schema | None = None) -> Operation:
    path, act = f"/schedules/{{name}}/{word}", acts.schedule_act(word)
    return Operation(f"{word}_schedule", "POST", path, about, act, (SCHEDULE,), writes=True, gives=gives or {"type": "object"})


OF_THE_REST: tuple[Operation, ...] = (
    Operation(
        "queues",
        "GET",
        "/queues",
        "The queues, their switches, limits and counts.",
        lambda q, g: {"queues": report.queues(q, clock.now_us())},
        gives=several("queues"),
    ),
    Operation(
        "set_queue",
        "PATCH",
        "/queues/{name}",
        "Pause a queue, or limit it.",
        acts.set_queue,
        (
            NAME,
            Argument("paused", "body", BOOL, "start no more jobs of it", lambda v: codec.truth(v, "paused")),
            PARALLEL,
            RATE,
        ),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "limits",
        "GET",
        "/limits",
        "The limits of keys.",
        lambda q, g: {"limits": [shown.limit_object(row) for row in limits.of_keys(q)]},
        gives=several("limits"),
    ),
    Operation(
        "set_limit",
        "PUT",
        "/limits/{key}",
        "Limit all jobs with this limit key.",
        acts.set_limit,
        (KEY, PARALLEL, RATE),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "remove_limit",
        "DELETE",
        "/limits/{key}",
        "Remove the limit of a key.",
        acts.remove_limit,
        (KEY,),
        writes=True,
        gives=obj(key=TEXT),
    ),
    Operation(
        "workers",
        "GET",
        "/workers",
        "Who runs, since when, on what.",
        lambda q, g: {"workers": report.workers(q)},
        gives=several("workers"),
    ),
    Operation(
        "stop_worker",
        "POST",
        "/workers/{id}/stop",
        "Ask a worker to end.",
        acts.stop_worker,
        (
            WORKER,
            Argument(
                "how",
                "body",
                one_of("finish", "now", "leave"),
                "finish what runs, end it, or leave it running",
                lambda v: codec.one_of(v, "how", ("finish", "now", "leave")),
            ),
        ),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "spools",
        "GET",
        "/spools",
        "The attached folders of packets: which packet is next, and what they are at.",
        lambda q, g: {"spools": [spools.shown(q, spool) for spool in spool_rows.all_of(q.store)]},
        gives=several("spools"),
    ),
    Operation(
        "attach_spool",
        "POST",
        "/spools",
        "Attach a folder of packets: a program is run for each, in their order.",
        acts.attach_spool,
        (
            Argument("folder", "body", TEXT, "where it is, on the server", lambda v: _text(v, "folder", 4096), required=True),
            Argument("command", "body", MANY_LINES, "the program and its arguments", codec.words, required=True),
            Argument("name", "body", ID, "its name, the folder's unless said", lambda v: codec.queue_name(v)),
            Argument("queue", "body", ID, "the queue of its jobs, default unless said", codec.queue_name),
        ),
        writes=True,
        status=201,
        gives={"type": "object"},
    ),
    Operation(
        "detach_spool",
        "DELETE",
        "/spools/{name}",
        "Take no more packets of it; a packet that is on its way comes to its end.",
        acts.detach_spool,
        (SPOOL,),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "retry_spool",
        "POST",
        "/spools/{name}/retry",
        "Run the packet again at which it has stopped.",
        acts.retry_spool,
        (SPOOL,),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "skip_spool",
        "POST",
        "/spools/{name}/skip",
        "Go on after the packet at which it has stopped, or for which it waits in vain.",
        acts.skip_spool,
        (
            SPOOL,
            Argument("number", "body", whole(0, 2**63), "only if it is this one", lambda v: codec.whole(v, "number", 0, 2**63)),
        ),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "schedules",
        "GET",
        "/schedules",
        "What is added again and again, and when next.",
        lambda q, g: {"schedules": acts.schedules_shown(q)},
        gives=several("schedules"),
    ),
    Operation(
        "add_schedule",
        "POST",
        "/schedules",
        "Add a job again and again, by a cron expression.",
        acts.add_schedule,
        (
            Argument("name", "body", ID, "its name", codec.queue_name, required=True),
            Argument("cron", "body", TEXT, "five fields, or @daily and the like", _cron, required=True),
            Argument("zone", "body", TEXT, "time zone of the expression", lambda v: _text(v, "zone", 255)),
            choice("overlap", schedules.OVERLAPS, "while its last job has not ended"),
            choice("catch_up", cron.CATCH_UPS, "of what was missed while no worker ran"),
            Argument("job", "body", {"type": "object"}, "the job, as `POST /jobs` takes it", acts.job_asked, required=True),
        ),
        writes=True,
        status=201,
        gives={"type": "object"},
    ),
    schedule_verb("pause", "Add no more of its jobs."),
    schedule_verb("resume", "Let it go on."),
    schedule_verb("run", "Add its job now.", JOB),
    Operation(
        "remove_schedule",
        "DELETE",
        "/schedules/{name}",
        "Take it away; its jobs stay.",
        acts.remove_schedule,
        (SCHEDULE,),
        writes=True,
        gives={"type": "object"},
    ),
    Operation(
        "status",
        "GET",
        "/status",
        "How many jobs are in each state, who works, what is wrong.",
        lambda q, g: report.overview(q),
        gives={"type": "object"},
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Throughput, success rate, durations.",
        lambda q, g: stats.metrics(q.store, clock.now_us()),
        gives={"type": "object"},
    ),
    Operation(
        "series",
        "GET",
        "/series",
        "How it went over time: runs by minute or longer; durations of one run in so many.",
        lambda q, g: report.series(q, g.get("span", "hour"), clock.now_us()),
        (SPAN,),
        gives=obj(("step_s", "points", "one_in"), step_s={"type": "integer"}, points={"type": "array"}, one_in={"type": "integer"}),
    ),
    Operation(
        "dead",
        "GET",
        "/dead",
        "The dead-letter queue, by reason.",
        lambda q, g: report.dead(q, g.get("limit", report.DEAD_GROUPS)),
        (limit(100, 100),),
        gives=obj(("groups", "total"), groups={"type": "array"}, total={"type": "integer"}),
    ),
    Operation(
        "schedule",
        "GET",
        "/schedule",
        "What is due next.",
        lambda q, g: {"jobs": report.schedule(q, g.get("limit", 100))},
        (limit(100),),
        gives=several("jobs", JOB),
    ),
    Operation("config", "GET", "/config", "The settings.", acts.settings, gives=several("settings")),
    Operation(
        "set_config",
        "PATCH",
        "/config",
        "Change settings; null puts one back.",
        acts.set_config,
        tuple(Argument(name, "body", {}, about, setting(name)) for name, (_, about) in config.SETTINGS.items()),
        writes=True,
        gives=several("settings"),
    ),
    Operation(
        "events", "GET", "/events", "What happens, as server-sent events; `Last-Event-ID` resumes.", None, (EVERY,), kind="stream"
    ),
)
