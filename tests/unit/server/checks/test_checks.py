"""How each check judges what it was told; that it asks rightly is shown on real parts in tests/health."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.common import humanize
from gpu_runbook.common.command import Ended
from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.health import Expected
from gpu_runbook.server.checks import broker, container, disk, gpu, log_tail, nvidia_smi
from gpu_runbook.server.checks import offset as progress
from gpu_runbook.server.checks.gpu import BASIC, FAULTS
from gpu_runbook.server.checks.hung_nvidia_smi import Asking, stuck
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.engine import EngineError, Unreadable
from gpu_runbook.server.docker.inspected import Container
from gpu_runbook.server.queue import offset as offsets
from gpu_runbook.server.queue import stream
from gpu_runbook.server.queue.offset import OffsetError, Position
from gpu_runbook.server.queue.stream import Bounds, StreamError
from tests.unit import docker_answers
from tests.unit.docker_answers import NEVER, inspected
from tests.unit.processes import made_process

NOW = 1_776_680_000.0


UNHEALTHY = {"Status": "unhealthy", "FailingStreak": 3, "Log": []}


def seen(status: str = "running", up: float = 3600.0, restarts: int = 0, **state: Any) -> Container:
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - up))
    flags = {"Running": status in ("running", "paused", "restarting"), "Restarting": status == "restarting"}
    state = {"Status": status, **flags, "StartedAt": started, **state}
    return docker_answers.container(inspected(restarts=restarts, **state))


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (seen(), OK, "running for 60 min"),
        (seen(restarts=4), OK, "running"),
        (seen(up=4), OK, "running"),
        (None, CRITICAL, "there is no container"),
        (seen("exited", ExitCode=3), CRITICAL, "is exited (exit status 3)"),
        (seen(Health=UNHEALTHY), CRITICAL, "its HEALTHCHECK says unhealthy"),
        (seen(Health={**UNHEALTHY, "Status": "starting"}), OK, "running for 60 min, HEALTHCHECK starting"),
        (seen(Health={**UNHEALTHY, "Status": "healthy"}), OK, "running for 60 min, HEALTHCHECK healthy"),
        (seen("exited", Health=UNHEALTHY), CRITICAL, "is exited"),
        (
            seen("exited", ExitCode=137, OOMKilled=True),
            CRITICAL,
            "is exited: it was killed for lack of memory (the",
        ),
        (seen("created"), CRITICAL, "is created"),
        (seen("paused"), CRITICAL, "is paused"),
        (seen("restarting", restarts=5, ExitCode=3), CRITICAL, "again 5 times (exit status 3)"),
        (seen(up=9, restarts=1), CRITICAL, "crash loop"),
        (seen(up=40, restarts=1), WARNING, "started annotation-queue again 1 time, 40 s ago"),
        (seen("exited", Error="error running hook #0"), CRITICAL, "error running hook #0"),
    ],
)
def test_a_container_is_judged_by_more_than_running(found: Container | None, level: str, words: str) -> None:
    check = container.judge("annotation-queue alive", "annotation-queue", found, NOW)
    assert (check.level, words in check.sentence) == (level, True), check.sentence


def card(index: int, **changed: str) -> str:
    values = {field: "0" for field, *_ in FAULTS} | dict.fromkeys(BASIC, "0")
    values |= {"index": str(index), "name": "NVIDIA L40S", "memory.total": "46068", "temperature.gpu": "40"}
    values |= {field.replace("__", "."): value for field, value in changed.items()}
    return ", ".join(values[field] for field in FIELDS)


FIELDS = [*BASIC, *(field for field, *_ in FAULTS)]


def gpus(text: str, status: int | None = 0, expected: Expected = Expected(2, 85, 95)) -> Check:  # noqa: B008
    return gpu.judge("GPU available", expected, FIELDS, Ended(("nvidia-smi",), status, text, "", 7.0))


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        ([card(0), card(1)], OK, "2 GPUs, driver 0, memory 0 B of 90.0 GiB"),
        ([card(0), card(1), card(2)], OK, "3 GPUs"),
        ([card(0)], CRITICAL, "1 of 2 GPUs answer"),
        (["No devices were found"], CRITICAL, "0 of 2 GPUs answer"),
        ([card(0), card(1, remapped_rows__pending="Yes")], WARNING, "GPU 1 waits for a reset"),
        ([card(0), card(1, retired_pages__pending="Yes")], WARNING, "GPU 1 waits for a reset"),
        ([card(0, remapped_rows__failure="Yes"), card(1)], CRITICAL, "GPU 0 could not remap"),
        ([card(0, ecc__errors__uncorrected__volatile__total="3"), card(1)], WARNING, "memory errors"),
        ([card(0, ecc__errors__uncorrected__volatile__total="[N/A]"), card(1)], OK, "2 GPUs"),
        ([card(0, temperature__gpu="[Unknown Error]"), card(1)], CRITICAL, "does not tell its temperature.gpu"),
        ([card(0, temperature__gpu="86"), card(1)], WARNING, "GPU 0 is at 86 °C"),
        ([card(0, temperature__gpu="95"), card(1)], CRITICAL, "GPU 0 is at 95 °C"),
        ([card(0, clocks_throttle_reasons__hw_thermal_slowdown="Active"), card(1)], WARNING, "slowed down by heat"),
        (["0, GPU-1, only three"], UNKNOWN, "cannot be read"),
        ([card(0, name="NVIDIA A, B, C"), card(1)], OK, "2 GPUs"),
        ([card(number) for number in range(16)], OK, "16 GPUs"),
        (["WARNING: x, y", card(0), card(1)], OK, 'nvidia-smi also says "WARNING: x, y"'),
        ([card(0), card(1), "WARNING: infoROM is corrupted at gpu 0"], CRITICAL, 'says "WARNING: infoROM is corrupted'),
        ([card(0), "Unable to determine the device handle for GPU 1: Unknown Error"], CRITICAL, "1 of 2 GPUs answer"),
        ([card(0, memory__used="[Insufficient Permissions]"), card(1)], OK, "user is not told memory.used of GPU 0"),
        ([card(0, memory__used="[N/A]", utilization__gpu="[N/A]"), card(1)], OK, "memory 0 B of 45.0 GiB"),
        ([card(0, temperature__gpu="[N/A]"), card(1, temperature__gpu="N/A")], OK, "busy up to 0 %"),
        ([card(0, retired_pages__pending="[Function Not Found]"), card(1)], OK, "2 GPUs"),
        ([card(0, retired_pages__pending="[Requested functionality has been deprecated]"), card(1)], OK, "2 GPUs"),
        ([card(0, temperature__gpu="[GPU is lost]"), card(1)], CRITICAL, "its temperature.gpu: [GPU is lost]"),
        ([card(0, utilization__gpu="[GPU requires reset]"), card(1)], CRITICAL, "[GPU requires reset]"),
        ([card(0, ecc__errors__uncorrected__volatile__total="Unknown Error"), card(1)], CRITICAL, ": Unknown Error"),
        ([card(0, temperature__gpu="ERR!"), card(1)], CRITICAL, "its temperature.gpu: ERR!"),
    ],
)
def test_the_gpus_are_judged_by_count_and_complaints(text: list[str], level: str, words: str) -> None:
    check = gpus("\n".join(text) + "\n")
    assert (check.level, words in check.sentence) == (level, True), check.sentence


def test_a_field_that_is_not_told_is_no_second_fault() -> None:
    check = gpus(card(0, ecc__errors__uncorrected__volatile__total="[Unknown Error]") + "\n" + card(1))
    assert check.sentence == "GPU 0 does not tell its ecc.errors.uncorrected.volatile.total: [Unknown Error]"


@pytest.mark.parametrize(
    ("status", "text", "words", "hint"),
    [
        (None, "", "does not answer", "NVRM"),
        (127, "", "not installed", "install the driver"),
        (
            18,
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535",
            "mismatch",
            "reboot",
        ),
        (15, "Unable to determine the device handle: GPU is lost. Reboot", "is lost", "reboot"),
        (14, card(0) + "\nWARNING: infoROM is corrupted at gpu 0000:00", "infoROM", "replacement"),
        (77, "something new", "something new (status 77)", "NVRM"),
        (255, "Failed to initialize NVML: No supported GPUs were found", "(status 255)", "NVRM"),
    ],
)
def test_every_failure_of_nvidia_smi_is_critical_with_its_text(
    status: int | None, text: str, words: str, hint: str
) -> None:
    check = gpus(text, status)
    assert check.level == CRITICAL
    assert words in check.sentence
    assert hint in check.hint


@pytest.mark.parametrize(
    ("value", "hint"), [("[GPU is lost]", "reboot once"), ("[GPU requires reset]", "reset it"), ("ERR!", "NVRM")]
)
def test_what_a_broken_card_says_decides_what_to_do(value: str, hint: str) -> None:
    assert hint in gpus(f"{card(0, temperature__gpu=value)}\n{card(1)}").hint


@pytest.mark.parametrize(
    ("status", "text", "level"),
    [
        (4, "Failed to initialize NVML: Insufficient Permissions", UNKNOWN),
        (127, "nvidia-smi: Permission denied", UNKNOWN),
        (2, "Invalid combination of input arguments.", UNKNOWN),
        (127, "nvidia-smi: error while loading shared libraries: libnvidia-ml.so.1", CRITICAL),
    ],
)
def test_an_nvidia_smi_that_may_not_be_asked_says_nothing_of_the_gpus(status: int, text: str, level: str) -> None:
    check = gpus(text, status)
    assert (check.level, text in check.sentence) == (level, True), check


def test_an_nvidia_smi_stuck_since_an_earlier_check_is_not_joined_by_another(tmp_path: Path) -> None:
    mine = os.getuid()

    def process(pid: int, age: float, state: str, arguments: str, name: str = "nvidia-smi") -> None:
        started = int((time.clock_gettime(time.CLOCK_BOOTTIME) - age) * os.sysconf("SC_CLK_TCK"))
        stat = f"{pid} (a) b) {state} {'0 ' * 18}{started} 0"
        made_process(tmp_path, pid, name, mine, stat=stat, cmdline=arguments)

    ours = "\0".join([*nvidia_smi.query(FIELDS), ""])
    process(10, 3, "D", ours)
    process(11, 900, "S", "nvidia-smi\0--loop=5")
    process(15, 900, "S", "nvidia-smi\0-q\0-l\0")
    process(16, 900, "S", ours + "--loop=5\0")
    process(17, 900, "S", ours.replace("nvidia-smi", "nvidia-smi\0-l\0005"))
    process(12, 900, "D", "cat", "cat")
    process(13, 900, "Z", ours)
    (tmp_path / "14").mkdir()  # ended between listing and reading
    assert stuck(str(tmp_path)) is None
    process(20, 900, "S", ours)
    rows = "\0".join([*nvidia_smi.query(("gpu_uuid", "remapped_rows.failure"), "remapped-rows"), ""])
    for asked in ("nvidia-smi\0-L\0", "/bin/sh\0/usr/bin/nvidia-smi\0-q\0", rows, ours):
        (tmp_path / "20" / "cmdline").write_text(asked)
        assert stuck(str(tmp_path)) == 20
    (tmp_path / "20" / "comm").write_text("other\n")
    process(21, 900, "D", "")
    assert stuck(str(tmp_path)) == 21
    check = gpu.check("GPU available", Expected(1), Asking(lambda argv, seconds: pytest.fail("asked")), str(tmp_path))
    assert (check.level, check.figures) == (CRITICAL, {"stuck": 21})


@pytest.mark.parametrize("foreign", [{"user": os.getuid() + 1}, {"inside": 7}, {"cgroup": f"0::/docker/{'a' * 64}"}])
@pytest.mark.parametrize("state", "DS")
def test_what_a_container_or_another_user_calls_nvidia_smi_blocks_no_check(
    tmp_path: Path, foreign: dict[str, Any], state: str
) -> None:
    """Another user's; one with an id in a namespace of its own; one that shares the server's, as with --pid=host."""
    asked = "\0".join([*nvidia_smi.query(FIELDS), ""])
    whose = {"user": os.getuid(), **foreign}
    made_process(tmp_path, 20, "nvidia-smi", stat=f"20 (a) {state} {'0 ' * 18}0 0", cmdline=asked, **whose)
    assert stuck(str(tmp_path)) is None
    made_process(tmp_path, 21, "nvidia-smi", os.getuid(), stat=f"21 (a) {state} {'0 ' * 18}0 0", cmdline=asked)
    assert stuck(str(tmp_path)) == 21


def test_one_that_ended_while_it_was_looked_at_hangs_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id may be another process's by then, which is in the same state."""
    made_process(tmp_path, 20, "nvidia-smi", os.getuid(), stat=f"20 (a) D {'0 ' * 18}100 0")
    later = f"20 (a) D {'0 ' * 18}200 0"
    monkeypatch.setattr(time, "sleep", lambda seconds: (tmp_path / "20" / "stat").write_text(later))
    assert stuck(str(tmp_path)) is None


