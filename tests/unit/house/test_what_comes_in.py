"""Whatever others say is one line of bounded length, wherever it comes in; a name of theirs stands in quotes."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.message import Message as Headers
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.common import command
from gpu_runbook.common.command import Ended
from gpu_runbook.laptop import sanitize
from gpu_runbook.laptop.commands import models_text
from gpu_runbook.laptop.deploy import journal_text, run
from gpu_runbook.laptop.errors import BadInput, RunbookError
from gpu_runbook.laptop.gates import ci, scan_reports, scan_verdict
from gpu_runbook.laptop.gates.ci import Commit
from gpu_runbook.laptop.gates.forges import RED, Result
from gpu_runbook.laptop.gates.parsing import Misshapen, text
from gpu_runbook.laptop.inputs.dotenv import read_env
from gpu_runbook.laptop.inventory.problems import bad_input
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import CRITICAL, Check
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.consumer import StreamAddress
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.foreign_text import LONGEST, MOST
from gpu_runbook.protocol.health import Expected
from gpu_runbook.protocol.journal import Command, Judged, Observation, Pointed, Seen, Undoing
from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.protocol.models import Models
from gpu_runbook.protocol.plan import Occupant, Plan, Watch
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.server.checks import batch, broker, container, disk, gpu, gpu_support, log_tail, nvidia_smi
from gpu_runbook.server.checks.gpu_support import Driver
from gpu_runbook.server.docker import disk as docker_disk
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import pull as pulling
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.facts import snapshot
from gpu_runbook.server.logs.reading import Reading
from gpu_runbook.server.queue import stream
from gpu_runbook.server.run import watch
from gpu_runbook.server.schedule import metrics
from gpu_runbook.server.schedule.notify import mail, webhook
from gpu_runbook.server.schedule.notify.message import compose
from gpu_runbook.server.schedule.notify.policy import NEW, News
from gpu_runbook.server.schedule.state import State
from gpu_runbook.server.state import lock
from gpu_runbook.server.system import crontab
from gpu_runbook.server.verbs import models, pull, setup
from gpu_runbook.server.verbs import snapshot as look
from tests.hostile.forms import RUN
from tests.unit import docker_answers
from tests.unit.docker_answers import inspected
from tests.unit.nasty import ROW, SHORT, TEXTS, rows, wrong_with
from tests.unit.server.checks.test_batch import TRAINING
from tests.unit.server.queue.test_stream import yes
from tests.unit.world import STEP

AT = "2026-04-20T02:15:00Z"
Entry = Callable[[str, Path], Any]


class Answered:
    """An engine's answer with an error status, as its body is read."""

    status = 500

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, limit: int) -> bytes:
        return self._body[:limit]


class Saying(Engine):
    """An engine of which one answer is known."""

    def __init__(self, answer: Any) -> None:
        super().__init__("unix:///run/docker.sock")
        object.__setattr__(self, "answer", answer)

    def get(self, *_: Any, **__: Any) -> Any:
        return self.answer  # type: ignore[attr-defined]

    def logs(self, *_: Any, **__: Any) -> str:
        return str(self.answer)  # type: ignore[attr-defined]

    def stamped_logs(self, *_: Any, **__: Any) -> tuple[list[tuple[str, str]], str]:
        return [("2026-04-20T10:11:12.000000000Z", str(self.answer))], ""  # type: ignore[attr-defined]


class Somewhere:
    """As much of a session as a sentence needs."""

    hidden = ()
    user = "deploy"

    class host:
        name, python, sudo = "gpu-1", "python3", False


def refused(act: Callable[[], Any], *kinds: type[Exception]) -> Any:
    with pytest.raises(kinds or (Refusal,)) as caught:
        act()
    return caught.value


def brokers_version(said: str, folder: Path) -> Any:
    raw = said.encode("utf-8", "surrogatepass")[:60_000]
    reply = yes(0x11, 0, struct.pack(">I", 1) + b"\0\x07version" + struct.pack(">H", len(raw)) + raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "greet", lambda *_: reply)
        return broker.check("RabbitMQ reachable", StreamAddress("rabbit.lan", 5552, "annotations"))


def a_pull(said: str, folder: Path) -> Any:
    def failing(*_: Any) -> Iterator[Any]:
        raise EngineError(200, said)
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulling, "pull", failing)
        return refused(lambda: pull._pull(Saying({}), "team/queue@sha256:00", None, lambda _: None))


def engines_error(said: str, folder: Path) -> Any:
    body = json.dumps({"message": said}).encode()
    return [EngineError(500, engines._refused(Answered(one))) for one in (body, said.encode("utf-8", "replace"))]  # type: ignore[arg-type]


