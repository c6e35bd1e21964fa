"""The first program on the server, run as the server runs it: by a bare interpreter, from standard input."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

from gpu_runbook.laptop.rpc import bundle
from gpu_runbook.laptop.rpc.frames import restored

SOURCE = (bundle.FOLDER / "server/rpc/bootstrap.py").read_text()


def run(before: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-IS", "-c", before + bundle.loader("zlib")], input=data, capture_output=True
    )


def test_an_old_python_is_named_in_one_sentence() -> None:
    ran = run("import sys;sys.version_info=(3,7,3,'final',0);", bundle.pack("ping", {}, "zlib"))
    error = json.loads(ran.stdout.strip(b"\x1e\n"))["error"]
    assert error["kind"] == "server"
    assert error["message"] == f"{sys.executable} is Python 3.7.3; 3.8 or newer is needed"
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_an_old_python_can_read_it() -> None:
    ast.parse(SOURCE, feature_version=(3, 5))


def test_a_call_that_is_cut_off_runs_nothing() -> None:
    data = bundle.pack("ping", {}, "zlib")
    for size, complaint in ((1, "cut off on its way"), (40, "cut off on its way"), (1000, "incomplete or truncated")):
        ran = run("", data[:-size])
        assert (ran.returncode, ran.stdout) == (1, b"")
        assert complaint in ran.stderr.decode()


def test_a_traceback_shows_the_lines_of_modules_that_exist_in_memory_only() -> None:
    ran = run("", bundle.pack("env", {}, "zlib"))
    error = json.loads(ran.stdout.strip(b"\x1e\n"))["error"]
    assert error["message"].startswith("Malformed in gpu_runbook/protocol/codec.py line ")
    assert ", in _outcome\n" not in error["debug"], "it travels with short names"
    told = restored(error["debug"])
    assert ', in answer\n    asked = decode(EnvRequest, request, "request")\n' in told
    assert ", in _outcome\n    answer = importlib.import_module(" in told
