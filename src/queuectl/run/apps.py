"""The application whose tasks a worker runs: a module of the user's, imported by the tasks' processes, never by the worker.

`worker start --app MODULE[:attr]` leaves word of it in the environment, where it outlives every restart of keeper and
worker; a worker that is started anew learns anew which tasks there are.
"""

from __future__ import annotations

import os
import subprocess
import sys

from .. import jsontext
from ..errors import InvalidInput
from ..model import TASK
from ..record import Record

VARIABLE = "QUEUECTL_APP"
LIST_S = 60.0
PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BEGIN = f"import sys; sys.path.append({PACKAGES!r}); from queuectl.run.function import main; sys.exit(main(sys.argv[1:]))"


class App(Record):
    """`name` is `module` or `module:attribute`; `paths` is where it is looked for before where Python looks."""

    name: str
    paths: tuple[str, ...]

    def text(self) -> str:
        return jsontext.dumps({"name": self.name, "paths": list(self.paths)})

    def command(self, *more: str) -> list[str]:
        """Isolated: nothing of a job's environment or folder says where modules come from."""
        return [sys.executable, "-I", "-c", BEGIN, self.text(), *more]


def here(name: str) -> App:
    """The app of this name as it is seen from this folder. Raises InvalidInput."""
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or not (not attribute or attribute.isidentifier()):
        raise InvalidInput(f"app {name[:60]!r} is not understood", hint="write MODULE, or MODULE:NAME", field="app")
    paths = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return App(name, tuple([os.path.abspath(path) for path in paths]))


def of_environment() -> App | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    stored = jsontext.loads(text)
    return App(stored["name"], tuple(stored["paths"]))


def tasks_of(app: App) -> list[str]:
    """The names of its tasks, from a process that imports it. Raises InvalidInput with the last it said."""
    try:
        done = subprocess.run(app.command("--list"), capture_output=True, timeout=LIST_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise InvalidInput(f"app {app.name} cannot be imported", why=f"it took longer than {LIST_S:g} s", field="app") from None
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not lines:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InvalidInput(f"app {app.name} cannot be imported", why=said[-1][:300] if said else "", field="app")
    names: list[str] = jsontext.loads(lines[-1])
    return names


def offers() -> list[str]:
    """What a worker with this environment offers besides commands. Raises InvalidInput."""
    app = of_environment()
    return [TASK + name for name in tasks_of(app)] if app else []


def argv() -> tuple[bytes, ...]:
    """The process of a task's job; which function with which arguments is in its environment, which others cannot read."""
    app = of_environment()
    assert app is not None, "a worker without an app offers no tasks"
    return tuple([os.fsencode(word) for word in app.command()])