def a_process_on_a_gpu(said: str, folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_support, "stuck", lambda: None)
        patch.setattr(command, "run", lambda *_: Ended((), 0, f"4194400, GPU-0, {said}", "", 0.0))
        return batch.check("training", TRAINING, Saying({"LiveRestoreEnabled": True}), [], gpus=1, driver=Driver())


def a_checkpoint(said: str, folder: Path) -> Any:
    made(folder / "last", said)
    entry = dataclasses.replace(TRAINING, checkpoints=str(folder / "last"))
    found = batch.check("training", entry, Saying({}), [], gpus=0, driver=Driver())
    assert 'newest checkpoint "' in found.sentence
    return [found, found.figures["checkpoint"]]


def a_model_directory(said: str, folder: Path) -> Any:
    made(folder / "models", said, is_folder=True)
    places = {"root": str(folder), "state": str(folder / "state"), "folder": str(folder / "models")}
    request = {**places, "files": ["best.pt"], "configs": {}, "verify": ""}
    found = decode(Models, models.answer(request, lambda _: None), "models")
    (line,) = (line for line, _ in models_text.lines("gpu-1", "/azaion/models", found) if "no dates" in line)
    return [*found.others, line.strip()]


def made(folder: Path, said: str, is_folder: bool = False) -> None:
    """Something in a folder that has such a name, as far as a file system takes it."""
    raw = said.encode("utf-8", "surrogatepass").replace(b"/", b"|").replace(b"\0", b"")[:250]
    folder.mkdir()
    path = folder / os.fsdecode(raw)
    path.mkdir() if is_folder else path.touch()


def a_containers_name(said: str, folder: Path) -> Any:
    occupant = Occupant("c" * 64, said, "sha256:ff", True, "2026-04-20T10:11:12.5Z", "no", False)
    both = (occupant, dataclasses.replace(occupant, container="d" * 64))
    return [batch._said(occupant, TRAINING, ""), *snapshot._crowded("queue", both)]


def a_containers_end(said: str, folder: Path) -> Any:
    found = inspected(Status="exited", Running=False, ExitCode=1, Error=said)
    return container.judge("queue alive", "queue", docker_answers.container(found), time.time())


def a_driver(said: str, folder: Path) -> Any:
    line = said.replace(",", ";")
    rows = []
    for out in (f"0, GPU-0, {line}, 550, No", f"0, GPU-0, L40S, {line}, No", f"0, GPU-0, L40S, 550, No\n{said}"):
        asked = Driver()
        asked._answers[" ".join(nvidia_smi.query(asked._fields))] = Ended((), 0, out, "", 0.0)
        rows.append(gpu_support.driver("NVIDIA driver", 1, asked))
    fields = list(gpu.BASIC)
    answer = ", ".join(["0", "GPU-0", line, line, "1", "2", "3", "4"])
    beside = Ended((), 0, f"{answer}\n{said}", "", 0.0)
    return [*rows, *(gpu.judge("GPU", Expected(1), fields, one) for one in (Ended((), 0, answer, "", 0.0), beside))]


def a_drivers_complaint(said: str, folder: Path) -> Any:
    return gpu.judge("GPU", Expected(1), gpu.BASIC, Ended(("nvidia-smi",), 9, said, said, 0.0))


def a_disk(said: str, folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "find", lambda *_: Saying({"DockerRootDir": said}))
        trouble = disk._docker_roots("")
    out = f"size\n100 50 50 50% 1% {said}"
    ended = [disk.look("/data", lambda *_: Ended((), 0, out, "", 0.0)), disk.look("/data", lambda *_: complained(said))]
    return disk.judge("disk space", [*ended, *([] if isinstance(trouble, list) else [trouble])], 80, 90)


def dockers_own_disk(said: str, folder: Path) -> Any:
    full = SimpleNamespace(f_flag=0, f_bfree=0, f_frsize=4096)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", lambda path: full)
        return docker_disk.trouble(Saying({"DockerRootDir": said}))


def complained(said: str) -> Ended:
    return Ended(("docker",), 1, "", said, 0.0)


def dockers_version(said: str, folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "find", lambda _: Saying({"Version": said}))
        return setup._engine("")[1]


def a_log(said: str, folder: Path) -> Any:
    engine = Saying("9 results" + said)
    step = dataclasses.replace(STEP, watch=Watch(failure_text=("9 results",)))
    failure, _ = watch._failure(engine, watch.watched(step, "c", "", None, 0.0))
    kept = watch.tail(engine, "c") or ()
    assert 0 < len(kept) <= 20 and all(len(line) <= watch.LONGEST and "\n" not in line for line in kept)
    return [log_tail.check("log", "queue", engine, ("9 results",)), failure, Observation(0.0, failure=failure).failure]


