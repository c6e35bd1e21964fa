"""A health check beside a consumer, asked over SSH of a server of real parts."""

from __future__ import annotations

import dataclasses
import time

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING
from gpu_runbook.server.docker.containers import LOOP
from sandbox import finish, run_inside, start_publishing, stop
from tests import real
from tests.health.patient import NAME, Patient

pytestmark = pytest.mark.real

ALIVE = f"{NAME} alive"


def until(patient: Patient, level: str, seconds: float = 20) -> str:
    """Ask how the container is until it has this level; gives the sentence."""
    deadline = time.monotonic() + seconds
    while True:
        check = patient.row(ALIVE)
        if check.level == level:
            return check.sentence
        assert time.monotonic() < deadline, check
        time.sleep(0.3)


def test_a_server_that_is_well_is_ok_in_every_row(patient: Patient) -> None:
    real.started_consumer(patient.server, "1.0")
    real.published(patient.server, 200)
    real.wait_for_annotations(patient.server, 200)
    time.sleep(2)  # the consumer saves its offset when it falls idle
    before = real.server_snapshot(patient.server)
    report = patient.report()
    assert real.server_snapshot(patient.server) == before
    assert {check.level for check in report.checks} == {OK}, report
    assert report.exit_status == 0
    assert [check.name for check in report.checks] == [
        ALIVE,
        "RabbitMQ reachable",
        "GPU available",
        "disk space",
        "offset advancing",
        "docker command",
    ]


def test_a_consumer_under_load_advances(patient: Patient) -> None:
    real.started_consumer(patient.server, "1.0")
    publishing = start_publishing(patient.server, 4000, 800)
    real.wait_for_annotations(patient.server, 500)
    check = patient.progress(offset=dataclasses.replace(patient.file, saved_every=1))
    finish(publishing)
    assert (check.level, check.figures["moved"] > 0) == (OK, True), check


def test_a_stopped_container_is_critical(patient: Patient) -> None:
    real.started_consumer(patient.server, "bad-idle")
    real.docker(patient.server, "stop", "--time=1", NAME)
    check = patient.row(ALIVE)
    assert (check.level, f"{NAME} is exited (exit status" in check.sentence) == (CRITICAL, True), check


@pytest.mark.parametrize("tag", ["bad-exits", "bad-crashes"])
def test_a_crash_loop_is_critical_whenever_one_looks(patient: Patient, tag: str) -> None:
    patient.restarting_consumer(tag)
    assert "crash loop" in until(patient, CRITICAL)
    for _ in range(4):
        time.sleep(1.3)
        row = patient.row(ALIVE)
        assert row.level == CRITICAL or row.figures["up"] >= LOOP, row  # one that took so long to start is no loop yet


def test_a_container_that_was_killed_and_came_back_is_a_warning(patient: Patient) -> None:
    patient.restarting_consumer("1.0")
    run_inside(patient.server, ["kill", "-9", str(real.inspected(patient.server, NAME)["State"]["Pid"])])
    assert "started annotation-queue again 1 time" in until(patient, WARNING)


def test_a_broker_that_is_off_is_one_alarm_and_not_two(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    stop(patient.server, "broker")
    report = patient.report()
    rows = {check.name: check for check in report.checks}
    assert rows["RabbitMQ reachable"].level == CRITICAL
    assert rows["offset advancing"].level == UNKNOWN
    assert "cannot tell idle from stuck" in rows["offset advancing"].sentence


def test_an_offset_file_that_is_gone_is_critical_where_the_consumer_has_run(patient: Patient) -> None:
    real.started_consumer(patient.server, "bad-idle")
    check = patient.progress(password="wrong")
    assert (check.level, f"although {NAME} has run" in check.sentence) == (CRITICAL, True), check
