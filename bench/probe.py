"""What it costs to ask a stream of images for its ends: bytes from the broker, and time behind a slow line."""

from __future__ import annotations

import dataclasses
import statistics
import time

from bench.pairs import Figure
from gpu_runbook.laptop.errors import Defect
from gpu_runbook.server.queue import stream
from sandbox import Sandbox
from sandbox.narrow import narrow
from sandbox.place import BROKER_CA
from tests.health.patient import Patient

MESSAGES, SIZE = 20, 1_048_000  # one chunk of 20 MB; a frame of the broker holds 1 MiB at most
SLOW = 1_000_000  # bytes a second
KILOBYTES, SECONDS = 300, 4  # at most; a check has these seconds


def figures(sandbox: Sandbox, count: int) -> list[Figure]:
    """In the open and in TLS, `count` times each. Raises Defect when an answer is wrong."""
    patient = Patient(sandbox)
    made = patient.make_long_chunk("images", MESSAGES, SIZE)
    password = patient.variables["RABBITMQ_PASSWORD"]
    given: list[Figure] = []
    for way, address in (("", patient.stream), (", TLS", patient.over_tls())):
        taken: list[float] = []
        ca = None if address.tls is None else str(sandbox.server.root / BROKER_CA.lstrip("/"))
        with narrow(address.port, SLOW) as line:
            asked = dataclasses.replace(address, name=made.name, user=made.user, port=line.port, tls=ca)
            for _ in range(count):
                begun = time.monotonic()
                if stream.bounds(asked, password, SECONDS) != stream.Bounds(0, MESSAGES - 1):
                    raise Defect("the stream's ends were not those that it was given")
                taken.append(time.monotonic() - begun)
        what = f"a stream's ends, a chunk of 20 MB at 1 MB/s{way}"
        given.append(Figure(f"bytes to ask for {what}", line.carried / count / 1000, "KB", KILOBYTES))
        given.append(Figure(f"time to ask for {what}", statistics.median(taken), "s", SECONDS))
    return given