def room(share: int = 10, inodes: int | None = 1, path: str = "/azaion", mounted_on: str = "/") -> disk.Room:
    return disk.Room(path, mounted_on, 100 << 30, 10 << 30, 90 << 30, share, inodes)


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        ([room()], OK, "/azaion 10 % full (90.0 GiB left)"),
        ([room(80)], OK, "80 %"),
        ([room(81)], WARNING, "/azaion is 81 % full"),
        ([room(95)], WARNING, "95 %"),
        ([room(96)], CRITICAL, "96 %"),
        ([room(10, 97)], CRITICAL, "97 % out of inodes"),
        ([room(10, None)], OK, "10 %"),
        ([room(), room(96, path="/var/lib/docker", mounted_on="/var")], CRITICAL, "/var/lib/docker is 96 %"),
        ([room(81), disk.Trouble("/nope", CRITICAL, "df: /nope: No such file")], CRITICAL, "/azaion is 81 %"),
        ([room(81), disk.Trouble("docker", UNKNOWN, "not known")], UNKNOWN, "not known; /azaion is 81 %"),
    ],
)
def test_a_disk_is_judged_beyond_its_thresholds(found: list[Any], level: str, words: str) -> None:
    check = disk.judge("disk space", found, 80, 95)
    assert (check.level, words in check.sentence) == (level, True), check.sentence


