"""Streams whose messages are images: what it costs to ask for their ends, and what compressed ones count as."""

from __future__ import annotations

import dataclasses
import time

import pytest

from gpu_runbook.protocol.check import OK
from sandbox import Sandbox, run_inside
from sandbox.machine import wait_until
from sandbox.narrow import narrow
from tests import real
from tests.health.patient import NAME, OFFSET, Patient

pytestmark = pytest.mark.real

MESSAGES, SIZE = 20, 1_048_000  # one chunk of 20 MB; a frame of the broker holds 1 MiB at most
SLOW = 1_000_000  # bytes a second: 20 s for the chunk, while a check asks for 4
FEW = 300_000  # bytes that it may cost to ask


@pytest.fixture(scope="module")
def patient(sandbox: Sandbox) -> Patient:
    real.clean(sandbox)
    return Patient(sandbox)


def test_a_chunk_of_20_mb_behind_a_slow_line_is_asked_in_time_for_few_bytes(patient: Patient) -> None:
    """In the open and in TLS, and the broker has nothing to warn of."""
    made = patient.make_long_chunk("images", MESSAGES, SIZE)
    patient.save_offset(f"offset: {MESSAGES}\n")
    log = patient.server.services.root / "var/log/broker.log"
    time.sleep(0.5)  # who made it is told of in the log as well
    before = len(log.read_bytes())
    for plain_or_tls in (patient.stream, patient.over_tls()):
        with narrow(plain_or_tls.port, SLOW) as line:
            stream = dataclasses.replace(plain_or_tls, name=made.name, user=made.user, port=line.port)
            check = patient.progress(stream=stream, password=patient.variables["RABBITMQ_PASSWORD"])
        assert (check.level, check.figures["first"], check.figures["last"]) == (OK, 0, MESSAGES - 1), check
        assert line.carried < FEW
    time.sleep(0.5)
    said = log.read_bytes()[before:].decode()
    assert "warning" not in said and "error" not in said, said


def test_a_consumer_of_messages_in_gzip_comes_to_the_end_that_the_stream_says(patient: Patient) -> None:
    """A batch is one entry of a chunk and many messages, each with an offset of its own."""
    stream = patient.make_stream("zipped", messages=150, batch=50)
    real.started_consumer(patient.server, "1.0", NAME, name=stream.name)
    wait_until(lambda: real.offset(patient.server) == 150, 30, "consumer")
    check = patient.progress(stream=stream, password=patient.variables["RABBITMQ_PASSWORD"])
    assert (check.level, check.sentence) == (OK, "offset 150, nothing waits (the stream ends at 149)"), check
    run_inside(patient.server, ["rm", OFFSET])