def a_log_file(said: str, folder: Path) -> Any:
    (folder / "a.log").write_bytes(f"9 results{said}\n".encode("utf-8", "surrogatepass"))
    reading = Reading(LogRules((f"{folder}/*.log",)), ("9 results",), str)
    return [reading.look(), Observation(0.0, failure=reading.look()).failure]


def a_webhook(said: str, folder: Path) -> Any:
    body = io.BytesIO(said.encode("utf-8", "surrogatepass"))
    return str(webhook._status(urllib.error.HTTPError("http://x", 400, said[:100], Headers(), body)))


def a_crontab(said: str, folder: Path) -> Any:
    ours = f"{crontab.BEGIN} /azaion: x\n{said}\n{crontab.END} /azaion\n"
    return refused(lambda: crontab.found(ours, "/azaion"))


def an_alert(said: str, folder: Path) -> Any:
    message = compose("gpu-1", AT, [News(NEW, Check("disk space", CRITICAL, said, {}, said), AT)], [said])
    lines = message.text.split("\n")
    assert len(lines) == 4, "a remark, a row with its hint, and what to do next"
    assert [line[:21] for line in lines[1:2]] == ["critical: disk space:"]
    return [message.title, *(line.strip() for line in lines), *message.rows[0].values()]


def a_label(said: str, folder: Path) -> Any:
    shown = metrics.text("gpu-1", Round(AT, levels={said: CRITICAL}), State()).split("\n")
    sane = metrics.text("gpu-1", Round(AT, levels={"x": CRITICAL}), State()).split("\n")
    assert len(shown) == len(sane)
    return [line for line in shown if "check_level{" in line]


def an_error_of_a_server(said: str, folder: Path) -> Any:
    content = {"kind": "refused", "message": said, "hint": said}
    return [call._error("gpu-1", content), call._not_run(Somewhere, 1, said.strip())]  # type: ignore[arg-type]


def an_end_of_a_run(said: str, folder: Path) -> Any:
    end = {"outcome": "done", "sentence": said, "details": {"notes": [said]}}
    ended = run.conclude(Somewhere, {"run": RUN, "end": end})  # type: ignore[arg-type]
    failed = {"outcome": "rolled-back", "sentence": said, "hint": said}
    error = refused(lambda: run.conclude(Somewhere, {"run": RUN, "end": failed}), RunbookError)  # type: ignore[arg-type]
    return [ended.sentence, *ended.notes, error]


def a_journal(said: str, folder: Path) -> Any:
    told: list[journal_text.News] = [
        Command(("docker", said), 1, 0.1, said),
        Judged("q", said, said, Observation(0.0), None, 0, ()),
        Pointed("q", "/azaion/config.yaml", said, said),
        Undoing(said),
        journal_text.Garbled(said),
    ]
    passing = [
        journal_text.passing(Seen("q", True, 0, None, None, said)),
        journal_text.pulling({"event": "pulling", "image": said}),
    ]
    return [*(journal_text.sentence(one) for one in told), *passing]


def a_forge(said: str, folder: Path) -> Any:
    name, word = text({"name": said}, "name"), text({"state": said}, "state")
    results = [Result(name, RED, word), Result("build", "green", "success")]
    return ci.judge("queue CI", Commit("1" * 40, "branch", "dev"), results, ())


def a_scan(said: str, folder: Path) -> Any:
    hole = {"VulnerabilityID": said, "PkgName": said, "InstalledVersion": said, "FixedVersion": said}
    about = {"OS": {"Family": said, "Name": said, "EOSL": True}}
    document = {"SchemaVersion": 2, "Metadata": about, "Results": [{"Class": "os-pkgs", "Vulnerabilities": [hole]}]}
    document["Results"][0]["Vulnerabilities"][0]["Severity"] = "HIGH"  # type: ignore[index]
    try:
        report = scan_reports.read(json.dumps(document).encode())
    except Misshapen as error:
        return str(error)
    return scan_verdict.judge("queue scan", report, (), datetime.now(timezone.utc))


def a_variable(said: str, folder: Path) -> Any:
    file = folder / ".env"
    file.write_bytes(f"{said}='x'\nA=1\nA=2\n'{said}'=3\n".encode("utf-8", "replace").replace(b"\0", b"")[:100_000])
    file.chmod(0o600)
    try:
        env, problems = read_env(file)
    except BadInput as error:
        return error.message
    problem = bad_input(str(file), [*problems, *env.warnings], "correct it")
    lines = problem.message.split("\n  ")
    assert len(lines) <= 52
    return lines