@pytest.mark.parametrize(
    ("share", "before", "level"),
    [
        (80, OK, OK),
        (81, OK, WARNING),
        (80, WARNING, WARNING),
        (79, WARNING, WARNING),
        (78, WARNING, OK),
        (95, OK, WARNING),
        (96, OK, CRITICAL),
        (94, CRITICAL, CRITICAL),
        (93, CRITICAL, WARNING),
        (79, CRITICAL, WARNING),
        (78, CRITICAL, OK),
        (95, WARNING, WARNING),
    ],
)
def test_a_disk_that_alarms_is_well_again_only_some_percent_below(share: int, before: str, level: str) -> None:
    for one in (room(share), room(10, share)):
        check = disk.judge("disk space", [one], 80, 95, {"/azaion": before, "/elsewhere": CRITICAL})
        assert (check.level, check.figures["/azaion"]["level"]) == (level, level)


def test_the_level_of_a_file_system_is_that_of_its_worse_half() -> None:
    assert disk.judge("disk space", [room(96, 10)], 80, 95).figures["/azaion"]["level"] == CRITICAL
    assert disk.judge("disk space", [room(81, 97)], 80, 95).figures["/azaion"]["level"] == CRITICAL


def test_one_file_system_is_told_of_once() -> None:
    check = disk.judge("disk space", [room(), room(path="/var/lib/docker")], 80, 95)
    assert list(check.figures) == ["/azaion"]


