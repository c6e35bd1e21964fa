"""What lies on the server: the record, journals, the notes beside them, and the consumer's own offset file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.laptop.sanitize import clean
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import (
    BeginOfPlan,
    Command,
    End,
    Judged,
    Observation,
    Recorded,
    Staged,
    Staging,
    Swapped,
    Swapping,
    encoded,
)
from gpu_runbook.protocol.plan import ConsumerStep, Plan, Spec, Watch
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.swap import Swap
from gpu_runbook.server.docker.commands import StepFailed
from gpu_runbook.server.queue import offset
from gpu_runbook.server.queue.offset import OffsetError
from gpu_runbook.server.run import follow as following
from gpu_runbook.server.run import recovery
from gpu_runbook.server.run.outcome import claim
from gpu_runbook.server.state import journal, lock, record
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store
from tests.hostile.conduct import nothing_done, well_said
from tests.hostile.damage import RAW, as_json, damaged, documents, sometimes_torn
from tests.hostile.forms import ONE, RUN
from tests.hostile.properties import Ground, Property
from tests.hostile.unix import answering, http

AT = "2026-04-20T10:11:12.000Z"
OLDER = "20260419-101112-abcd"
IMAGE = f"azaion/queue@sha256:{ONE}"
PLAN = Plan(
    *(RUN, "deploy", "gpu-1", "/nowhere", RUN, "ann", "laptop", "0.1.0"),
    consumers=(ConsumerStep("annotation-queue", "place", "1.0", Watch(), Spec(IMAGE)),),
)
SWAP = Swap("annotation-queue", "annotation-queue", ONE, "p", "no")
LINES: list[dict[str, Any]] = [
    {"at": AT, **encoded(event)}
    for event in (
        BeginOfPlan(RUN, "deploy", "ann", "laptop", AT, PLAN, {}),
        Staging("annotation-queue", "p", ""),
        Staged("annotation-queue", ONE),
        Swapping(SWAP),
        Command(("docker", "start", ONE), 0, 0.5),
        Swapped("annotation-queue", ONE, 7, 0.5, 0),
        Judged("annotation-queue", "proven", "its offset moved to 8", Observation(0.5, running=True), 7, 20, ()),
        Recorded(RUN, (1000, 600, 500, 4096)),
        End("done", "release 1 is in force"),
    )
]


def store_in(ground: Ground) -> Store:
    store = Store(str(ground.place("server")), str(ground.place("server") / "state"))
    make(store)
    return store


def travelled(text: str) -> str:
    """A sentence of the server's as the laptop gets it."""
    return clean(text).replace("\n", " ")


def the_record_is_read_as_far_as_it_can_be(content: bytes, ground: Ground) -> None:
    """What serves serves, the rest is a sentence each, and what is written afterwards is whole."""
    store = store_in(ground)
    Path(store.record).write_bytes(content)
    with nothing_done():
        known, problems = record.load(store)
    for problem in problems:
        well_said(RunbookError(travelled(problem)))
        assert store.record in problem
    json.dumps(encode(known), allow_nan=False)
    record.save(store, known)
    assert record.load(store) == (known, ())
    assert not problems or Path(store.record + ".damaged").read_bytes() == content


SPEC = Spec(IMAGE, environment={"NAME": "größer"})
QUEUE = Placed("consumer", "1.0", IMAGE, container=ONE, spec=SPEC, offset_at_swap=7)
TWO = Record(RUN, tuple(Release(name, AT, "ann", "proven", {"queue": QUEUE}, {"A": "f" * 16}) for name in (RUN, OLDER)))
records = damaged(json.loads(json.dumps(encode(TWO)))).map(as_json).flatmap(sometimes_torn)


_rubbish = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
    st.sampled_from([b"\0" * 512, b"[1]", b"{}", b'{"event": 7}', b"\xff\xfe", b"x" * 70_000, b'{"event": "end"']),
    st.sampled_from(RAW).map(lambda raw: b'{"event": "seen", "x": ' + raw.encode() + b"}"),
)


