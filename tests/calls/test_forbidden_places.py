"""No job leads the caller to a place that hands out keys: every spelling as a call, and names that resolve to such places."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.errors import InvalidInput
from queuectl.model import Call
from queuectl.queue import Queue

from .conftest import Target, log_of, until
from .test_addresses import SPELLINGS

Make = Callable[..., None]
NEVER_ASKED = {"address refused", "bad url", "name not found"}
INSIDE = "mount --bind {hosts} /etc/hosts && exec {python} -m queuectl.run.caller {database} ''"


def test_a_call_to_any_spelling_is_refused_before_anything_is_sent(queue: Queue, target: Target, make_calls: Make) -> None:
    jobs = []
    for spelling in SPELLINGS:
        host = f"[{spelling}]" if ":" in spelling else spelling
        try:
            jobs.append(queue.add(Call(f"http://{host}:{target.port}/"), max_retries=0))
        except InvalidInput as refused:
            assert refused.field == "url"
    assert len(jobs) >= 40
    make_calls()
    ended = {queue.get(job.id).command: queue.get(job.id).reason for job in jobs}
    assert {url: reason for url, reason in ended.items() if reason not in NEVER_ASKED} == {}
    assert sum(reason == "address refused" for reason in ended.values()) >= 40
    assert not target.seen


def test_a_name_that_resolves_to_such_a_place_is_refused(queue: Queue, target: Target, tmp_path: Path) -> None:
    """Really resolved, by a caller with a hosts file of its own."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: names that resolve to forbidden addresses; this needs a mount namespace (root, unshare)")
    hosts = tmp_path / "hosts"
    hosts.write_text("169.254.169.254 inner.example\n::ffff:a9fe:a9fe mapped.example\n127.0.0.1 fine.example\n")
    inner, mapped, fine, led = (
        queue.add(Call(f"http://{host}:{target.port}{path}"), max_retries=0)
        for host, path in [
            ("inner.example", "/"),
            ("mapped.example", "/"),
            ("fine.example", "/ok"),
            ("fine.example", f"/redirect?to=http://inner.example:{target.port}/ok"),
        ]
    )
    script = INSIDE.format(hosts=hosts, python=sys.executable, database=queue.place.database)
    caller = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stderr=subprocess.DEVNULL)
    try:
        until(lambda: all(queue.get(job.id).ended for job in (inner, mapped, fine, led)))
    finally:
        caller.terminate()
        caller.wait(20)
    assert [queue.get(job.id).reason for job in (inner, mapped, fine, led)] == ["address refused"] * 2 + [None, "address refused"]
    assert "169.254.169.254 must not be called: the metadata service of a cloud" in log_of(queue, inner)
    assert [path for path in target.paths() if not path.startswith("/redirect")] == ["/ok"]
