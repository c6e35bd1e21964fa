"""Peak memory of both halves during a deploy, as the kernel counted it."""

from __future__ import annotations

import os
import subprocess

from bench.pairs import Figure
from gpu_runbook.laptop.errors import Defect
from sandbox.machine import inside
from tests.deploy.laptop import QUEUE, Laptop
from tests.real import STATE

MEGABYTE = 1e6
LAPTOP, SERVER = 100, 40  # megabytes at most

# The peak of the process that holds the lock, asked again and again until it has come and gone. Argument: the lock.
_PEAK = """
import json, re, sys, time
peak, until = 0, time.monotonic() + 60
while time.monotonic() < until:
    try:
        pid = json.load(open(sys.argv[1]))["pid"]
        peak = max(peak, int(re.search("VmHWM:\\s+(\\d+)", open(f"/proc/{pid}/status").read())[1]))
    except (OSError, ValueError, KeyError, TypeError):
        if peak:
            break
    time.sleep(0.005)
print(peak * 1024)
"""


def peaks(laptop: Laptop) -> list[Figure]:
    """One deploy. The laptop's is that of fab itself; the server's that of the process that carries out the run."""
    words = inside(laptop.sandbox.server, ["python3", "-IS", "-c", _PEAK, f"{STATE}/lock"])
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as peak:
        fab = laptop.start("deploy", "--service", QUEUE, "--force")
        _, status, used = os.wait4(fab.pid, 0)
        fab.returncode = os.waitstatus_to_exitcode(status)
        said = "".join(fab.communicate())
        there, _ = peak.communicate(timeout=70)
    if fab.returncode:
        raise Defect(f"the deploy whose memory was to be measured ended with {fab.returncode}", said)
    return [
        Figure("peak memory of fab", used.ru_maxrss * 1024 / MEGABYTE, "MB", LAPTOP),
        Figure("peak memory of the run on the server", int(there) / MEGABYTE, "MB", SERVER),
    ]
