"""Commands whose output goes to a terminal or a pipe of another encoding, with a log that holds whatever there is."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest

from tests.deploy.laptop import FAB, Laptop
from tests.deploy.test_logs import TALKER, talker

pytestmark = pytest.mark.real

SAYS = r"""
import sys, time
sys.stdout.buffer.write("gpü-Ω ✓ 🚀 •••\n".encode() + b"\xff\xfe no text\n")
sys.stdout.buffer.flush()
time.sleep(600)
"""
COMMANDS = (("logs", TALKER), ("status",), ("health",), ("preflight",), ("schedule.show",), ("history",))
LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def on_a_terminal(laptop: Laptop, environment: dict[str, str], *words: str) -> bytes:
    """What is read from a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*FAB, *words], cwd=laptop.folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    ):
        os.close(theirs)
        read = b""
        try:
            while block := os.read(ours, 4096):
                read += block
        except OSError:  # so a terminal ends
            pass
    os.close(ours)
    return read


def test_every_command_is_written_in_any_encoding(laptop: Laptop) -> None:
    talker(laptop, SAYS)
    said = {}
    for kind, extra in {"ascii": LOCALE, "cp1252": {"PYTHONIOENCODING": "cp1252"}}.items():
        environment = {**laptop.environment, **extra}
        for words in COMMANDS:
            done = subprocess.run(
                [*FAB, *words], cwd=laptop.folder, env=environment, capture_output=True, check=False, timeout=120
            )
            said[words] = done.stdout + done.stderr
            assert done.returncode < 10 and b"Unicode" not in said[words], (kind, words, said[words])
        shown = said[("logs", TALKER)].decode(kind)
        assert ("gpü-? + ? •••" if kind == "cp1252" else "gp?-? + ? ***") in shown
        assert " no text" in shown
    environment = {**laptop.environment, **LOCALE}
    told = subprocess.run(
        [*FAB, "logs", TALKER, "--json"], cwd=laptop.folder, env=environment, capture_output=True, check=True
    )
    lines = [line["text"] for line in json.loads(told.stdout.decode("ascii"))["servers"][0]["lines"]]
    assert lines[0] == "gpü-Ω ✓ 🚀 •••"
    assert b"gp?-? + ? ***" in on_a_terminal(laptop, environment, "logs", TALKER)
    assert b"Unicode" not in on_a_terminal(laptop, environment, "health")
