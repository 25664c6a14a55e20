"""Who asked to be told of a job's end is told, whatever kind of job it is and however it ended."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import queuectl
from queuectl import signing
from queuectl.model import Call
from queuectl.queue import Queue

from .conftest import Target

Make = Callable[..., None]


@pytest.mark.parametrize(("command", "state"), [("true", "completed"), ("exit 3", "dead")])
def test_the_end_of_a_command_is_told(queue: Queue, target: Target, make_calls: Make, command: str, state: str) -> None:
    job = queue.add(command, callback=target.url + "/ok?done", max_retries=0)
    queuectl.Worker(queue).run(until_idle=True)
    make_calls()
    [(method, path, headers, body)] = target.seen
    told = json.loads(body)
    assert (method, path, headers["Content-Type"]) == ("POST", "/ok?done", "application/json")
    assert (told["id"], told["state"], told["attempts"]) == (job.id, state, 1)


def test_a_job_that_will_run_again_is_not_told_of_yet(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.add(Call(target.url + "/status/500"), callback=target.url + "/ok", max_retries=1)
    make_calls()
    assert target.paths() == ["/status/500"]


def test_a_cancelled_job_is_told_of(queue: Queue, target: Target, make_calls: Make) -> None:
    job = queue.add("true", callback=target.url + "/ok")
    queue.cancel(job.id)
    make_calls()
    assert json.loads(target.seen[0][3])["state"] == "cancelled"


def test_a_callback_is_tried_again_and_signed(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.settings.set("backoff_base", "0")
    signing.Secrets(queue.place).put("shop", signing.new_secret())
    queue.add(Call(target.url + "/ok"), callback=target.url + "/once?after=0", callback_sign="shop")
    make_calls(lambda: target.paths().count("/once?after=0") == 2)
    first, second = [headers for _, path, headers, _ in target.seen if path.startswith("/once")]
    assert first["webhook-id"] == second["webhook-id"] == first["Idempotency-Key"]
    assert first["webhook-signature"].startswith("v1,")


def test_a_callback_of_a_callback_there_is_not(queue: Queue, target: Target, make_calls: Make) -> None:
    queue.add(Call(target.url + "/ok"), callback=target.url + "/ok?done")
    make_calls(lambda: target.paths() == ["/ok", "/ok?done"] and all(job.ended for job in queue.find()))
    assert queue.count() == 2