@st.composite
def journals(draw: st.DrawFn) -> tuple[list[dict[str, Any]], bytes]:
    """The lines of a journal, and its bytes: whole lines with rubbish between them, the last one torn."""
    written = LINES[: draw(st.integers(0, len(LINES)))]  # a run that was cut off has no end
    lines = draw(damaged(written, most=2).filter(lambda lines: isinstance(lines, list)))
    pieces = []
    for line in lines:
        pieces += [raw + b"\n" for raw in draw(st.lists(_rubbish, max_size=1))]
        pieces.append(as_json(line, ensure_ascii=draw(st.booleans())) + b"\n")
    tail = draw(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")) | st.just(b'{"event": "end", "outc'))
    return lines, b"".join(pieces) + tail


def a_journal_is_read_line_by_line(case: tuple[list[dict[str, Any]], bytes], ground: Ground) -> None:
    """Whole lines are read, others are not, a run that was cut off is brought to its end, and that end is read."""
    _, content = case
    store = store_in(ground)
    path = Path(store.journal(RUN))
    path.write_bytes(content)
    heard: list[dict[str, Any]] = []
    with nothing_done():
        read = journal.read(str(path))
        state = journal.state(store, RUN)
        answer = following.follow(store, RUN, heard.append)
    whole = [raw for raw in content.split(b"\n") if _is_line(raw)]
    assert len(read) == len(whole)
    json.dumps([[line.written for line in read], encode(state), heard, answer], allow_nan=False)
    assert [event["line"] for event in heard] == [line.written for line in read[: len(heard)]]
    if state.state == "cut-off":
        with answering(ground, http(b'{"message": "no such container"}', status=404)) as engine:
            held = lock.acquire(store, {})
            try:
                said = recovery.cut_off_runs(store, engine, held, ())
            except (StepFailed, Refusal):
                return
        for sentence in said:
            well_said(RunbookError(travelled(sentence)))
        assert journal.state(store, RUN).state == "ended"


def _is_line(raw: bytes) -> bool:
    try:
        line = json.loads(raw)
        json.dumps(line, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return isinstance(line, dict) and isinstance(line.get("event"), str)


def what_holds_the_lock_may_say_anything(content: bytes, ground: Ground) -> None:
    """A refusal names what it can, and a decision is one whatever stands in it."""
    store = store_in(ground)
    Path(store.decision(RUN)).write_bytes(content)
    assert not claim(store.decision(RUN), "go")
    held = lock.acquire(store, {})
    Path(store.lock).write_bytes(content[:65536])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Refusal) as refused:
        patch.setattr(lock, "PATIENCE", 0.0)
        lock.acquire(store, {})
    os.close(held)
    well_said(RunbookError(travelled(refused.value.message), travelled(refused.value.hint)))


holders = damaged({"run": RUN, "who": "ann", "since": "now", "action": "deploy", "pid": 7}).map(as_json)

FILE_KEYS = ("offset", "stream", "updated", "nested")
_scalars = (
    st.integers(-5, 10**19 + 5)
    | st.sampled_from([10**19 - 1, 10**19])
    | documents
    | st.sampled_from(["12", "0x10", "1_0", "1:30", "~", "12 # x"])
)


@st.composite
def offset_files(draw: st.DrawFn) -> tuple[Any, bytes]:
    """What a consumer wrote, and the bytes of it; None for what it did not write as it is."""
    data = draw(st.dictionaries(st.sampled_from(FILE_KEYS), _scalars, max_size=4))
    if draw(st.booleans()):
        text = as_json(data)
    else:
        text = yaml.safe_dump(data, sort_keys=draw(st.booleans()), allow_unicode=True).encode("utf-8", "replace")
    if draw(st.booleans()):
        return data, text
    odd = st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
    return None, draw(sometimes_torn(text) | st.binary(max_size=60) | odd)


def an_offset_is_read_or_garbled(case: tuple[Any, bytes], ground: Ground) -> None:
    """A whole number that a consumer wrote is read as it is; nothing else is taken for a position."""
    data, content = case
    path = ground.folder / "offset.yaml"
    path.write_bytes(content)
    file = OffsetFile(str(path))
    with nothing_done():
        try:
            value = offset.read(file, lambda seconds: None).value
        except OffsetError as error:
            well_said(RunbookError(error.message))
            assert error.kind == "garbled" and str(path) in error.message
            value = None
    assert value is None or 0 <= value < 10**19
    if isinstance(data, dict):
        wrote = data.get("offset")
        expected = wrote if type(wrote) is int and 0 <= wrote < 10**19 else None
        assert value == expected


PROPERTIES = (
    Property("previous-tags.json, damaged", records, the_record_is_read_as_far_as_it_can_be),
    Property("journals, damaged", journals(), a_journal_is_read_line_by_line),
    Property("the lock's holder and a decision", holders, what_holds_the_lock_may_say_anything),
    Property("offset.yaml", offset_files(), an_offset_is_read_or_garbled),
)
