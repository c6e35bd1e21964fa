"""`fab --list` is there at once: it reads the tasks and nothing below them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
LOADED = "import sys, fabfile; print(*sorted(name for name in sys.modules if name.startswith('gpu_runbook')))"


def test_what_lists_the_tasks_loads_nothing_of_either_half() -> None:
    said = subprocess.run([sys.executable, "-c", LOADED], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