ENTRIES: dict[str, Entry] = {
    "a broker's version": brokers_version,
    "a registry's error": lambda said, _: look._no_image("queue image", "team/queue:1", EngineError(500, said)),
    "a registry's error in a pull": a_pull,
    "an engine's error": engines_error,
    "a program's complaint": lambda said, _: complained(said).complaint,
    "a process on a GPU": a_process_on_a_gpu,
    "a container's name": a_containers_name,
    "a container's end": a_containers_end,
    "a driver": a_driver,
    "a driver's complaint": a_drivers_complaint,
    "a disk": a_disk,
    "docker's own disk": dockers_own_disk,
    "docker's version": dockers_version,
    "a line of a log": a_log,
    "a line of a log file": a_log_file,
    "a webhook's answer": a_webhook,
    "a mail server's answer": lambda said, _: mail._said(554, said.encode("utf-8", "surrogatepass")),
    "a line of the crontab": a_crontab,
    "the holder of the lock": lambda said, _: list(lock._said(json.dumps({"who": said}).encode()).values()),
    "a key of a document": lambda said, _: str(refused(lambda: decode(Plan, {said: 1}, "plan"), Malformed)),
    "an alert": an_alert,
    "a label of a metric": a_label,
    "a server's error": an_error_of_a_server,
    "the end of a run": an_end_of_a_run,
    "a line of a journal": a_journal,
    "a forge's results": a_forge,
    "a scanner's report": a_scan,
    "a variable of .env": a_variable,
    "a mistake in a file": lambda said, _: BadInput(said).message,
}
FILES: dict[str, Entry] = {"a checkpoint": a_checkpoint, "a model's directory": a_model_directory}


def sentences(found: Any) -> list[str]:
    """All that a person would read of it."""
    if isinstance(found, list):
        return [said for one in found for said in sentences(one)]
    if isinstance(found, Check):
        return [found.name, found.sentence, found.hint]
    return [found.message, found.hint] if isinstance(found, Refusal | RunbookError) else [found]


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_whatever_comes_in_is_one_line(entry: Entry, tmp_path: Path) -> None:
    _are_lines(entry, TEXTS, tmp_path)


@pytest.mark.parametrize("entry", FILES.values(), ids=FILES)
def test_the_name_of_a_file_is_one_line(entry: Entry, tmp_path: Path) -> None:
    _are_lines(entry, SHORT, tmp_path)


def _are_lines(entry: Entry, texts: dict[str, str], folder: Path) -> None:
    for number, (name, said) in enumerate(texts.items()):
        own = folder / str(number)
        own.mkdir()
        told = sentences(entry(said, own))
        assert told, name
        for line in told:
            assert wrong_with(line, 2 * LONGEST) == "", (name, line[:300])
        out = io.StringIO()
        screen = Screen(out=out)
        for line in told:
            screen.say(f"  {line}")
        assert len(out.getvalue().splitlines()) == len(told), name
        assert rows(out.getvalue()) == [], name


NAMED: dict[str, Entry] = {
    name: (ENTRIES | FILES)[name]
    for name in (
        *("a broker's version", "a registry's error", "a process on a GPU", "a container's name", "a driver"),
        *("docker's version", "a forge's results", "a webhook's answer", "a line of a log", "a checkpoint"),
    )
}


@pytest.mark.parametrize("said", [f"9 results {ROW}", f'9 results"; {ROW}'], ids=["as it is", "closing quotes"])
@pytest.mark.parametrize("entry", NAMED.values(), ids=NAMED)
def test_what_others_call_themselves_stands_in_quotes(entry: Entry, said: str, tmp_path: Path) -> None:
    found = sentences(entry(said, tmp_path))
    told = [line for line in found if "ok annotation" in line and not line.startswith("9 results")]
    assert told
    for line in told:
        assert line.count('"') % 2 == 0
        assert "ok annotation" not in "".join(line.split('"')[::2]), line


def test_a_refusal_and_a_row_cannot_be_made_with_more_than_a_line() -> None:
    check = Check(f"a\n{ROW}", CRITICAL, f"b\n{ROW}" * 10_000, {}, f"c\r{ROW}")
    assert [wrong_with(line, LONGEST) for line in sentences(check)] == ["", "", ""]
    assert dataclasses.replace(check, sentence=f"\x1b[2J\n{ROW}").sentence.startswith(
        "\N{REPLACEMENT CHARACTER}[2J ok "
    )
    refusal = Refusal(f"a\n{ROW}", f"b\n{ROW}")
    assert (str(refusal), refusal.hint) == (f"a {' '.join(ROW.split())}", f"b {' '.join(ROW.split())}")


def test_a_hint_keeps_the_blanks_of_its_commands_and_nothing_else() -> None:
    assert BadInput("x", "echo 'a  b' >> known_hosts").hint == "echo 'a  b' >> known_hosts"
    for said in TEXTS.values():
        hint = BadInput("x", said).hint
        assert hint.isprintable() and len(hint) <= sanitize.MOST


def test_of_what_others_say_a_server_keeps_little() -> None:
    assert len(complained("x" * 10_000_000).complaint) == MOST
    assert len(EngineError(500, "x" * 10_000_000).message) == MOST
