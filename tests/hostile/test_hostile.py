"""Hostile and broken input, a few cases of each property; and by name the cases that once did harm."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.deploy import run
from gpu_runbook.laptop.errors import BadInput, Defect, RolledBack
from gpu_runbook.laptop.inventory.parse import load
from gpu_runbook.laptop.inventory.problems import MOST_LINES
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.journal import Undoing, told
from gpu_runbook.server.docker.engine import LIMIT, EngineError
from gpu_runbook.server.run import recovery
from gpu_runbook.server.state import journal, lock, record
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import find_store
from tests.hostile.__main__ import PROPERTIES, main
from tests.hostile.conduct import well_said
from tests.hostile.forms import ONE, RUN
from tests.hostile.kept import AT, LINES, PLAN, store_in
from tests.hostile.properties import Ground, Property, try_out
from tests.hostile.server import SAID, deploys, follows
from tests.hostile.unix import answering, http
from tests.unit.scene import QUEUE
from tests.wire.sshd import sshd_program

FEW = 20
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    if sshd_program() is None:
        request.getfixturevalue("sandbox")  # installs what this machine lacks
    with Ground() as opened:
        yield opened


@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.name)
def test_the_property_holds(one: Property, ground: Ground) -> None:
    assert try_out(one, ground, FEW) > 0


HOST = "hosts: {gpu-1: {address: a.lan, root: /azaion, %s}}\n"
MANY = ", ".join(f"k{number}: 1" for number in range(2000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOST % f"port: 0x{'F' * 6000}", "hosts.gpu-1.port: a number that cannot be read"),
        (HOST % f"port: {'1:' * 50_000}1", "hosts.gpu-1.port: a number that cannot be read"),
        (HOST % "port: !!int ''", "hosts.gpu-1.port: a number that cannot be read"),
        (HOST % "sudo: !!bool maybe", "hosts.gpu-1.sudo: a number that cannot be read"),
        (HOST % r'user: "\UFFFFFFFF"', "hosts.yaml:1 is not YAML: it holds a number that is too large."),
        (f"%YAML 1.{'1' * 5000}\n---\n{HOST % ''}", "hosts.yaml:1 is not YAML: it holds a number that is too large."),
        ("# first\n" + HOST % "user: \x07", "hosts.yaml:2 is not YAML: special characters are not allowed."),
        (HOST.replace("{gpu", "!!python/object:os.system {gpu") % "", "hosts.yaml:1: hosts: a tag (!…) is not read"),
        (HOST % f"groups: {'[' * 220}{']' * 220}", "hosts.yaml:1: the file is nested too deeply"),
        (HOST % MANY, f"… and {2000 - MOST_LINES} more"),
        (f"a: [{'b,' * 300_000}]\n", "grows beyond 20000 values."),
        (f"a: &a {'x' * 100_000}\nb: [{'*a,' * 1000}]\n", "grows beyond 1 MiB of text."),
        (
            f"defaults: {{{MANY}}}\nhosts: {{{', '.join(f'h{number}: {{}}' for number in range(2000))}}}\n",
            "hosts.yaml:1: defaults: are too long to be written out for 2000 servers",
        ),
    ],
    ids=lambda text: text[:24] if "hosts.yaml" not in text else "",
)
def test_a_hosts_yaml_that_once_did_harm_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        load(path)
    well_said(refused.value)
    assert said in refused.value.message


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.model import load_inventory
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    load_inventory(Path(sys.argv[1]))
except BadInput as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"a: [{'b,' * 500_000}]\n", "grows beyond 20000 values."),
        (f"a: &a {'x' * 500_000}\nb: [{'*a,' * 15_000}]\n", "grows beyond 1 MiB of text."),
        (f"defaults: {{user: {'x' * 500_000}}}\nhosts: {{{'h%d: {}, ' * 9000 % tuple(range(9000))}}}\n", "too long"),
        ("", "is larger than 1 MiB."),  # /dev/zero
    ],
    ids=["many values", "long values", "long defaults", "endless"],
)
def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "hosts.yaml"
    if text:
        path.write_text(text)
    else:
        path.symlink_to("/dev/zero")
    words = [sys.executable, "-c", LITTLE_MEMORY, str(path)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert said in ended.stdout, ended.stderr


def test_an_engine_that_never_stops_talking_is_given_up(ground: Ground) -> None:
    head = http(b"", head=b"X: endless\r\n")
    with answering(ground, head + b"x" * 65536, endless=True) as engine:
        with pytest.raises(EngineError, match="cannot be read"):
            engine.get("/info")
        assert len(engine.logs("c1")) <= LIMIT


def test_a_line_of_a_log_is_the_engines_and_not_the_containers(ground: Ground) -> None:
    """Whatever a program prints within a line – a CR, a form feed – the engine's stamp stands at its beginning."""
    line = "2026-04-20T10:11:12.000000000Z 10%\rZ done\x0cZ \u2028Z Traceback"
    with answering(ground, http(f"{line}\nZ cut\n".encode())) as engine:
        assert engine.stamped_logs("c1", 0.0) == ([tuple(line.split(" ", 1))], "")


