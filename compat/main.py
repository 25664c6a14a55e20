"""`python main.py …` is `queuectl …` of this checkout, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from queuectl.cli import entry

entry()
