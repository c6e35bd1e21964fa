"""A row on the laptop: the unit tests with another Python, in a virtual environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sandbox.place import CHECKOUT
from tests.matrix import pythons
from tests.matrix.rows import Row
from tests.matrix.servers import Absent

REQUIREMENTS = "requirements-dev.lock"
JOBS = "2"


def play(row: Row) -> tuple[dict[str, str], str]:
    """What was found of it, and what was wrong, if anything was. Raises Absent."""
    python = pythons.found(row.python)
    if python is None:
        raise Absent(f"no Python {row.python} is on this machine")
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "venv/bin/python"
        made = _run([str(python), "-m", "venv", str(own.parents[1])])
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
        made = made or _run([str(own), *pip, f"--requirement={REQUIREMENTS}"])
        if made:
            return {}, f"install: {made}"
        version = subprocess.run(
            [own, "-IS", "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        wrong = _run([str(own), "-m", "pytest", "tests/unit", "--quiet", f"--numprocesses={JOBS}"])
        return {"Python": version}, f"unit tests: {wrong}" if wrong else ""


def _run(argv: Sequence[str]) -> str:
    """Run it to its end; the line that tells what failed, or nothing. It does not outlive who waits for it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        argv, cwd=CHECKOUT, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            out = process.communicate()[0]
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        return ""
    failed = re.findall(r"^(?:FAILED|ERROR) .*$", out, re.MULTILINE) or out.strip().splitlines()[-1:]
    return f"exit status {process.returncode}; {len(failed)} failed: {' '.join(failed)[:400]}"
