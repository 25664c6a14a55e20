"""The server's place: its socket, its folders, its files, who may come in, and the client's words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import ROOT, Spooler, eventually

pytestmark = pytest.mark.wide

NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.lstat().st_mode))


# ---------------------------------------------------------------- socket, folders, files


def test_a_stale_socket_is_replaced(place: Spooler) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place.path))
    assert place.start().all()["last_job_id"] == 0


def test_the_socket_of_a_living_server_is_left_to_it(server: Spooler) -> None:
    code, said = server.refused(TASKSPOOL_LOG_DIR=str(server.folder / "other"), QUEUECTL_DB_PATH=str(server.folder / "other.db"))
    assert (code, "a server is running at" in said) == (5, True)
    assert server.queue("true") == "Job started: true"


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(place: Spooler, kind: str) -> None:
    victim = place.folder / "victim"
    victim.write_text("precious")
    match kind:
        case "file":
            place.path.write_text("precious")
        case "folder":
            place.path.mkdir()
        case "link":
            place.path.symlink_to(victim)
    code, said = place.refused()
    assert (code, "it is not a socket" in said) == (4, True)
    assert os.path.lexists(place.path)
    assert victim.read_text() == "precious"


def test_a_second_server_on_the_same_store_is_refused(server: Spooler) -> None:
    code, said = server.refused(TASKSPOOL_SOCKET=str(server.folder / "t.sock"))
    assert (code, "another taskspoold" in said) == (5, True)
    assert not (server.folder / "t.sock").exists()


def test_socket_and_files_are_for_the_owner_alone_under_any_umask(place: Spooler) -> None:
    before = os.umask(0)
    try:
        place.start()
    finally:
        os.umask(before)
    place.queue("echo secret")
    place.ended(1)
    assert mode(place.path) == "0o600"
    assert [mode(folder) for folder in (place.logs, place.temp)] == ["0o700"] * 2
    assert [mode(file) for file in sorted(place.temp.iterdir())] == ["0o600"] * 2
    assert [mode(file) for file in place.logs.iterdir()] == ["0o600"]


def test_output_files_never_follow_a_link(server: Spooler) -> None:
    victims = [server.folder / "victim-1", server.folder / "victim-2"]
    for victim in victims:
        victim.write_text("precious")
    (server.temp / "job-1.out").symlink_to(victims[0])
    server.queue("echo first; while ! test -e go; do sleep 0.02; done; echo second")
    eventually(lambda: (server.temp / "job-1.out").read_text() == "first\n")
    (server.temp / "job-1.err").unlink()
    (server.temp / "job-1.err").symlink_to(victims[1])
    server.queue("true")
    (server.temp / "job-1.out").unlink()
    (server.temp / "job-1.out").symlink_to(victims[1])
    (server.folder / "go").touch()
    assert server.ended(1)["stdout"] == "first\nsecond\n"
    assert [victim.read_text() for victim in victims] == ["precious"] * 2


def test_a_file_left_by_an_earlier_life_is_begun_anew(place: Spooler) -> None:
    place.temp.mkdir()
    (place.temp / "job-1.out").write_text("of another life, and longer than what comes")
    place.start().queue("echo new")
    place.ended(1)
    assert (place.temp / "job-1.out").read_text() == "new\n"


def test_folders_of_other_kinds_are_refused(place: Spooler) -> None:
    place.logs.write_text("a file")
    assert "is not a folder" in place.refused()[1]
    place.logs.unlink()
    shared = place.folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    assert "is shared" in place.refused(TASKSPOOL_TEMP_DIR=str(shared))[1]
    assert mode(shared) == "0o1777"


@pytest.mark.parametrize(("variable", "value"), [("MAX_JOBS", "0"), ("MAX_JOBS", "many"), ("TZ", "Atlantis"), ("SOCKET", "s" * 99)])
def test_settings_that_cannot_be_are_named(place: Spooler, variable: str, value: str) -> None:
    variable = f"TASKSPOOL_{variable}"
    code, said = place.refused(**{variable: value})
    assert code == 2
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_the_server_takes_no_arguments(place: Spooler) -> None:
    command = [sys.executable, str(ROOT / "compat/taskspoold.py"), "start"]
    done = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: taskspoold\n")


def test_signals_while_it_starts_and_while_it_ends_leave_no_socket(place: Spooler) -> None:
    place.process = process = place.launch()
    eventually(place.path.exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not place.path.exists()
    place.start()
    assert place.process
    for _ in range(20):
        place.process.send_signal(signal.SIGTERM)
    assert place.process.wait(20) == 0
    assert not place.path.exists()


def test_a_worker_that_died_with_its_keeper_is_started_again(server: Spooler) -> None:
    for pid in sorted(server.processes("queuectl.run")):
        os.kill(pid, signal.SIGKILL)
    server.queue("echo alive")
    assert server.ended(1)["stdout"] == "alive\n"


# ---------------------------------------------------------------- clean-up


@pytest.mark.parametrize("running", [False, True])
def test_the_documented_clean_up_leaves_a_server_that_begins_anew(place: Spooler, running: bool) -> None:
    """`rm` of the socket and of what is in both folders, with the server stopped or still there."""
    place.env["QUEUECTL_DB_PATH"] = ""
    place.start()
    place.queue("echo old")
    place.ended(1)
    assert (place.logs / "queuectl.db").exists()
    first = place.process
    if not running:
        assert place.stop() == 0
    place.path.unlink(missing_ok=True)
    for folder in (place.logs, place.temp):
        shutil.rmtree(folder)
    place.start()
    assert place.all()["last_job_id"] == 0
    place.queue("echo new")
    assert place.ended(1)["stdout"] == "new\n"
    assert first is not None
    assert first.wait(10) == 0  # it has seen that its socket is gone
    assert place.job(1)["status"] == "completed"


def test_folders_that_are_cleaned_up_under_a_living_server_are_made_again(server: Spooler) -> None:
    shutil.rmtree(server.temp)
    server.queue("echo hello")
    server.ended(1)
    assert (server.temp / "job-1.out").read_text() == "hello\n"
    assert mode(server.temp) == "0o700"


# ---------------------------------------------------------------- who is at the other end


@as_root
def test_the_server_answers_nobody_but_its_user_even_when_the_socket_was_opened_to_all(server: Spooler) -> None:
    server.folder.chmod(0o755)
    server.path.chmod(0o666)
    program = (
        f"import os, socket; os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX); s.connect({str(server.path)!r});"
        "s.sendall(b'queue: touch intruder'); s.shutdown(1); print(s.recv(100))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout == "b''\n" or "ConnectionResetError" in done.stderr or "BrokenPipe" in done.stderr
    assert server.all()["last_job_id"] == 0


@as_root
def test_the_client_sends_nothing_to_somebody_elses_server(place: Spooler) -> None:
    os.chown(place.folder, NOBODY, -1)
    program = (
        f"import os, socket; os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX); s.bind({str(place.path)!r}); s.listen();"
        "print('ready', flush=True); c, _ = s.accept(); print(c.recv(100))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as impostor:
        assert impostor.stdout and impostor.stdout.readline() == "ready\n"
        done = place.ctl("queue: echo a password")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"The server at {place.path} belongs to user {NOBODY}. Nothing was sent to it.\n"
        assert impostor.stdout.readline() == "b''\n"


# ---------------------------------------------------------------- the client


def test_the_client_prints_the_answer_indented_by_two(shared: Spooler) -> None:
    done = shared.ctl("queue: ls -lh /var")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{\n  "message": "Job started: ls -lh /var"\n}\n', "")
    overview = shared.ctl("status: all").stdout
    assert overview == json.dumps(json.loads(overview), indent=2) + "\n"


def test_the_client_ends_with_1_on_an_error_and_2_on_usage(shared: Spooler) -> None:
    done = shared.ctl("status: 99999")
    assert (done.returncode, done.stdout) == (1, '{\n  "error": "Job ID 99999 not found"\n}\n')
    for arguments in ((), ("status:", "all")):
        done = shared.ctl(*arguments)
        assert (done.returncode, done.stdout, done.stderr[:19]) == (2, "", "usage: taskspoolctl")


def test_the_client_says_when_there_is_no_server(place: Spooler) -> None:
    done = place.ctl("status: all")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Socket not found at {place.path}. Is the server running?\n"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place.path))
    done = place.ctl("status: all")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Nobody listens on the socket at {place.path}. Is the server running?\n"


def test_the_client_sends_a_long_command_whole(shared: Spooler) -> None:
    command = "queue: true #" + "x" * 100_000  # one argument of a program may not be longer by much
    assert json.loads(shared.ctl(command).stdout)["message"] == "Job started: " + command[7:]


def test_the_client_is_quick_to_start_and_loads_nothing_but_the_standard_library(shared: Spooler) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from queuectl.compat.taskspoolctl import main; main(['status: all']);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-S", "-c", program, str(ROOT / "src")]
    done = subprocess.run(command, env=shared.env, capture_output=True, text=True, timeout=20)
    loaded = set(done.stderr.split())
    assert done.returncode == 0
    assert not loaded & {"apsw", "json", "re", "socket", "asyncio", "argparse", "rich", "queuectl.queue"}


@pytest.mark.parametrize("program", ["taskspoold", "taskspoolctl"])
def test_both_programs_are_words_of_queuectl_too(program: str) -> None:
    done = subprocess.run([sys.executable, "-m", "queuectl", program, "--help"], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout.splitlines()[0].split()[:2]) == (0, ["usage:", program])


def test_an_idle_server_sleeps(server: Spooler) -> None:
    def cpu() -> int:
        pids = [server.process.pid, *server.processes("queuectl.run")]  # type: ignore[union-attr]
        return sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in set(pids))

    def used_in_a_second() -> int:
        before = cpu()
        time.sleep(1.0)
        return cpu() - before

    server.all()
    eventually(lambda: used_in_a_second() <= 2)  # hundredths of a second
