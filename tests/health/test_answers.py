"""A health check on a server whose consumer is away, asked over SSH: what is told of everything else."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from gpu_runbook.common.command import GRACE
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.health import DiskLimits
from gpu_runbook.server.checks.hung_nvidia_smi import SECONDS
from sandbox import Sandbox, run_inside, set_gpu
from sandbox.machine import wait_until
from tests import real
from tests.health.patient import NAME, OFFSET, Patient

pytestmark = pytest.mark.real

ALIVE = f"{NAME} alive"


@pytest.fixture(scope="module")
def cleaned(sandbox: Sandbox) -> Patient:
    real.clean(sandbox)
    return Patient(sandbox)


@pytest.fixture
def patient(cleaned: Patient) -> Patient:
    """Shared by these tests, which leave nothing but an offset file, a driver's state and messages behind."""
    run_inside(cleaned.server, ["rm", "-f", OFFSET])
    set_gpu(cleaned.server)
    return cleaned


def test_a_missing_container_is_critical(patient: Patient) -> None:
    check = patient.row(ALIVE)
    assert (check.level, check.sentence) == (CRITICAL, f"there is no container {NAME}")


def test_an_engine_that_does_not_answer_leaves_the_other_rows_their_answers(patient: Patient) -> None:
    report = patient.report(docker_host="unix:///run/no-engine.sock")
    levels = {check.name: check.level for check in report.checks}
    assert levels[ALIVE] == UNKNOWN
    assert levels["disk space"] == UNKNOWN
    assert levels["RabbitMQ reachable"] == levels["GPU available"] == OK


@pytest.mark.parametrize(
    ("host", "level", "words"),
    [("broker.invalid", CRITICAL, "is not known"), ("127.0.0.1", CRITICAL, "refused the connection")],
)
def test_a_broker_that_is_not_there_is_critical(patient: Patient, host: str, level: str, words: str) -> None:
    elsewhere = dataclasses.replace(patient.stream, host=host, port=patient.server.port_base + 999)
    check = patient.row("RabbitMQ reachable", consumers=(dataclasses.replace(patient.consumer, stream=elsewhere),))
    assert (check.level, words in check.sentence) == (level, True), check


