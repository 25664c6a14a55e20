"""The worker as a systemd user service: started at login or boot, jobs untouched when it is stopped or upgraded.

What the unit runs is in `run.serviced`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from . import files
from .errors import NotFound, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .doctor import Finding
    from .locate import Place

NAME = "queuectl.service"
SYSTEMD = "/var/lib/systemd"
# systemd's defaults end every job with the worker (KillMode) and the worker for a job's greed (OOMPolicy).
UNIT = """[Unit]
Description=queuectl worker

[Service]
ExecStart={command}
Environment={where}
KillMode=process
KillSignal=SIGTERM
OOMPolicy=continue
Delegate=yes
Restart=on-failure
RestartSec=5
UMask=0077

[Install]
WantedBy=default.target
"""

NEEDED = {
    "KillMode=process": "stopping it would end running jobs",
    "OOMPolicy=continue": "a job that takes too much memory would end all others",
    "Delegate=yes": "jobs get no control group of their own",
    "service run": "stopping it would wait for running jobs, and then end their keeper",
}


def unit_path() -> str:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, "systemd", "user", NAME)


def unit_text(place: Place, slots: int) -> str:
    """The unit; whatever stands in a path.

    >>> from .locate import Place
    >>> [line for line in unit_text(Place('/srv/a "b" 5%/q.db'), 4).splitlines() if line.startswith("Env")]
    ['Environment="QUEUECTL_DB_PATH=/srv/a \\\\"b\\\\" 5%%/q.db"']
    """
    command = f"{_quoted(sys.executable).replace('$', '$$')} -m queuectl service run --count {slots}"
    where = f"QUEUECTL_URL={place.url}" if place.url else f"QUEUECTL_DB_PATH={place.database}"
    return UNIT.format(command=command, where=_quoted(where))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def install(place: Place, slots: int) -> list[str]:
    """Write the unit and start it where systemd runs; returns what was done, in words."""
    path = unit_path()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.replace_file(path, unit_text(place, slots).encode())
    done = [f"wrote {path}"]
    if _systemctl("daemon-reload") is None:
        return [*done, f"systemd does not run for this user: start it there with 'systemctl --user enable --now {NAME}'"]
    fault = _systemctl("enable", "--now", NAME)
    if fault:
        raise StorageError(f"{NAME} could not be started", why=fault, hint=f"systemctl --user status {NAME}")
    return [*done, "started, and enabled at login; 'loginctl enable-linger' starts it at boot"]


def uninstall() -> list[str]:
    path = unit_path()
    if not os.path.exists(path):
        raise NotFound(f"there is no unit {path}")
    _systemctl("disable", "--now", NAME)
    os.unlink(path)
    _systemctl("daemon-reload")
    return [f"removed {path}"]


def _systemctl(*words: str) -> str | None:
    """Run systemctl for this user: empty when it did, its words when it refused, None where there is no systemd."""
    if not shutil.which("systemctl"):
        return None
    done = subprocess.run(["systemctl", "--user", *words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode and "connect to bus" in done.stderr.lower():
        return None
    # `is-active` says on stdout what the unit is instead.
    return (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}") if done.returncode else ""


def examine() -> Iterator[Finding]:
    """The unit, for `doctor`."""
    from .doctor import FINE, WARNING, WRONG, Finding

    path = unit_path()
    if not os.path.exists(path):
        yield Finding("unit", FINE, "not installed")
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if not line.lstrip().startswith(("#", ";"))]
    for needed, why in NEEDED.items():
        if not any(needed in line for line in lines):
            yield Finding("unit", WRONG, f"{path} lacks '{needed}': {why}", "'queuectl service install' writes it anew")
    if _ends_with_the_login():
        yield Finding("unit", WARNING, "its worker ends when this user logs out", "'loginctl enable-linger' keeps it, from boot on")
    state = _systemctl("is-active", NAME)
    if state:
        yield Finding("unit", WARNING, f"{path}, {state}", f"'systemctl --user enable --now {NAME}' starts it")
    else:
        yield Finding("unit", FINE, path if state is None else f"{path}, active")


def _ends_with_the_login() -> bool:
    """Whether this machine would keep the services of a user who is away, and was not told so for this one."""
    import pwd

    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return os.path.isdir(SYSTEMD) and not os.path.exists(os.path.join(SYSTEMD, "linger", name))
