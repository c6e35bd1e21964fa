"""The journal of a run: what a cut leaves of it is still read, and whether its run lives is known."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import End, JournalEvent, Recovering, Swapping, Undoing, Unfinished, Unrecorded
from gpu_runbook.protocol.plan import ConsumerStep, Plan, Watch
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.server.docker.commands import StepFailed
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.run import follow as following
from gpu_runbook.server.run import process
from gpu_runbook.server.state import journal
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store, find_store
from tests.hostile.forms import RUN
from tests.unit.broken_disk import ERRORS, Disk, every_write
from tests.unit.journals import add, begin, left
from tests.unit.world import SWAP

DAY = "20260420-101112-000"
BEGIN, DONE = begin(RUN), End("done", "so it was")


def written(store: Store, *events: JournalEvent) -> Path:
    """The journal of a run that is over or was cut off."""
    return left(store, RUN, *events)


def events(path: Path) -> list[str]:
    return [line.word for line in journal.read(str(path))]


def test_a_journal_that_was_cut_anywhere_gives_all_its_whole_lines_and_takes_new_ones(store: Store) -> None:
    path = written(store, BEGIN, Swapping(SWAP), Undoing("größer\nals eine Zeile"))
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        before = events(path)
        assert before == ["begin", "swap", "undoing"][: len(before)]
        assert len(before) >= whole[:length].count(b"\n")
        written(store, Recovering(), DONE)
        assert events(path) == [*before, "recovering", "end"]


def test_zeros_and_rubbish_of_a_power_cut_are_left_out(store: Store) -> None:
    path = written(store, BEGIN)
    with path.open("ab") as file:
        file.write(b"\0" * 512 + b"\n\xff\xfe\n[1]\n{}\n" + b'{"event": 7}\n')
    assert events(path) == ["begin"]


def test_a_disk_that_takes_no_more_stops_nobody_and_is_told_of(store: Store) -> None:
    program = """
