"""A release whose only sign is a line in its log files: judged by that, shown with it, and never by another's line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.check import OK, UNKNOWN, WARNING
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from gpu_runbook.protocol.journal import Judged, Swapped, Swapping, as_line, encoded, told
from gpu_runbook.protocol.logs import FilePosition, LogRules
from gpu_runbook.protocol.plan import ConsumerStep, Watch
from gpu_runbook.server.checks import log_tail, suite
from gpu_runbook.server.docker.engine import Unreadable
from gpu_runbook.server.logs.reading import Reading
from gpu_runbook.server.run import release
from gpu_runbook.server.run.swap import forward
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store
from tests.hostile.forms import RUN
from tests.unit.journals import left
from tests.unit.world import NEW, OLD, STEP, SWAP, World, exchanged, recovered, site

AT = "2026-03-28 14:30:00,123"
BAD = f"{AT} ERROR cannot digest the message at offset 7"


class Talking(World):
    """Containers that write to one file when they start and when they stop; docker's log has what `said` is."""

    def __init__(self, file: Path, said: str = "") -> None:
        super().__init__()
        self.put(file=file, said=said, words={OLD: f"{AT} ERROR of the old one\n", NEW: f"{BAD}\n"})

    file: Path
    said: str
    words: dict[str, str]

    def write(self, text: str) -> None:
        with self.file.open("a") as file:
            file.write(text)

    def run(self, argv: list[str], deadline: float, **more: Any) -> Any:
        ended = super().run(argv, deadline, **more)
        if argv[1] in ("start", "stop"):
            self.write(self.words[argv[-1]])
        return ended

    def logs(self, container: str, tail: int = 0, since: float = 0, stamps: bool = False) -> str:
        return self.covered(self.said)

    def stamped_logs(self, container: str, since: float) -> tuple[list[tuple[str, str]], str]:
        return [], ""


def watched(folder: Path, **more: Any) -> ConsumerStep:
    rules = LogRules(**{"files": (f"{folder}/logs/*.log",), "level": "error", **more})
    return dataclasses.replace(STEP, watch=Watch(1.0, 5.0, ("Traceback",), rules))


@pytest.fixture
def talking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talking:
    (tmp_path / "logs").mkdir()
    made = Talking(tmp_path / "logs" / "queue.log")
    made.write(f"{AT} ERROR of yesterday\n")
    from tests.unit import world

    monkeypatch.setattr(world, "World", lambda: made)
    world.placed(monkeypatch)
    return made


def test_an_error_in_its_file_fails_the_watch_and_is_shown(store: Store, talking: Talking, tmp_path: Path) -> None:
    here = site(store, talking, watched(tmp_path))
    Path(here.folder("queue")).mkdir(parents=True)
    end = exchanged(here)
    assert end and end.outcome == "rolled-back"
    assert f'failed its watch: its log says: "{BAD}" in queue.log; ' in end.sentence
    assert end.details.log == (BAD,)
    assert talking.runs(OLD) and not talking.runs(NEW)
    [judged] = told(journals.read(store.journal(RUN)), Judged)
    assert (judged.verdict, judged.lines, judged.failures) == ("failed", 1, (BAD,))


@pytest.mark.parametrize("said", ["", f"{AT} INFO all is well"])
def test_what_the_old_one_has_written_is_not_its(store: Store, talking: Talking, tmp_path: Path, said: str) -> None:
    """Neither before nor while it stopped."""
    talking.words[NEW] = f"{said}\n" if said else ""
    here = site(store, talking, watched(tmp_path))
    exchanged(here)
    [judged] = told(journals.read(store.journal(RUN)), Judged)
    assert (judged.verdict, judged.failures, judged.lines) == ("unproven", (), 1 if said else 0)
    assert judged.silence.startswith("nothing was written to ") == (not said)
    [swapped] = told(journals.read(store.journal(RUN)), Swapped)
    assert swapped.files and swapped.files[0].size == len(f"{AT} ERROR of yesterday\n{AT} ERROR of the old one\n")


