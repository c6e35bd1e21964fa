"""Who answers beside the laptop: an engine, a broker, nvidia-smi and df, each of which may say anything at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.laptop.rpc.call import MESSAGE_LIMIT
from gpu_runbook.protocol.check import CRITICAL, LEVELS, OK, UNKNOWN, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import LONGEST
from gpu_runbook.protocol.health import Expected
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.record import Record
from gpu_runbook.protocol.requests import EngineLogin
from gpu_runbook.server.checks import batch, container, disk, gpu
from gpu_runbook.server.checks.gpu_support import Driver
from gpu_runbook.server.checks.hung_nvidia_smi import Asking
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import registry
from gpu_runbook.server.docker.containers import lives, occupants
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.ours import MadeByUs
from gpu_runbook.server.queue import stream
from gpu_runbook.server.queue.stream import StreamError
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import pull
from tests.hostile.damage import as_json, damaged, sometimes_torn
from tests.hostile.properties import Ground, Property
from tests.hostile.unix import answering, chunks, http
from tests.unit.nasty import wrong_with
from tests.unit.server.queue.test_stream import GREETED, KINDS, LOGGED_IN, SUBSCRIBED, chunk, frame, peer, says, yes

STARTED = "2026-04-20T10:11:12.123456789Z"
CONTAINER: dict[str, Any] = {
    "Id": "c" * 64,
    "Name": "/annotation-queue",
    "Image": "sha256:ff",
    "RestartCount": 0,
    "Config": {"Labels": {"gpu-runbook.service": "annotation-queue"}, "Image": "team/queue"},
    "State": {"Status": "running", "Running": True, "Restarting": False, "Paused": False, "ExitCode": 0}
    | {"StartedAt": STARTED, "FinishedAt": "0001-01-01T00:00:00Z"},
    "HostConfig": {"RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}},
}
NOBODY = MadeByUs(Store("/nowhere", "/nowhere/state"), Record())
TRAINING = (BatchMarks("training", "training", "job=train", "team/training", "team/training:current"),)
LISTED = [{"Id": "c" * 64, "Names": ["/annotation-queue"], "Labels": {}, "State": "running"}]
PULL = [
    {"status": "Downloading", "id": "l1", "progressDetail": {"current": 1, "total": 2}},
    {"status": "Download complete", "id": "l1", "progressDetail": {}},
    {"error": "no space left"},
]
LOG = b"".join(
    b"\1\0\0\0" + struct.pack(">I", len(line)) + line
    for line in (f"{STARTED} begun\n".encode(), b"2026-04-20T10:11:13.000000000Z 10%\r20%Z done\x0cZ\n", b"Z \n")
)


def _of_container(engine: Engine) -> Any:
    found = engine.container("annotation-queue")
    return found and (lives(found), found.restart, found.started, found.finished)


def _of_list(engine: Engine) -> Any:
    return [encode(one) for one in occupants(engine, NOBODY, "annotation-queue", engine.containers(), TRAINING)]


def _travels(event: dict[str, Any]) -> None:
    json.dumps(event, allow_nan=False)


def _of_pull(engine: Engine) -> Any:
    return pull._pull(engine, "team/queue@sha256:00", EngineLogin("a", "b", "registry.lan"), _travels)


def _of_log(engine: Engine) -> Any:
    stamps = [stamp for stamp, _ in engine.stamped_logs("c1", 0.0)[0]]
    assert all(re.fullmatch(r"[0-9]{4}-\S+Z", stamp) for stamp in stamps), stamps


ASKED: dict[str, tuple[Callable[[Engine], Any], Any]] = {
    "container": (_of_container, CONTAINER),
    "list": (_of_list, LISTED),
    "image": (lambda engine: engine.image("team/queue:1"), {"Id": "sha256:ff"}),
    "digest": (lambda engine: registry.manifest(engine, "team/queue:1"), {"Descriptor": {"digest": "sha256:ff"}}),
    "pull": (_of_pull, PULL),
    "log": (_of_log, LOG),
    "info": (lambda engine: disk._docker_roots(engine.address), {"DockerRootDir": "/var/lib/docker"}),
    "version": (lambda engine: engines.find(engine.address), {"Version": "27"}),
}
_LENGTHS = [b"Content-Length: %b\r\n" % length for length in (b"5", b"99999999999", b"-1", b"x")]
_ODD_HEADS = [b"", b"X: y\r\n" * 200, b"X: " + b"y" * 70_000 + b"\r\n", b"\xff\xfe: \0\r\n", b"\r\n"]
_HEADS = st.sampled_from([*_LENGTHS, *_ODD_HEADS])


@st.composite
def engine_answers(draw: st.DrawFn) -> tuple[str, bytes]:
    asked = draw(st.sampled_from(list(ASKED)))
    whole = ASKED[asked][1]
    if isinstance(whole, bytes):
        body = draw(sometimes_torn(whole))
    elif asked == "pull":
        body = draw(sometimes_torn(b"".join(as_json(line) + b"\r\n" for line in draw(damaged(whole)))))
    else:
        body = draw(sometimes_torn(as_json(draw(damaged(whole)))))
    status = draw(st.sampled_from([200, 200, 200, 404, 401, 500, 100, 999, 0]))
    match draw(st.integers(0, 4)):
        case 0:
            said = http(body, status, draw(_HEADS))
        case 1:
            framed = draw(sometimes_torn(chunks(body[:20], body[20:])))
            said = http(framed, status, b"Transfer-Encoding: chunked\r\n")
        case 2:
            said = draw(sometimes_torn(http(body, status)))
        case _:
            said = http(body, status)
    return asked, said


def an_engine_is_understood_or_said_to_be_odd(case: tuple[str, bytes], ground: Ground) -> None:
    asked, said = case
    with answering(ground, said) as engine, contextlib.suppress(Refusal):
        ASKED[asked][0](engine)


def health_has_an_answer_whatever_the_engine_says(case: tuple[str, bytes], ground: Ground) -> None:
    """The check of a container is ok only by what an engine really says of it."""
    with answering(ground, case[1]) as engine:
        question = Question("alive", lambda name: container.check(name, "annotation-queue", engine.address, 0.0))
        (check,) = ask_all([question])
    _can_travel(check)


def _can_travel(*checks: Check) -> None:
    for check in checks:
        assert check.level in LEVELS
        assert len(json.dumps(encode(check), allow_nan=False)) < MESSAGE_LIMIT
        assert not check.sentence.startswith("this check failed by itself"), check.sentence
        assert not any(wrong_with(said, LONGEST) for said in (check.name, check.sentence, check.hint)), check


_WHOLE = [GREETED, LOGGED_IN, SUBSCRIBED, yes(0x07, 5), chunk(1, 0, 5), chunk(2, 0, 5), chunk(1, 2**64 - 1, 2**32 - 1)]
_SHORT = [frame(0x10, b"\0\6"), frame(0x16, b""), frame(0x17, b""), frame(0x14, b""), frame(0x8011, b"\0" * 9)]
_HEADS_ALONE = [struct.pack(">IHH", size, key, 1) for size in (0, 3, 2**20 + 1, 2**32 - 1) for key in (8, 0x14, 0x8012)]
PIECES = st.sampled_from([*_WHOLE, *_SHORT, *_HEADS_ALONE, b"AMQP\0\0\x09\1", b"HTTP/1.1 400 "])
_frames = st.builds(frame, st.integers(0, 0xFFFF), st.binary(max_size=40))
_spoken = st.lists(PIECES | _frames | st.binary(max_size=12), max_size=7).map(b"".join).flatmap(sometimes_torn)
_brokers = st.tuples(st.sampled_from([b"", GREETED, GREETED + LOGGED_IN]), _spoken).map(b"".join)


def a_broker_is_understood_or_said_to_be_odd(said: bytes, ground: Ground) -> None:
    with peer(says(said)) as port:
        address = StreamAddress("127.0.0.1", port, "annotations", "monitor")
        try:
            found = stream.bounds(address, "s3cret-of-the-monitor", 0.3)
            assert (found.first is None) == (found.last is None)
        except StreamError as error:
            assert error.kind in {*KINDS, "broke-off"}
            assert "s3cret" not in error.message and wrong_with(error.message, 500) == ""
            assert f"127.0.0.1:{port}" in error.message


FIELDS = [*gpu.BASIC, *(field for field, _, _, _ in gpu.FAULTS)]
CARD = "0, GPU-1, NVIDIA H100, 550.1, 10, 81559, 3, 41, 0, No, No, No, Not Active, Not Active"
_cells = st.sampled_from(
    ["N/A", "[N/A]", "[Unknown Error]", "ERR!", "Yes", "²", "٣", "9" * 5000, "-1", "", "\x1b[2J", "a,b"]
)


@st.composite
def cards(draw: st.DrawFn) -> tuple[int, bytes]:
    """What nvidia-smi prints and its exit status: a line per card, with other things in some of the fields."""
    lines: list[str] = []
    for _ in range(draw(st.sampled_from([0, 1, 2, 2, 3, 4000]))):
        cells = CARD.split(", ")
        for _ in range(draw(st.integers(0, 2)) if len(lines) < 3 else 0):
            cells[draw(st.integers(0, len(cells) - 1))] = draw(_cells | st.text(max_size=5))
        lines.append(", ".join(cells))
    text = "\n".join([*draw(st.lists(st.sampled_from(["No devices were found", "WARNING: x"]), max_size=1)), *lines])
    data = text.encode("utf-8", "replace")
    return draw(st.sampled_from([0, 0, 0, 0, 2, 9, 255])), draw(sometimes_torn(data) | st.binary(max_size=200))


def programs(ground: Ground, name: str, said: bytes, status: int) -> None:
    """A program of that name, first on the PATH, that prints this and ends so."""
    folder = ground.folder / "programs"
    folder.mkdir(exist_ok=True)
    (folder / "said").write_bytes(said)
    program = folder / name
    if program.exists():
        program.unlink()
    program.write_text(f"#!/bin/sh\n/bin/cat {folder}/said\nexit {status}\n")
    program.chmod(0o755)


@contextlib.contextmanager
def first_on_path(ground: Ground) -> Any:
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{ground.folder}/programs:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def nvidia_smi_is_understood_or_said_to_be_odd(case: tuple[int, bytes], ground: Ground) -> None:
    status, said = case
    programs(ground, "nvidia-smi", said, status)
    with first_on_path(ground):
        (check,) = ask_all([Question("GPU", lambda name: gpu.check(name, Expected(2, 80, 90), Asking()))])
        assert batch.on_gpu(Driver()) is None or status == 0
    _can_travel(check)
    assert status == 0 or check.level == CRITICAL or (status == 2 and check.level == UNKNOWN)
    assert check.level != OK or said.count(b"\n") + 1 >= 2


_DF = ["1B-blocks Used Avail Use% IUse% Mounted on", "100 50 50 50% 1% /data", "100 99 1 99% - /data", "² 1 1 1% 1% /"]
disks = st.lists(st.sampled_from(_DF) | st.text(st.characters(codec="utf-8"), max_size=20), max_size=3).map(
    lambda lines: "\n".join(lines).encode()
)


def df_is_understood_or_said_to_be_odd(said: bytes, ground: Ground) -> None:
    programs(ground, "df", said, 0)
    with first_on_path(ground):
        found = disk.look("/data")
    _can_travel(disk.judge("disk space", [found], 80.0, 95.0))
    assert not isinstance(found, disk.Trouble) or found.level == UNKNOWN


PROPERTIES = (
    Property("a docker engine's answers", engine_answers(), an_engine_is_understood_or_said_to_be_odd),
    Property("health and the engine's answers", engine_answers(), health_has_an_answer_whatever_the_engine_says),
    Property("a broker's frames", _brokers, a_broker_is_understood_or_said_to_be_odd),
    Property("nvidia-smi's answers", cards(), nvidia_smi_is_understood_or_said_to_be_odd),
    Property("df's answers", disks, df_is_understood_or_said_to_be_odd),
)
