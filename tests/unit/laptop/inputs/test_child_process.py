"""A function that runs apart: its answer or its error comes back, and what it does beyond its bounds harms nobody."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import child_process


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "INTERRUPTED_AFTER", 0.5)
    monkeypatch.setattr(child_process, "KILLED_AFTER", 2.0)


def refuse() -> str:
    raise BadInput("a sentence", "a hint")


def deaf() -> str:
    """Takes time, and hears of nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        time.sleep(1)


def patient() -> str:
    """Takes time, and says that it was interrupted."""
    try:
        while True:
            time.sleep(1)
    except child_process.TooLong:
        raise BadInput("too long") from None


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def outcome(work: Callable[[], object]) -> str:
    """How something went, in a child that dies of nothing."""
    try:
        work()
    except OSError as error:
        return type(error).__name__
    return "done"


def test_answers_and_errors_come_back_in_order_whatever_they_are_made_of() -> None:
    texts = ["", "\n\r\0", "é☃\ud800", "x" * 3_000_000]
    first, second, *rest = child_process.each([lambda: "a", refuse, *(lambda text=text: text for text in texts)])
    assert first == "a" and isinstance(second, BadInput)
    assert (second.message, second.hint) == ("a sentence", "a hint")
    assert rest == texts


def test_what_takes_too_long_is_interrupted_and_what_does_not_hear_of_it_is_killed() -> None:
    late, fine, killed = child_process.each([patient, lambda: "fine", deaf])
    assert isinstance(late, BadInput) and late.message == "too long"
    assert (fine, killed) == ("fine", None)


@pytest.mark.parametrize(
    "death",
    [
        lambda: "x" * (1 << 32),
        lambda: os._exit(3),
        lambda: os.kill(os.getpid(), signal.SIGSEGV),
        lambda: [][0],
        lambda: 10 ** (10**9),
    ],
)
def test_what_dies_or_fails_gives_no_answer_and_those_before_it_did(death: Callable[[], str]) -> None:
    assert child_process.each([lambda: "before", death, lambda: "after"]) == ["before", None]


@pytest.mark.parametrize("written", [b"no JSON\n", b"1\n", b'["a"]\n', b'["a", 1]\n', b"{}\n", b"[" * 10_000 + b"\n"])
def test_what_somebody_else_writes_into_the_pipe_is_no_answer(written: bytes) -> None:
    def escaped() -> str:
        for descriptor in range(1 << 10):
            with contextlib.suppress(OSError):
                os.write(descriptor, written)
        return "x"

    assert child_process.each([escaped, lambda: "after"]) == [None]


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "LONGEST", 1 << 20)
    assert child_process.each([lambda: "x" * (4 << 20)]) == [None]


def test_whoever_gets_out_of_a_template_can_open_start_and_say_nothing(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("x")
    tries: list[Callable[[], object]] = [
        there.read_text,
        lambda: (tmp_path / "new").write_text("x"),
        socket.socket,
        lambda: subprocess.run(["true"]),
        *(functools.partial(os.fstat, stream) for stream in range(3)),
    ]
    done = child_process.each([functools.partial(outcome, work) for work in tries])
    assert done == ["OSError"] * len(tries)
    assert [*tmp_path.iterdir()] == [there]


def test_nothing_is_left_of_it_and_ctrl_c_is_heard_as_before() -> None:
    opened, had = len([*Path("/proc/self/fd").iterdir()]), children()
    before = signal.getsignal(signal.SIGINT)
    child_process.each([deaf])
    assert children() == had
    assert len([*Path("/proc/self/fd").iterdir()]) == opened
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_ctrl_c_reaches_the_child_by_its_parent_alone() -> None:
    def pressed() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "heard nothing"

    assert child_process.each([pressed]) == ["heard nothing"]


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C means something, which it does not where the shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "KILLED_AFTER", 60.0)

    def pressed() -> str:
        os.kill(os.getppid(), signal.SIGINT)
        return deaf()

    had = children()
    with pytest.raises(KeyboardInterrupt):
        child_process.each([pressed])
    assert children() == had


@pytest.fixture
def another() -> Iterator[threading.Thread]:
    """A thread that may take a signal in the place of the one that would rather not."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield thread
    over.set()
    thread.join()


@pytest.mark.usefixtures("heard")
def test_ctrl_c_while_it_is_made_leaves_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, another: threading.Thread
) -> None:
    forked = child_process._forked

    def pressed() -> int:
        child = forked()
        if child:
            signal.pthread_kill(another.ident or 0, signal.SIGINT)
            time.sleep(0.01)  # it comes at the next step of this thread, and not before somebody listens
        return child

    monkeypatch.setattr(child_process, "_forked", pressed)
    opened, had = len([*Path("/proc/self/fd").iterdir()]), children()
    with pytest.raises(KeyboardInterrupt):
        child_process.each([deaf])
    assert (len([*Path("/proc/self/fd").iterdir()]), children()) == (opened, had)
