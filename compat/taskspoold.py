"""`python3 taskspoold.py` is `queuectl taskspoold` of this checkout, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from queuectl.compat.taskspoold import entry

entry()
