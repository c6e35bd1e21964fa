"""A process of its own: what it says first is heard, and nothing that becomes of its parent ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.machine import wait_until
from sandbox.place import CHECKOUT

# A verb as wire would call it; its life says what the test wants, and writes a file at its end.
VERB = """
import os, sys, time
from gpu_runbook.server.rpc.detach import detached, followed
from gpu_runbook.protocol.errors import Refusal

def life(say):
    if mode == "refused":
        raise Refusal("no", "do this", "person")
    if mode == "defect":
        raise ValueError("a secret")
    if mode == "killed":
        os.kill(os.getpid(), 9)
    if mode == "alone":
        print("begun", flush=True)
        while os.path.exists(f"/proc/{parent}"):
            time.sleep(0.01)
    if mode in ("told", "told-then-refused"):
        say({"event": "copying", "done": 1})
        say({"event": "copying", "done": 2})
    if mode == "told-then-refused":
        raise Refusal("no", "do this", "person")
    say({"first": 1})
    say({"second": 2})
    open(file, "w").write(str(os.getsid(0) == session))

mode, file, parent, session = sys.argv[1], sys.argv[2], os.getpid(), os.getsid(0)
try:
    print(followed(life, lambda event: print(event["done"])) if mode.startswith("told") else detached(life))
except Refusal as refusal:
    print(refusal.kind, refusal.message)
"""


def verb(mode: str, file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", VERB, mode, str(file)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd="/", env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
    )


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("well", "{'first': 1}"),
        ("told", "1\n2\n{'first': 1}"),
        ("told-then-refused", "1\n2\nperson no"),
        ("refused", "person no"),
        ("defect", "defect ValueError in "),
        ("killed", "person the process that was to do it was killed"),
    ],
)
def test_what_it_says_first_is_heard_and_how_it_ended_before(tmp_path: Path, mode: str, said: str) -> None:
    with verb(mode, tmp_path / "end") as process:
        out, _ = process.communicate(timeout=20)
    assert out.startswith(said)
    assert "secret" not in out


def test_it_outlives_whoever_started_it_though_nobody_hears_it_any_more(tmp_path: Path) -> None:
    file = tmp_path / "end"
    with verb("alone", file) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: file.exists() and file.read_text() != "", 20, "detached process (its end)")
    assert file.read_text() == "False", "it has to leave the session of the connection"