def test_the_amqp_port_is_recognised(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    elsewhere = dataclasses.replace(patient.stream, port=patient.server.amqp_port)
    report = patient.report(consumers=(dataclasses.replace(patient.consumer, stream=elsewhere),))
    rows = {check.name: check for check in report.checks}
    assert rows["RabbitMQ reachable"].level == WARNING
    assert "AMQP port" in rows["RabbitMQ reachable"].sentence
    assert rows["offset advancing"].level == UNKNOWN


def test_a_probe_leaves_no_warning_in_the_brokers_log(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    log = patient.server.services.root / "var/log/broker.log"
    private = patient.make_stream("private")
    time.sleep(0.5)  # who made it is told of in the log as well
    before = len(log.read_bytes())
    for stream in (patient.stream, patient.over_tls(), dataclasses.replace(private, user=patient.stream.user)):
        assert patient.row("RabbitMQ reachable", consumers=(dataclasses.replace(patient.consumer, stream=stream),))
        patient.progress(stream=stream)
    time.sleep(0.5)
    said = log.read_bytes()[before:].decode()
    assert "warning" not in said and "error" not in said, said


@pytest.mark.parametrize(
    ("changed", "levels", "words"),
    [
        ({}, (OK, OK), "answers at localhost"),
        ({"tls": ""}, (CRITICAL, UNKNOWN), "has a certificate that is not accepted (self"),
        ({"host": "127.0.0.1"}, (CRITICAL, UNKNOWN), "is not valid for '127.0.0.1'"),
        ({"tls": None}, (WARNING, UNKNOWN), "speaks TLS, and was asked without"),
        ({"tls": "/nowhere.pem"}, (UNKNOWN, UNKNOWN), "/nowhere.pem cannot be used on this server"),
    ],
)
def test_a_stream_behind_tls_is_asked_by_who_it_is(
    patient: Patient, changed: dict[str, Any], levels: tuple[str, str], words: str
) -> None:
    patient.save_offset("offset: 0\n")
    stream = dataclasses.replace(patient.over_tls(), **changed)
    report = patient.report(consumers=(dataclasses.replace(patient.consumer, stream=stream),))
    rows = {check.name: check for check in report.checks}
    broker, progress = rows["RabbitMQ reachable"], rows["offset advancing"]
    assert (broker.level, words in broker.sentence) == (levels[0], True), broker
    assert (progress.level == UNKNOWN) == (levels[1] == UNKNOWN), progress


def test_a_port_without_tls_is_told_of_when_tls_is_asked_for(patient: Patient) -> None:
    stream = dataclasses.replace(patient.over_tls(), port=patient.server.stream_port)
    check = patient.row("RabbitMQ reachable", consumers=(dataclasses.replace(patient.consumer, stream=stream),))
    assert (check.level, "is RabbitMQ's stream port without TLS" in check.sentence) == (WARNING, True), check


def test_a_wrong_password_is_unknown_and_not_told(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    check = patient.progress(password="wr0ng-password")
    assert check.level == UNKNOWN
    assert "refused the login of 'monitor'" in check.sentence
    assert "wr0ng-password" not in repr(check)


def test_without_credentials_the_variables_are_named(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    check = patient.progress(stream=dataclasses.replace(patient.stream, user=""), password="")
    assert check.level == UNKNOWN
    assert "RABBITMQ_MONITOR_USER and RABBITMQ_MONITOR_PASSWORD" in check.hint


def test_a_stream_the_user_may_not_read_is_unknown(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    private = patient.make_stream("private")
    check = patient.progress(stream=dataclasses.replace(private, user=patient.stream.user))
    assert (check.level, "may not read" in check.sentence) == (UNKNOWN, True), check


def test_a_gpu_that_is_lost_is_critical(patient: Patient) -> None:
    set_gpu(patient.server, lost=[1])
    check = patient.row("GPU available")
    assert (check.level, check.sentence) == (CRITICAL, "1 of 2 GPUs answer")


def test_a_driver_that_does_not_know_all_fields_tells_every_fault_that_it_knows(patient: Patient) -> None:
    """As those before 535 do, of which some tell remapped rows in a query of their own alone."""
    faults = {"ecc.errors.uncorrected.volatile.total": "17", "retired_pages.pending": "Yes"}
    refuses = ["clocks_", "remapped_rows.", "mig."]
    set_gpu(patient.server, refuses=refuses, values={**faults, "remapped_rows.failure": "Yes"})
    check = patient.row("GPU available")
    assert check.level == CRITICAL
    for words in ("uncorrectable memory errors", "to retire memory pages", "GPU 1 could not remap broken memory rows"):
        assert words in check.sentence
    assert check.sentence.endswith("; driver 550.90.07 tells nothing of slowdowns")
    set_gpu(patient.server, refuses=refuses)
    assert patient.row("GPU available").level == OK


def test_gpus_that_mig_cuts_up_are_told_with_their_devices_and_withhold_what_they_do(patient: Patient) -> None:
    withheld = dict.fromkeys(("memory.used", "memory.total"), "[Insufficient Permissions]")
    set_gpu(patient.server, mig=["3g.40gb", "1g.10gb", "1g.10gb"], values=withheld)
    check = patient.row("GPU available")
    assert (check.level, "GPU 1 is cut by MIG into 1 × 3g.40gb, 2 × 1g.10gb" in check.sentence) == (OK, True), check
    assert "this user is not told memory.used and memory.total of GPU 0, 1" in check.sentence


def test_a_driver_that_fails_is_critical_with_its_text(patient: Patient) -> None:
    text = "Failed to initialize NVML: Driver/library version mismatch"
    set_gpu(patient.server, exit=18, text=text)
    check = patient.row("GPU available")
    assert (check.level, check.sentence) == (CRITICAL, f"nvidia-smi: {text} (status 18)")


def test_a_driver_that_hangs_hides_no_other_row(patient: Patient) -> None:
    set_gpu(patient.server, hang="killable")
    report = patient.report()
    assert next(check for check in report.checks if check.name == "GPU available").level == CRITICAL
    assert patient.processes("nvidia-smi") == 0


def test_a_driver_that_cannot_be_killed_is_asked_once(patient: Patient) -> None:
    set_gpu(patient.server, hang="unkillable")
    begun = time.monotonic()
    check = patient.row("GPU available")
    assert time.monotonic() - begun < 12
    assert (check.level, "hung for 7 s" in check.sentence) == (CRITICAL, True), check
    begun = time.monotonic()
    check = patient.row("GPU available")
    assert time.monotonic() - begun < 5
    assert (check.level, "stuck since an earlier check" in check.sentence) == (CRITICAL, True), check
    assert patient.processes("nvidia-smi") == 1


def test_what_a_container_calls_nvidia_smi_hides_no_gpu(patient: Patient) -> None:
    """In a namespace of its own or in the server's, as the login's user id, with a question's very arguments."""
    real.logged_in(patient.server)
    script = "import time; open('/proc/self/comm', 'w').write('nvidia-smi'); time.sleep(600)"
    words = ("python3", "-c", script, "--query-gpu=index,uuid,name,driver_version")
    image = real.training_image(patient.server, "1.0")
    for namespace in ((), ("--pid=host",)):
        real.docker(patient.server, "run", "--detach", *namespace, image, *words)
    wait_until(lambda: patient.processes("nvidia-smi") == 2, 10, "processes")
    time.sleep(SECONDS + 2 * GRACE)  # a question of that age would be stuck
    assert patient.row("GPU available").level == OK


@pytest.mark.parametrize(("warning", "critical", "level"), [(0.0, 99.9, WARNING), (0.0, 0.1, CRITICAL)])
def test_a_disk_beyond_its_threshold_alarms(patient: Patient, warning: float, critical: float, level: str) -> None:
    check = patient.row("disk space", disk=DiskLimits(("/azaion",), warning, critical))
    assert (check.level, "/azaion is " in check.sentence) == (level, True), check


def test_a_path_that_is_missing_is_critical(patient: Patient) -> None:
    check = patient.row("disk space", disk=DiskLimits(("/azaion", "/nowhere"), 80.0, 95.0))
    assert (check.level, "/nowhere: No such file or directory" in check.sentence) == (CRITICAL, True), check


def test_a_backlog_that_stands_still_is_a_warning_after_a_second_look(patient: Patient) -> None:
    real.published(patient.server, 100)
    patient.save_offset("offset: 0\n")
    begun = time.monotonic()
    check = patient.progress()
    assert time.monotonic() - begun > patient.request.await_move
    assert (check.level, "does not advance" in check.sentence) == (WARNING, True), check
    assert check.figures["backlog"] == check.figures["last"] + 1


def test_an_offset_beyond_the_end_is_critical(patient: Patient) -> None:
    patient.save_offset("offset: 999999999\n")
    check = patient.progress()
    assert (check.level, "beyond the end" in check.sentence) == (CRITICAL, True), check


def test_an_offset_before_the_beginning_is_critical_and_tells_the_loss(patient: Patient) -> None:
    short = patient.make_stream("short", messages=6000, keep=1_000_000)
    patient.save_offset("offset: 5\n")
    check = patient.progress(stream=short, password=patient.variables["RABBITMQ_PASSWORD"])
    assert (check.level, "before the beginning" in check.sentence) == (CRITICAL, True), check
    assert check.figures["lost"] == check.figures["first"] - 5 > 1000
    assert check.figures["last"] >= 5999


def test_an_empty_stream_has_nothing_to_advance_to(patient: Patient) -> None:
    empty = patient.make_stream("empty")
    consumer = {"stream": empty, "password": patient.variables["RABBITMQ_PASSWORD"]}
    assert patient.progress(**consumer).level == OK, "no file yet"
    patient.save_offset("offset: 0\n")
    assert patient.progress(**consumer).level == OK
    patient.save_offset("offset: 3\n")
    assert patient.progress(**consumer).level == CRITICAL


def test_a_stream_that_does_not_exist_is_critical(patient: Patient) -> None:
    patient.save_offset("offset: 0\n")
    check = patient.progress(
        stream=StreamAddress("127.0.0.1", patient.server.stream_port, "nope", patient.variables["RABBITMQ_USER"]),
        password=patient.variables["RABBITMQ_PASSWORD"],
    )
    assert (check.level, "there is no stream 'nope'" in check.sentence) == (CRITICAL, True), check


def test_an_offset_file_that_is_gone_is_critical_while_the_stream_holds_messages(patient: Patient) -> None:
    real.published(patient.server, 1)
    check = patient.progress()
    assert (check.level, f"{OFFSET} does not exist while" in check.sentence) == (CRITICAL, True), check


@pytest.mark.parametrize("text", ["", "offset: many\n", "\x00\xff"])
def test_an_offset_file_that_makes_no_sense_is_unknown(patient: Patient, text: str) -> None:
    patient.save_offset(text)
    check = patient.progress()
    assert (check.level, OFFSET in check.sentence) == (UNKNOWN, True), check


def test_what_hosts_yaml_does_not_have_is_skipped(patient: Patient) -> None:
    bare = dataclasses.replace(patient.consumer, offset=None, stream=None)
    report = patient.report(consumers=(bare,), gpus=dataclasses.replace(patient.request.gpus, count=0))
    levels = {check.name: check.level for check in report.checks}
    assert levels["RabbitMQ reachable"] == levels["GPU available"] == levels["offset advancing"] == SKIPPED


def test_two_consumers_have_rows_of_their_own_and_one_broker(patient: Patient) -> None:
    other = dataclasses.replace(patient.consumer, service="other", container="other")
    names = [check.name for check in patient.report(consumers=(patient.consumer, other)).checks]
    assert names.count("RabbitMQ reachable") == 1
    assert {f"offset advancing ({NAME})", "offset advancing (other)", "other alive", ALIVE} <= set(names)