def test_df_itself_is_understood(tmp_path: Path) -> None:
    found = disk.look(str(tmp_path))
    assert isinstance(found, disk.Room)
    assert found.size >= found.used + found.available > 0
    missing = disk.look(str(tmp_path / "nope"))
    assert isinstance(missing, disk.Trouble)
    assert missing.level == CRITICAL
    assert "No such file or directory" in missing.sentence


FILE = OffsetFile("/azaion/offset.yaml", saved_every=50)
PURSUIT = progress.Pursuit("annotation-queue", FILE, StreamAddress("h", 5552, "s", "monitor"), "secret")


@pytest.mark.parametrize(
    ("offset", "bounds", "level", "words"),
    [
        (100, Bounds(0, 99), None, ""),
        (100, Bounds(100, 250), None, ""),
        (0, Bounds(None, None), None, ""),
        (101, Bounds(0, 99), CRITICAL, "beyond the end of the stream (it ends at 99)"),
        (5, Bounds(None, None), CRITICAL, "beyond the end of the stream (it is empty)"),
        (40, Bounds(60, 99), CRITICAL, "before the beginning of the stream (60): up to 20 messages lost"),
    ],
)
def test_an_offset_outside_the_stream_is_critical(offset: int, bounds: Bounds, level: str | None, words: str) -> None:
    check = progress.judge_place("offset advancing", FILE, Position(offset, NOW), bounds)
    assert (check and check.level) == level
    assert words in (check.sentence if check else "")


