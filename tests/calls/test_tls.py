"""Calls by TLS: whom to trust is the system's affair, and of whoever has a certificate authority of their own."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl.model import Call, Job
from queuectl.queue import Queue

from .conftest import CallerProcess, log_of, until

Make = Callable[..., None]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsafe\n"

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="NOT TESTED: there is no program openssl to make certificates")


class Authority:
    """Somebody who signs certificates, and a server that has one of theirs for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "ca.pem"
        key, request, self._cert, self._key = (folder / name for name in ("ca.key", "req", "cert", "key"))
        new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _run([*new, "-x509", "-days", "2", "-subj", "/CN=ours", "-keyout", str(key), "-out", str(self.file)])
        _run([*new, "-subj", "/CN=target", "-keyout", str(self._key), "-out", str(request)])
        names = folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1\n")
        signed = ["openssl", "x509", "-req", "-days", "2", "-in", str(request), "-CA", str(self.file), "-CAkey", str(key)]
        _run([*signed, "-CAcreateserial", "-extfile", str(names), "-out", str(self._cert)])

    def serve(self, ready: threading.Event, over: threading.Event) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
            writer.close()

        async def whole() -> None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._cert, self._key)
            server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
            self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            ready.set()
            await asyncio.to_thread(over.wait)
            server.close()

        asyncio.run(whole())


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    made, ready, over = Authority(tmp_path / "authority"), threading.Event(), threading.Event()
    thread = threading.Thread(target=made.serve, args=(ready, over), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield made
    over.set()
    thread.join(10)


def called(queue: Queue, make_calls: Make, call: Call) -> tuple[Job, str]:
    job = queue.add(call, max_retries=0)
    make_calls()
    return queue.get(job.id), log_of(queue, job)


def test_a_certificate_of_ones_own_authority_is_trusted(queue: Queue, authority: Authority, make_calls: Make) -> None:
    queue.settings.set("call_ca", str(authority.file))
    job, log = called(queue, make_calls, Call(authority.url))
    assert (job.state, log.endswith("safe\n")) == ("completed", True)


def test_a_stranger_s_certificate_is_refused_in_one_clear_line(
    queue: Queue, authority: Authority, make_calls: Make, tmp_path: Path
) -> None:
    queue.settings.set("call_ca", str(Authority(tmp_path / "another").file))
    job, log = called(queue, make_calls, Call(authority.url))
    assert (job.state, job.reason) == ("dead", "not trusted")
    [line] = [line for line in log.splitlines() if line.startswith("queuectl: ")]
    assert line.startswith("queuectl: not trusted: ") and "certificate verify failed" in line


def test_another_host_s_certificate_is_refused(queue: Queue, authority: Authority, make_calls: Make) -> None:
    queue.settings.set("call_ca", str(authority.file))
    job, log = called(queue, make_calls, Call(authority.url.replace("127.0.0.1", "localhost")))
    assert (job.reason, "localhost" in log) == ("not trusted", True)


def test_without_checking_anybody_is_believed(queue: Queue, authority: Authority, make_calls: Make) -> None:
    job, log = called(queue, make_calls, Call(authority.url, verify=False))
    assert (job.state, log.endswith("safe\n")) == ("completed", True)


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_file_that_holds_none_is_named(
    queue: Queue, authority: Authority, make_calls: Make, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    queue.settings.set("call_ca", str(file))
    job, log = called(queue, make_calls, Call(authority.url))
    assert (job.reason, f"the certificates of call_ca, {file}, cannot be read: " in log) == ("not trusted", True)


def test_what_openssl_trusts_is_trusted(
    queue: Queue, authority: Authority, start_caller: Callable[..., CallerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    job = queue.add(Call(authority.url), max_retries=0)
    start_caller()
    until(lambda: queue.get(job.id).ended)
    assert queue.get(job.id).state == "completed"
