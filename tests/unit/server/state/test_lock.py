"""The lock of a server: who holds it is known, and it lives as long as anything that may still change something."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import pytest

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Watching
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from tests.unit.broken_disk import Disk, every_write
from tests.unit.journals import begin

ANN = {"run": "20260420-101112-abcd", "action": "deploy", "who": "ann", "since": "2026-04-20T10:11:12.000Z"}
HOLD = """
import json, subprocess, sys
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.store import find_store
held = lock.acquire(find_store(sys.argv[1], sys.argv[1] + '/state'), json.loads(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)


def process(store: Store, then: str) -> subprocess.Popen[str]:
    """A process that takes the lock as Ann and does something then; it has said a line when this returns."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD + then, store.root, json.dumps(ANN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_free_lock_has_no_holder(store: Store) -> None:
    assert lock.holder(store) is None
    os.close(lock.acquire(store, ANN))
    assert lock.holder(store) is None


def test_whoever_comes_second_is_told_who_holds_it(store: Store) -> None:
    held = lock.acquire(store, ANN)
    assert lock.holder(store) == {**ANN, "up": ANY}
    with pytest.raises(Refusal) as caught:
        lock.acquire(store, {"who": "bob"})
    assert caught.value.message == (
        "ann holds the lock of this server since 2026-04-20T10:11:12.000Z: deploy 20260420-101112-abcd is at step begin"
    )
    assert caught.value.hint == "wait for it, or watch it: fab follow --run 20260420-101112-abcd"
    assert lock.holder(store) == {**ANN, "up": ANY}
    os.close(held)
    os.close(lock.acquire(store, {"who": "bob"}))


def test_the_step_that_the_holder_is_at_is_named(store: Store) -> None:
    held = lock.acquire(store, ANN)
    book = Journal(store.journal(ANN["run"]))
    book.write(begin(ANN["run"]))
    book.write(Watching("queue", 1.0, 2.0))
    with pytest.raises(Refusal, match="is at step watching"):
        lock.acquire(store, {"who": "bob"})
    book.close()
    os.close(held)


def test_a_holder_without_a_run_is_named_too(store: Store) -> None:
    held = lock.acquire(store, {"action": "recover", "who": "ann", "since": "2026-04-20T10:11:12.000Z"})
    with pytest.raises(Refusal) as caught:
        lock.acquire(store, {"who": "bob"})
    assert caught.value.message == "ann holds the lock of this server since 2026-04-20T10:11:12.000Z: recover"
    assert caught.value.hint == "wait for it"
    os.close(held)


def test_a_shorter_holder_leaves_nothing_of_the_one_before(store: Store) -> None:
    os.close(lock.acquire(store, ANN))
    held = lock.acquire(store, {"who": "b"})
    assert lock.holder(store) == {"who": "b", "up": ANY}
    os.close(held)


def test_a_holder_that_has_not_said_yet_who_it_is_holds_it_all_the_same(store: Store) -> None:
    held = lock.acquire(store, ANN)
    for text in ("", '{"who": "an', "[]", "\0\0"):
        Path(store.lock).write_text(text)
        assert lock.holder(store) == {}
        with pytest.raises(Refusal, match="somebody holds the lock of this server since just now"):
            lock.acquire(store, {})
    os.close(held)


def test_the_lock_ends_with_its_process_however_that_ends(store: Store) -> None:
    with process(store, "print('held', flush=True); input()") as holder:
        assert said(holder) == "held"
        assert lock.holder(store) == {**ANN, "up": ANY}
        holder.kill()
    assert lock.holder(store) is None


def test_a_child_that_changes_something_holds_the_lock_beyond_the_death_of_its_parent(store: Store) -> None:
    then = """
child = subprocess.Popen(["sleep", "60"], pass_fds=(held,), stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
input()
"""
    with process(store, then) as parent:
        child = int(said(parent))
        parent.kill()
    try:
        assert lock.holder(store) == {**ANN, "up": ANY}
        with pytest.raises(Refusal, match="ann holds the lock"):
            lock.acquire(store, {"who": "bob"})
    finally:
        os.kill(child, signal.SIGKILL)
    until_free(store)


def until_free(store: Store) -> None:
    """A killed child that is nobody's any more is gone in a moment; pytest's own timeout is the caller's patience."""
    for _ in range(10_000):
        if lock.holder(store) is None:
            return
        os.sched_yield()
    raise AssertionError("the lock outlived its last holder")


def test_a_child_that_only_looks_does_not_hold_the_lock(store: Store) -> None:
    then = """
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
input()
"""
    with process(store, then) as parent:
        child = int(said(parent))
        parent.kill()
    try:
        assert lock.holder(store) is None
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_full_disk_does_not_keep_anybody_from_the_lock(store: Store) -> None:
    then = "print(lock.holder(find_store(sys.argv[1], sys.argv[1] + '/state')), flush=True)"
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))"
    with subprocess.Popen(
        [sys.executable, "-c", full + HOLD + then, store.root, "{}"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert said(holder) == "{}"


def test_who_looks_for_the_holder_keeps_nobody_from_taking_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 30.0)
    program = """
import sys
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.store import find_store
print("looking", flush=True)
while lock.holder(find_store(sys.argv[1], sys.argv[1] + '/state')) is None:
    pass
"""
    with subprocess.Popen([sys.executable, "-c", program, store.root], stdout=subprocess.PIPE, text=True) as looker:
        assert said(looker) == "looking"
        for _ in range(20):
            os.close(lock.acquire(store, {}))
        looker.kill()


def test_on_a_disk_that_takes_nothing_the_lock_holds_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(lock.acquire(store, ANN))
    with monkeypatch.context() as patch:
        Disk(patch).fail(every_write, errno.EROFS)
        held = lock.acquire(store, ANN)
        with pytest.raises(lock.Held):
            lock.acquire(store, ANN)
    with pytest.raises(lock.Held):
        lock.acquire(store, ANN)
    os.close(held)
    os.close(lock.acquire(store, ANN))


def test_a_lock_that_cannot_be_had_is_not_said_to_be_held(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in ("new ", "open ", "flock "):
        with monkeypatch.context() as patch:

            def fails(number: int, name: str, writes: bool, call: str = call) -> bool:
                return name.startswith(call)

            Disk(patch).fail(fails, errno.EIO)
            if call == "new ":
                Path(store.lock).unlink(missing_ok=True)
            with pytest.raises(Refusal, match="lock cannot be opened: Input/output error; nothing was changed") as said:
                lock.acquire(store, ANN)
        assert not isinstance(said.value, lock.Held)
        os.close(lock.acquire(store, ANN))
