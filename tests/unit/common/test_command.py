"""What a program that failed is said to complain of."""

from __future__ import annotations

import pytest

from gpu_runbook.common import limits
from gpu_runbook.common.command import Ended, cause, run
from gpu_runbook.common.failure import failure

MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"
NO_LIBRARY = "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system: the library was not found"
HELPER = 'Error saving credentials: error storing credentials - err: exec: "docker-credential-pass": not found'
DAEMON = 'Conflict. The container name "/queue" is already in use'


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (f"{MISMATCH}\nNVML library version: 550.90", MISMATCH),
        (f"{NO_LIBRARY}\nPlease also try adding its directory to your system PATH.", NO_LIBRARY),
        (f"WARNING! Your password will be stored unencrypted.\n{HELPER}\n", HELPER),
        (f"docker: Error response from daemon: {DAEMON}.\nSee 'docker run --help'.", f"{DAEMON}."),
        ('"-":3: bad minute\nerrors in crontab file, can\'t install.', '"-":3: bad minute'),
        ("unknown flag: --gpu\nSee 'docker create --help'.", "unknown flag: --gpu"),
        ("INFO\tNeed to update DB\nFATAL\tinit error: DB error", "FATAL\tinit error: DB error"),
        ("Traceback (most recent call last):\n  File \"error.py\", line 1\nKeyError: 'x'", "KeyError: 'x'"),
        ("WARNING: Error loading config file: x\nCannot connect to the daemon", "Cannot connect to the daemon"),
        ("\n  one\ntwo\n", "one"),
        (" \n", ""),
    ],
)
def test_the_line_that_names_the_cause_is_told(said: str, names: str) -> None:
    assert cause(said) == names


def test_what_said_nothing_is_told_by_its_status() -> None:
    assert Ended(("x",), 3, "", "", 0.1).complaint == "x ended with status 3"
    assert Ended(("x",), 3, "out", " \n", 0.1).complaint == "out"
    assert Ended(("x",), None, "", "half", 4.0).complaint == "x did not answer within 4 s"


@pytest.mark.parametrize(
    "error",
    [
        BlockingIOError(11, "Resource temporarily unavailable"),
        OSError(24, "Too many open files", "/azaion/x"),
        RuntimeError("can't start new thread"),
        MemoryError(),
    ],
)
def test_a_limit_is_neither_a_full_disk_nor_a_defect(error: Exception) -> None:
    told = failure(error)
    assert (told["kind"], told["hint"]) == ("refused", limits.HINT)
    assert "disk" not in told["message"] and "a file" not in told["message"] and "Errno" not in told["message"]


def test_a_program_that_cannot_be_started_says_why() -> None:
    assert limits.told(Ended(("x",), 127, "", "x: Cannot allocate memory", 0.0).err)
    assert not limits.told(run(["/nowhere/x"], 1.0).err)