def test_zero_is_where_an_empty_stream_begins_whatever_it_means() -> None:
    last_handled = OffsetFile("/azaion/offset.yaml", means="last")
    assert progress.judge_place("offset advancing", last_handled, Position(0, NOW), Bounds(None, None)) is None


@pytest.mark.parametrize(
    ("before", "after", "last", "level", "words"),
    [
        (100, 100, 99, OK, "nothing waits (the stream ends at 99)"),
        (100, 100, 149, OK, "nothing waits"),
        (0, 0, None, OK, "nothing waits (the stream is empty)"),
        (100, 150, 999, OK, "advances, 50 since the first look, up to 850 messages to go"),
        (100, 100, 999, WARNING, "does not advance (unchanged for 12 min), up to 900 messages to go"),
        (100, 40, 99, WARNING, "went back from 100 to 40"),
    ],
)
def test_an_offset_that_stands_still_matters_only_with_a_backlog(
    before: int, after: int, last: int | None, level: str, words: str
) -> None:
    looks = Position(before, NOW - 720), Position(after, NOW - 720)
    check = progress.judge_movement("offset advancing", PURSUIT, *looks, Bounds(None if last is None else 0, last), NOW)
    assert (check.level, words in check.sentence) == (level, True), check.sentence


def test_a_question_that_hangs_hides_no_other() -> None:
    def fine(name: str) -> Check:
        return Check(name, OK, "well")

    def hangs(name: str) -> Check:
        time.sleep(2)
        return fine(name)

    begun = time.monotonic()
    checks = ask_all([Question("hangs", hangs, 0.2), Question("fine", fine)])
    assert time.monotonic() - begun < 1
    assert [(check.name, check.level) for check in checks] == [("hangs", UNKNOWN), ("fine", OK)]


def test_a_question_that_fails_says_where_and_quotes_nothing() -> None:
    def fails(name: str) -> Check:
        raise ValueError("the password is hunter2")

    def refuses(name: str) -> Check:
        raise Refusal("no docker engine", "start it", "server")

    def breaks(name: str) -> Check:
        raise EngineError(500, "the engine is unwell")

    checks = ask_all([Question(ask.__name__, ask) for ask in (fails, refuses, breaks)])
    assert {check.level for check in checks} == {UNKNOWN}
    assert "ValueError" in checks[0].sentence
    assert "hunter2" not in repr(checks)
    assert checks[1].sentence == "no docker engine"
    assert checks[2].sentence == "the engine is unwell"


def test_figures_read_as_people_write_them() -> None:
    assert [humanize.span(s) for s in (-3, 40, 119, 720, 7300, 500_000)] == [
        "0 s",
        "40 s",
        "119 s",
        "12 min",
        "2 h",
        "6 days",
    ]
    assert [humanize.size(n) for n in (0, 2048, 150 << 20, 5 << 40)] == ["0 B", "2.0 KiB", "150 MiB", "5.0 TiB"]
    assert [humanize.several(n, "message") for n in (1, 2)] == ["1 message", "2 messages"]


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (seen("created", StartedAt=NEVER), UNKNOWN, "is gone yet; no broker"),
        (None, UNKNOWN, "is gone yet; no broker"),
        (seen("exited"), CRITICAL, "is gone although annotation-queue has run"),
    ],
)
def test_an_offset_file_that_is_gone_matters_where_the_consumer_has_ever_run(
    monkeypatch: pytest.MonkeyPatch, found: Container | None, level: str, words: str
) -> None:
    def away(*_: object) -> Bounds:
        raise StreamError("refused", "no broker")

    monkeypatch.setattr(stream, "bounds", away)
    monkeypatch.setattr(engines, "find", lambda host: SimpleNamespace(container=lambda name: found))
    check = progress._without_offset("offset", PURSUIT, OffsetError("gone", f"{FILE.path} is gone"), "")
    assert (check.level, words in check.sentence) == (level, True), check.sentence