def test_a_rotation_in_the_watch_hides_nothing(
    store: Store, talking: Talking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talking.words[NEW] = f"{AT} INFO begins\n"
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        talking.now += seconds
        if len(slept) == 3:
            talking.write(f"{BAD}\n")
            talking.file.rename(f"{talking.file}.1")
            talking.write(f"{AT} INFO goes on\n")

    monkeypatch.setattr("time.sleep", sleep)
    end = exchanged(site(store, talking, watched(tmp_path)))
    assert end is not None and f'"{BAD}" in queue.log.1' in end.sentence
    assert end.details.log[-2:] == (f"queue.log.1 | {BAD}", f"queue.log | {AT} INFO goes on")


@pytest.mark.parametrize("known", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("bad", [True, False], ids=["an error", "none"])
def test_whoever_takes_up_a_run_reads_its_files_where_it_is_known_from_where(
    store: Store, talking: Talking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: bool, known: bool
) -> None:
    monkeypatch.setattr(release, "enter", lambda *_: None)
    here = site(store, talking, watched(tmp_path))
    Path(here.folder("queue")).mkdir(parents=True)
    here.journal.write(Swapping(SWAP))
    talking.words[NEW] = f"{BAD if bad else AT + ' INFO well'}\n"
    from gpu_runbook.server.run import watch

    forward(SWAP, here.docker, watch.reader(here, here.plan.consumers[0]))
    here.journal.write(Swapped("queue", NEW, files=watch.begun(here, here.plan.consumers[0]) if known else None))
    here.journal.close()
    (sentence,) = recovered(store, talking)
    assert ("its log says that it failed and was undone" in sentence) == (bad and known)
    assert talking.runs(OLD) == (bad and known)
    assert BAD not in sentence  # nobody there knows what to cover


def row(store: Store, world: Talking, folder: Path, **more: Any) -> Any:
    step = watched(folder, **more)
    return log_tail.with_files("queue log", NEW, world, step.watch.failure_text, step.watch.log, store)


def test_the_row_has_what_came_since_the_swap(store: Store, talking: Talking, tmp_path: Path) -> None:
    rules = watched(tmp_path).watch.log
    before = Reading(rules, (), str)
    before.begin()
    left(store, RUN, Swapped("queue", NEW, files=before.begun))
    silent = row(store, talking, tmp_path)
    assert silent.level == OK and "its log is empty; nothing was written to " in silent.sentence
    talking.write(f"{AT} INFO an ERROR was seen\n")
    assert row(store, talking, tmp_path).sentence == "clean: its last 1 line"
    talking.write(f"{BAD}\n")
    found = row(store, talking, tmp_path)
    assert (found.level, found.figures) == (WARNING, {"lines": 2, "failures": 1})
    assert found.sentence.endswith(f'say that it failed, as: "{BAD}"')


@pytest.mark.parametrize("rules", [LogRules(), LogRules(level="error")], ids=["as ever", "by levels"])
def test_only_a_consumer_with_log_files_or_a_level_has_a_row_in_health(store: Store, rules: LogRules) -> None:
    asked = Request(DiskLimits((), 80, 95), Expected(0), consumers=(CheckedConsumer("queue", "queue", log=rules),))
    names = [one.name for one in suite.questions(asked, store)]
    assert ("queue log" in names) == bool(rules.level)


def test_the_row_of_health_counts_failures_and_shows_none(
    store: Store, talking: Talking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there knows what to cover in a line, and an alert goes far."""
    rules = watched(tmp_path).watch.log
    left(store, RUN, Swapped("queue", NEW, files=()))
    talking.write(f"{BAD}\n")
    consumer = CheckedConsumer("queue", NEW, failure_text=("Traceback",), log=rules)
    asked = Request(DiskLimits((), 80, 95), Expected(0), consumers=(consumer,))
    question = next(one for one in suite.questions(asked, store) if one.name == "queue log")
    found = question.ask(question.name)
    assert (found.level, found.sentence) == (WARNING, "2 of its last 2 lines say that it failed")
    assert "digest" not in repr(found)


def test_without_dockers_log_the_files_are_read(
    store: Store, talking: Talking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> str:
        raise Unreadable(501, "its driver keeps none")

    monkeypatch.setattr(Talking, "logs", none)
    left(store, RUN, Swapped("queue", NEW, files=()))
    found = row(store, talking, tmp_path)
    assert found.level == WARNING
    assert found.sentence.endswith('docker\'s log: it cannot be read: "its driver keeps none"')
    assert row(store, talking, tmp_path, files=()).level == UNKNOWN


def test_where_no_journal_says_how_far_the_files_went_nothing_in_them_is_judged(
    store: Store, talking: Talking, tmp_path: Path
) -> None:
    left(store, RUN, Swapped("queue", NEW))
    found = row(store, talking, tmp_path)
    assert (found.level, found.figures["lines"]) == (OK, 0)
    assert "which lines of its log files are its own is known from the next deploy or restart on" in found.sentence
    talking.put(said=BAD)
    assert row(store, talking, tmp_path).level == WARNING


def test_an_error_on_standard_output_is_one_by_its_level(store: Store, talking: Talking, tmp_path: Path) -> None:
    rules = LogRules(level="error")
    said = '{"level": "debug", "message": "Traceback"}\n{"level": "error", "message": "cannot digest"}'
    talking.put(said=said)
    found = log_tail.with_files("queue log", NEW, talking, ("Traceback",), rules, store)
    assert (found.level, found.figures) == (WARNING, {"lines": 2, "failures": 1})


def test_a_secret_in_a_file_is_covered(tmp_path: Path) -> None:
    (tmp_path / "queue.log").write_text(f"{AT} ERROR login with hunter22 refused\n")
    reading = Reading(LogRules((f"{tmp_path}/*.log",), "error"), (), lambda text: text.replace("hunter22", "•••"))
    assert reading.look() == f'"{AT} ERROR login with ••• refused" in queue.log'
    assert reading.lines(()) == [f"{AT} ERROR login with ••• refused"]


def test_lines_bear_the_names_of_their_files_where_there_are_several_sources(tmp_path: Path) -> None:
    reading = Reading(LogRules((f"{tmp_path}/*.log",)), (), str)
    (tmp_path / "a.log").write_text("one\n")
    reading.look()
    assert (reading.lines(()), reading.lines(("said",))) == (["one"], ["said", "a.log | one"])
    (tmp_path / "b.log").write_text("two\n")
    reading.look()
    assert reading.lines(()) == ["a.log | one", "b.log | two"]
    (tmp_path / "b.log").write_text("".join(f"{number}\n" for number in range(100)))
    reading.look()
    assert len(reading.lines(())) == 20


def test_positions_travel_and_an_older_journal_has_none() -> None:
    position = FilePosition("/azaion/logs/queue.log", 5, 7, 12, "0" * 16)
    swapped = Swapped("queue", NEW, files=(position,))
    assert told([as_line(encoded(swapped))], Swapped) == [swapped]
    assert told([as_line({"event": "swapped", "service": "queue", "container": NEW})], Swapped)[0].files is None
    assert decode(Watch, {"settle": 1.0, "window": 2.0}, "watch").log == LogRules()
    assert decode(Watch, encode(Watch(log=LogRules(("/a/*.log",), "error"))), "watch").log.level == "error"