import resource, sys
from gpu_runbook.protocol.journal import Undoing
from gpu_runbook.server.state.journal import Journal
book = Journal(sys.argv[1])
noted = [book.write(Undoing("it is full"))]
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
for _ in range(3):
    noted.append(book.write(Undoing("x" * 100)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
noted.append(book.write(Undoing("it is not")))
print(*noted)
"""
    said = subprocess.run(
        [sys.executable, "-c", program, store.journal(RUN)], check=True, capture_output=True, text=True
    )
    assert said.stdout.split() == ["True", "False", "False", "False", "True"]
    assert events(Path(store.journal(RUN))) == ["undoing", "undoing"]
    assert len(Path(store.journal(RUN)).read_bytes().splitlines()) == 2, "what was torn is taken back"


def test_a_line_that_may_not_be_on_disk_is_taken_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise whoever cleans up after the run would take a swap for begun, and leave its config where it is."""
    book = Journal(store.journal(RUN))
    assert book.write(BEGIN)
    with monkeypatch.context() as patch:
        Disk(patch).fail(every_write, errno.EIO)
        assert not book.write(Swapping(SWAP))
    with monkeypatch.context() as patch:
        Disk(patch).fail(lambda number, name, writes: name.startswith("fsync "), errno.EIO)
        assert not book.write(Swapping(SWAP))
    assert book.why == "Input/output error"
    book.close()
    assert events(Path(store.journal(RUN))) == ["begin"]


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_that_cannot_be_written_down_is_refused_and_leaves_no_journal(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    said = f"no run can be written down in {store.runs}: {os.strerror(error)}; nothing was changed"
    for fails in (every_write, lambda number, name, writes: name.startswith("fsync ")):
        with monkeypatch.context() as patch:
            Disk(patch).fail(fails, error)
            with pytest.raises(Refusal) as refused:
                Journal(store.journal(RUN)).begin(BEGIN)
        assert (refused.value.message, refused.value.kind) == (said, "refused")
        assert not Path(store.journal(RUN)).exists()


def test_a_journal_lives_as_long_as_the_process_that_writes_it(store: Store) -> None:
    assert not journal.alive(store.journal(RUN))
    program = (
        "import sys; from gpu_runbook.protocol.journal import Recovering\n"
        "from gpu_runbook.server.state.journal import Journal\n"
        "book = Journal(sys.argv[1]); book.write(Recovering()); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program + "\n", store.journal(RUN)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        while not events(Path(store.journal(RUN))):
            assert writer.poll() is None
        assert journal.alive(store.journal(RUN))
        assert journal.state(store, RUN).state == "under-way"
        writer.kill()
    assert not journal.alive(store.journal(RUN))
    assert journal.state(store, RUN).state == "cut-off"


def test_the_journal_does_not_reach_the_programs_a_run_starts(store: Store) -> None:
    book = Journal(store.journal(RUN))
    with subprocess.Popen(
        ["sh", "-c", "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        book.close()
        assert not journal.alive(store.journal(RUN))


def test_the_state_of_a_run_is_what_its_journal_says(store: Store) -> None:
    path = written(store, BEGIN)
    begun = journal.state(store, RUN)
    assert (begun.state, begun.action, begun.who, begun.step) == ("cut-off", "deploy", "ann", "begin")
    written(store, End("done", "release 1 is in force"))
    ended = journal.state(store, RUN)
    assert (ended.state, ended.outcome, ended.sentence) == ("ended", "done", "release 1 is in force")
    assert ended.since == journal.read(str(path))[0].at


def test_an_end_that_does_not_fit_is_one_all_the_same(store: Store) -> None:
    """Otherwise the run would be taken for one that was cut off, and undone."""
    written(store, BEGIN)
    add(store, RUN, {"event": "end", "outcome": 7})
    ended = journal.state(store, RUN)
    assert (ended.state, ended.who, ended.outcome, ended.sentence) == ("ended", "ann", "", "")


def test_an_empty_journal_is_a_run_that_was_cut_off(store: Store) -> None:
    written(store)
    assert journal.state(store, RUN) == RunState(RUN, "cut-off")


def test_the_last_run_is_the_newest(store: Store) -> None:
    assert journal.last(store) is None
    for run in ("20260420-101112-ffff", "20260421-000000-0000"):
        Path(store.journal(run)).touch()
        Path(store.decision(run)).touch()
    last = journal.last(store)
    assert last is not None
    assert last.id == "20260421-000000-0000"


def test_a_run_that_was_cut_off_is_not_hidden_by_those_that_were_refused_because_of_it(store: Store) -> None:
    def run(name: str, outcome: str = "") -> None:
        left(store, name, begin(name), *([End(outcome, "so it was")] if outcome else []))

    def last() -> str:
        found = journal.last(store)
        return found.id if found else ""

    run(f"{DAY}1")
    run(f"{DAY}2", "refused")
    run(f"{DAY}3", "refused")
    assert last() == f"{DAY}1"
    run(f"{DAY}4", "done")
    run(f"{DAY}5", "refused")
    assert last() == f"{DAY}5"


def test_a_server_without_our_folder_has_had_no_run(tmp_path: Path) -> None:
    assert journal.last(find_store(str(tmp_path), f"{tmp_path}/state")) is None


def test_following_gives_every_line_and_the_end(store: Store) -> None:
    path = written(store, BEGIN, Swapping(SWAP))
    with path.open("ab") as file:
        file.write(b'{"torn": \n')
    written(store, DONE)
    heard: list[dict[str, Any]] = []
    answer = following.follow(store, RUN, heard.append)
    assert [event["line"]["event"] for event in heard] == ["begin", "swap", "end"]
    assert answer["end"]["outcome"] == "done"


def test_following_a_run_that_was_cut_off_ends_without_an_end(store: Store) -> None:
    path = written(store, BEGIN)
    with path.open("ab") as file:
        file.write(b'{"event": "end", "outcome": "do')
    assert following.follow(store, RUN, lambda event: None) == {"run": RUN, "end": None, "why": ""}


@pytest.mark.parametrize("last", [Unfinished("docker is away"), Unrecorded("docker is away")])
def test_following_a_run_that_has_no_end_says_why(store: Store, last: JournalEvent) -> None:
    written(store, BEGIN, Unfinished("it was Sunday"), last)
    assert following.follow(store, RUN, lambda event: None)["why"] == "docker is away"


def test_nobody_else_may_read_a_journal(store: Store) -> None:
    assert written(store, BEGIN).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("outcome", "kept"), [("refused", False), ("needs-person", True)])
def test_one_whose_end_cannot_be_written_is_left_to_be_finished_only_where_something_was_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch, outcome: str, kept: bool
) -> None:
    whole = Journal.write
    monkeypatch.setattr(Journal, "write", lambda self, event: event.word != End.word and whole(self, event))
    step = ConsumerStep("queue", "restart", "1", Watch(), container="a" * 64)
    plan = Plan(RUN, "restart", "gpu-1", store.root, RUN, "ann", "laptop", "0.1.0", (step,))
    end, engine = End(outcome, "so it was"), Engine("unix:///nowhere")
    process._live(plan, Secrets(), store, engine, lambda site: end, lambda said: None)
    assert Path(store.journal(RUN)).exists() == kept


def test_nor_is_one_taken_away_of_which_something_staged_may_be_left(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StepFailed("docker is away")

    whole = Journal.write
    monkeypatch.setattr(Journal, "write", lambda self, event: event.word != End.word and whole(self, event))
    monkeypatch.setattr(process, "unstage_all", away)
    plan = Plan(RUN, "deploy", "gpu-1", store.root, RUN, "ann", "laptop", "0.1.0")
    end, engine = End("refused", "no room"), Engine("unix:///nowhere")
    process._live(plan, Secrets(), store, engine, lambda site: end, lambda said: None)
    assert Path(store.journal(RUN)).exists()


def test_following_one_that_was_taken_away_says_that_nothing_was_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(store, BEGIN)

    def alive(_: str) -> bool:
        path.unlink()
        return False

    monkeypatch.setattr(journal, "alive", alive)
    with pytest.raises(Refusal, match=f"run {RUN} was refused, and why could not be written down; nothing was changed"):
        following.follow(store, RUN, lambda event: None)