@pytest.mark.parametrize(
    ("heard", "words", "todo"),
    [
        (b"AMQP\0\0\x09\1", "is RabbitMQ's AMQP port", "RABBITMQ_PORT"),
        (b"\x15\x03\x03\0\x02\x02\x0a", "speaks TLS, and was asked without", "`tls: true`"),
        (b"HTTP/1.1 400 ", "speaks HTTP", "RABBITMQ_PORT"),
    ],
)
def test_who_speaks_something_else_is_told_as_what_by_the_row_of_the_offset_too(
    monkeypatch: pytest.MonkeyPatch, heard: bytes, words: str, todo: str
) -> None:
    def other(*_: object) -> Bounds:
        raise StreamError("not-a-stream-port", "it does not speak the stream protocol", heard)

    monkeypatch.setattr(stream, "bounds", other)
    monkeypatch.setattr(offsets, "read", lambda file: Position(5, time.time()))
    check = progress.check("offset", PURSUIT, "", 0.0)
    assert (check.level, words in check.sentence, todo in check.hint) == (UNKNOWN, True, True), check


def test_a_hint_names_the_variables_of_hosts_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"RABBITMQ_HOST": "RABBITMQ_PORT", "RABBITMQ_PORT": "QUEUE_PORT"}
    address = StreamAddress("h", 5552, "s", variables=own)
    refused = StreamError("refused", "h:5552 refused the connection")

    def greet(_: StreamAddress) -> bytes:
        raise refused

    monkeypatch.setattr(stream, "greet", greet)
    hint = "see that RabbitMQ runs, and that RABBITMQ_PORT and QUEUE_PORT name it"
    assert broker.check("RabbitMQ reachable", address).hint == broker.told(address, refused)[1] == hint
    monkeypatch.setattr(stream, "greet", lambda _: b"AMQP")
    asked = "set QUEUE_PORT to the broker's stream port"
    assert broker.check("RabbitMQ reachable", address).hint.startswith(asked)
    assert broker.told(address, StreamError("not-a-stream-port", "", b"AMQP"))[1].startswith(asked)
    unset = StreamError("login", "")
    assert "RABBITMQ_MONITOR_USER and RABBITMQ_MONITOR_PASSWORD" in broker.told(address, unset)[1]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("exited", "fab logs annotation-queue --tail 20"),
        ("paused", "docker unpause annotation-queue on the server lets it go on"),
    ],
)
def test_a_hint_of_a_container_names_what_helps(status: str, hint: str) -> None:
    assert container.judge("alive", "annotation-queue", seen(status), time.time()).hint == hint


@pytest.mark.parametrize(
    ("heat", "errors", "hint"),
    [("95", "0", gpu.COOL), ("95", "1", nvidia_smi.HINT), ("40", "1", nvidia_smi.HINT), ("40", "0", "")],
    ids=["hot", "hot and broken", "broken", "well"],
)
def test_a_hot_gpu_is_to_be_cooled_and_a_broken_one_looked_for(heat: str, errors: str, hint: str) -> None:
    text = card(0, temperature__gpu=heat, ecc__errors__uncorrected__volatile__total=errors)
    assert gpu.judge("GPUs", Expected(1, 85, 90), FIELDS, Ended((), 0, text, "", 0.1)).hint == hint


class NoLog(docker_answers.Answering):
    """An engine that refuses to give a log."""

    def logs(self, container: str, tail: int = 0, since: float = 0, stamps: bool = False) -> str:
        raise Unreadable(501, "its driver keeps none")


def test_a_log_that_cannot_be_read_is_neither_clean_nor_empty() -> None:
    found = log_tail.check("log", "queue", NoLog("unix:///nowhere"), ("Traceback",))
    assert (found.level, found.sentence) == (UNKNOWN, 'it cannot be read: "its driver keeps none"')


def test_a_crash_loop_is_a_figure_of_its_own() -> None:
    assert container.judge("alive", "queue", seen("restarting", Restarting=True, restarts=2), NOW).figures["loop"]
    assert "loop" not in container.judge("alive", "queue", seen(Health=UNHEALTHY), NOW).figures
