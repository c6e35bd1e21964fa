"""One exchange over a real sshd: events, answers, refusals, defects, and what is left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.errors import BadInput, CannotConnect, Defect, NeedsPerson, Refused
from gpu_runbook.laptop.rpc import bundle, call
from gpu_runbook.laptop.rpc.call import ask
from gpu_runbook.laptop.ssh.session import Session
from tests.wire.relay import Relay
from tests.wire.sshd import USER, Entry, wait_until


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be collected has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_ping_is_answered(session: Session) -> None:
    assert ask(session, "ping", {})["user"] == USER


def test_several_exchanges_use_one_connection_and_a_channel_each(session: Session) -> None:
    for _ in range(3):
        ask(session, "ping", {})
    assert (session.facts.connections, session.facts.channels) == (1, 3)


def test_events_come_in_order_before_the_answer(session: Session, probe: str) -> None:
    events: list[dict[str, Any]] = []
    assert ask(session, probe, {"do": "count", "to": 5}, events.append) == {"counted": 5}
    assert events == [{"number": number} for number in range(5)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("refused", Refused), ("server", CannotConnect), ("person", NeedsPerson), ("input", BadInput)],
)
def test_a_refusal_is_the_error_of_its_kind(session: Session, probe: str, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^gpu-1: the lock is held$") as raised:
        ask(session, probe, {"do": "refuse", "kind": kind})
    assert raised.value.hint == "wait for it"  # type: ignore[attr-defined]


def test_a_crash_is_a_defect_that_names_the_line_and_keeps_the_traceback(session: Session, probe: str) -> None:
    with pytest.raises(Defect, match=r"^gpu-1: ValueError in gpu_runbook/server/verbs/probe\.py line \d+$") as raised:
        ask(session, probe, {"do": "crash", "secret": "swordfish"})
    traceback = str(raised.value.__cause__)
    assert 'raise ValueError("this text may quote "' in traceback
    assert "swordfish" not in traceback


def test_an_answer_that_is_no_json_is_a_defect(session: Session, probe: str) -> None:
    with pytest.raises(Defect, match="TypeError"):
        ask(session, probe, {"do": "unspeakable"})


def test_a_program_that_ends_without_an_answer_is_a_defect(session: Session, probe: str) -> None:
    with pytest.raises(Defect, match=r"cut off \(exit status 3\)"):
        ask(session, probe, {"do": "vanish"})


def test_what_a_verb_or_its_children_print_cannot_be_taken_for_an_answer(session: Session, probe: str) -> None:
    assert ask(session, probe, {"do": "print"}) == {"said": True}


def test_silence_is_bridged_by_beats(session: Session, probe: str) -> None:
    assert ask(session, probe, {"do": "sleep", "seconds": 4.5}, silence=3.8) == {}


def test_a_detached_child_keeps_nothing_open_and_lives_on(session: Session, probe: str) -> None:
    answer = ask(session, probe, {"do": "detach"})
    try:
        ask(session, "ping", {})
        assert not gone(answer["pid"])
        assert answer["open"] == ["/dev/null"] * 3
    finally:
        os.kill(answer["pid"], signal.SIGKILL)


def test_an_interrupt_ends_the_server_s_processes_and_leaves_the_session_usable(session: Session, probe: str) -> None:
    pids: list[int] = []

    def interrupt(event: dict[str, Any]) -> None:
        pids.extend(event["pids"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(session, probe, {"do": "family"}, interrupt)
    wait_until(lambda: all(map(gone, pids)), "the verb and both children have ended", 4.5)
    assert ask(session, "ping", {})["user"] == USER
    assert session.facts.connections == 1


def test_a_verb_that_clings_to_its_work_is_ended_all_the_same(session: Session, probe: str) -> None:
    pids: list[int] = []

    def interrupt(event: dict[str, Any]) -> None:
        pids.extend(event["pids"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(session, probe, {"do": "cling"}, interrupt)
    wait_until(lambda: gone(pids[0]), "the verb has ended", 8)


def test_a_lost_connection_ends_the_server_s_processes(relay: Any, probe: str) -> None:
    middle: Relay
    middle, entry = relay()
    pids: list[int] = []

    def cut(event: dict[str, Any]) -> None:
        pids.extend(event["pids"])
        middle.reset()

    with Session(entry) as session, pytest.raises(Exception, match="connection ended"):
        ask(session, probe, {"do": "family"}, cut)
    wait_until(lambda: all(map(gone, pids)), "the verb and both children have ended", 4.5)


def test_a_verb_that_goes_on_telling_ends_when_nobody_listens(session: Session, probe: str) -> None:
    pids: list[int] = []

    def interrupt(event: dict[str, Any]) -> None:
        pids.extend(event.get("pids", []))
        if len(pids) and "more" in event:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(session, probe, {"do": "talk"}, interrupt)
    wait_until(lambda: gone(pids[0]), "the verb has ended", 15)


def test_secrets_stand_in_no_argument_list_on_either_side(session: Session, probe: str) -> None:
    def look(event: dict[str, Any]) -> None:
        lines = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
        assert any(b"-IS" in line for line in lines)
        assert not any(b"swordfish" in line for line in lines)

    ask(session, probe, {"do": "sleep", "seconds": 0.2, "secret": "swordfish"}, look)


def test_only_an_endless_call_may_say_more_than_the_memory_is_for(
    session: Session, probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "TOTAL_LIMIT", 1 << 10)
    with pytest.raises(Defect, match="the answer is longer than"):
        ask(session, probe, {"do": "count", "to": 100})
    assert ask(session, probe, {"do": "count", "to": 100}, endless=True) == {"counted": 100}


def test_a_python_that_was_built_without_bz2_is_sent_what_it_can_unpack(
    gpu1: Entry, tmp_path: Path, probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = "import sys\nclass No:\n def find_spec(s, name, *_):\n  if name == '_bz2': raise ModuleNotFoundError("
    lacks += "\"No module named '_bz2'\")\nsys.meta_path.insert(0, No())\nexec(sys.argv[1])"
    (tmp_path / "lacks.py").write_text(lacks)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {tmp_path}/lacks.py "$3"\n')
    python.chmod(0o755)
    monkeypatch.setattr(bundle, "TIGHT", 0)  # a short program, too, is packed by bz2
    with Session(gpu1.but(python=str(python))) as session:
        assert ask(session, probe, {"do": "count", "to": 3}) == {"counted": 3}
        assert session.facts.channels == 2
    with Session(gpu1) as session:
        assert ask(session, probe, {"do": "count", "to": 5}) == {"counted": 5}
        assert session.facts.channels == 1
