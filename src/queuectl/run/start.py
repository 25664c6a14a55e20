"""The command line of a keeper's process, and an environment in which its interpreter finds this package."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..locate import Place


def keeper_command(
    place: Place, slots: int, queues: list[str], flags: str = "", processes: int = 1, parts: tuple[str, ...] = ()
) -> list[str]:
    """`parts`: see `run.parts`."""
    worker = [place.database, str(slots), ",".join(queues), flags]
    return [sys.executable, "-m", "queuectl.run.keeper", *worker, str(processes), *parts]


def environ() -> dict[str, str]:
    """Ours; run from a checkout, where only our own path knows the package, with a path for the keeper's interpreter.
    Jobs never see it: they have the environment of whoever added them."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.basename(root) in ("site-packages", "dist-packages"):
        return dict(os.environ)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