def test_half_a_character_in_the_record_stops_no_run(tmp_path: Path) -> None:
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    make(store)
    entry = {"id": RUN, "at": AT, "who": "\ud800", "outcome": "proven"}
    Path(store.record).write_text(json.dumps({"schema": 1, "current": RUN, "releases": [entry]}))
    known, problems = record.load(store)
    assert problems == ()
    record.save(store, known)
    assert record.load(store) == (known, ())
    book = journal.Journal(store.journal(RUN))
    book.write(Undoing("\ud800"))
    book.close()
    assert told(journal.read(store.journal(RUN)), Undoing) == [Undoing("\ud800")]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("rows", [{"name": "disk", "level": "fine", "sentence": ""}], r"snapshot\.rows\[0\]\.level: not a level"),
        ("run", {"id": RUN, "state": "odd"}, r"snapshot\.run\.state: not the state of a run"),
        ("run", {"id": "../x", "state": "ended"}, r"snapshot\.run\.id: not a run id"),
        ("at", "yesterday", r"snapshot\.at: not a time"),
        ("containers", ["--rm"], r"snapshot\.containers\[0\]: not a container id"),
        ("digests", {QUEUE: f"--x@sha256:{ONE}"}, r"snapshot\.digests\.annotation-queue: not an image with its digest"),
        ("digests", {QUEUE: f"evil.lan/q@sha256:{ONE}"}, r"digests\.annotation-queue: not of the image that was asked"),
        ("digests", {}, "the image of annotation-queue is neither there nor missing"),
    ],
)
def test_a_look_that_means_nothing_passes_no_gate(ground: Ground, place: str, value: object, said: str) -> None:
    (message,) = SAID["deploy"][1]
    answer = {"answer": {**message["answer"], place: value}}
    with pytest.raises(Defect, match=said):
        deploys(ground.speaks(b"\x1e" + json.dumps(answer).encode() + b"\n"), ground.scene, Screen(out=io.StringIO()))


def test_what_a_server_says_beside_an_error_does_not_change_the_error(ground: Ground) -> None:
    end = {
        "outcome": "rolled-back",
        "sentence": "it failed",
        "details": {"outcome": "done", "exit_status": 0, "log": ["its end"]},
    }
    said = b"\x1e" + json.dumps({"answer": {"run": RUN, "end": end}}).encode() + b"\n"
    with pytest.raises(RolledBack) as raised:
        follows(ground.speaks(said), ground.scene, Screen(out=io.StringIO()))
    result = raised.value.as_result()
    assert (result["outcome"], result["exit_status"], result["log"]) == ("rolled-back", 13, ("its end",))


def test_only_a_yes_is_a_yes(ground: Ground) -> None:
    with pytest.raises(Defect, match="cancelled"):
        run._cancel(ground.speaks(b'\x1e{"answer": {"cancelled": "no"}}\n'), PLAN)


def test_a_damaged_journal_is_brought_to_an_end_by_a_person(ground: Ground) -> None:
    """What it staged is not known: the run ends, and does not stand in the way of the next one for ever."""
    store = store_in(ground)
    lines = [LINES[0], {"event": "staging", "service": "annotation-queue"}]
    Path(store.journal(RUN)).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with answering(ground, http(b"{}", status=404)) as engine:
        held = lock.acquire(store, {})
        (said,) = recovery.cut_off_runs(store, engine, held, ())
        os.close(held)
    assert said.startswith(f"the journal of run {RUN} is damaged: ")
    assert journal.state(store, RUN).outcome == "needs-person"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cases", "some"], "--cases 'some' is no whole number"),
        (["--cases", "3"], "--cases '3' is no whole number"),
        (["--seed", "-1"], "--seed '-1' is no whole number"),
        (["--seed", "²"], "--seed '²' is no whole number"),
    ],
)
def test_the_command_says_what_it_cannot_take(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(words) == BadInput.exit_code
    out, err = capsys.readouterr()
    assert (out, err.startswith(said), len(err.splitlines())) == ("", True, 2)


def test_the_command_counts_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    cases = 2 * len(PROPERTIES)
    assert main(["--cases", str(cases), "--seed", "7"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(PROPERTIES)} of {len(PROPERTIES)} properties hold, in {cases} cases (--seed 7)"
    assert sum(int(line.split(" cases")[0].split()[-1]) for line in lines) == cases
