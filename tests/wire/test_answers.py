"""What is not the answer it should be. Scripts stand in for the interpreter where no real one would say such things."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import CannotConnect, Defect, RunbookError
from gpu_runbook.laptop.rpc.call import ask
from gpu_runbook.laptop.ssh.session import Session
from tests.wire.sshd import USER, Entry, Sshd

Saying = Callable[[str], Entry]
MEBIBYTE = "head -c 1048576 /dev/zero | tr '\\0' x"


@pytest.fixture
def saying(gpu1: Entry, tmp_path: Path) -> Saying:
    """The server with a shell script for a Python."""

    def make(script: str) -> Entry:
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return gpu1.but(python=str(file))

    return make


def failure(entry: Entry, padding: int = 0) -> RunbookError:
    with Session(entry) as session, pytest.raises(RunbookError) as raised:
        ask(session, "ping", {"padding": "x" * padding})
    return raised.value


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ('printf \'\\036{"answer": {"tru\'', "the answer was cut off"),
        ("printf '\\036{\"event\": {}}\\n'; kill -9 $$", "the answer was cut off (killed)"),
        ("printf '\\036nonsense\\n'", "a message is not JSON"),
        ('printf \'\\036{"answer": {"a": NaN}}\\n\'', "a message is not JSON"),
        ('printf \'\\036{"answer": {"a": 1e999}}\\n\'', "a message is not JSON"),
        ("printf '\\036'; yes '[' | head -n 100000 | tr -d '\\n'; echo", "a message is not JSON"),
        ("printf '\\036[]\\n'", "a message is of no known kind"),
        ("printf '\\036{\"answer\": 1}\\n'", "a message is of no known kind"),
        ("printf '\\036{\"order\": {}}\\n'", "a message is of no known kind"),
        ('printf \'\\036{"answer": {}, "event": {}}\\n\'', "a message is of no known kind"),
        ('printf \'\\036{"error": {"kind": "odd", "message": "", "hint": ""}}\\n\'', "of no known kind"),
        ('printf \'\\036{"error": {"kind": [], "message": "", "hint": ""}}\\n\'', "of no known kind"),
        (f"printf '\\036'; for i in 1 2 3 4 5 6; do {MEBIBYTE}; done", "a message is longer than 4 MiB"),
        ("yes", "the login shell prints more than 64 KiB"),
    ],
)
def test_an_answer_that_is_none_is_a_defect_that_names_the_server(saying: Saying, script: str, sentence: str) -> None:
    error = failure(saying(script))
    assert isinstance(error, Defect)
    assert error.message.startswith("gpu-1: ")
    assert sentence in error.message


def test_an_endless_answer_is_given_up(saying: Saying) -> None:
    error = failure(saying('while printf \'\\036{"event": {"x": "\'; do ' + MEBIBYTE + "; printf '\"}}\\n'; done"))
    assert error.message == "gpu-1: the answer is longer than 64 MiB"


def test_control_characters_do_not_come_through(saying: Saying) -> None:
    entry = saying("""printf '\\036{"answer": {"\\\\u001b]0;": ["a\\\\u001b[2J\\\\u202eb\\\\ud800", 1]}}\\n'""")
    with Session(entry) as session:
        assert ask(session, "ping", {}) == {"\ufffd]0;": ["a\ufffd[2J\ufffdb\ufffd", 1]}


def test_control_characters_in_an_error_do_not_come_through(saying: Saying) -> None:
    content = '{"kind": "refused", "message": "no\\\\u0007", "hint": "\\\\u009b"}'
    error = failure(saying(f"""printf '\\036{{"error": {content}}}\\n'"""))
    assert (error.message, error.hint) == ("gpu-1: no\ufffd", "\ufffd")


def test_what_a_login_shell_prints_before_is_no_harm(saying: Saying) -> None:
    with Session(saying('echo Welcome to gpu-1; echo and beware >&2; exec python3 "$@"')) as session:
        assert ask(session, "ping", {})["user"] == USER


def test_a_python_that_is_not_there_is_said(gpu1: Entry) -> None:
    error = failure(gpu1.but(python="python9"))
    assert isinstance(error, CannotConnect)
    assert error.message.startswith("gpu-1: python9 cannot be run")
    assert "python:" in error.hint


def test_a_request_that_nobody_waits_for_is_no_other_error(saying: Saying) -> None:
    error = failure(saying("sleep 0.3; exit 7"), padding=3 << 20)  # more than sshd takes before somebody reads
    assert error.message == "gpu-1: the login ended without an answer (exit status 7): it said nothing"


def test_a_python_2_is_said(saying: Saying) -> None:
    error = failure(saying("echo 'Unknown option: -I' >&2; echo 'usage: python [option] ...' >&2; exit 2"))
    assert error.message.endswith("is Python 2; 3.8 or newer is needed")


def test_a_login_that_may_run_nothing_is_said(gpu1: Entry) -> None:
    nologin = shutil.which("nologin", path="/usr/sbin:/sbin")
    assert nologin is not None
    error = failure(gpu1.but(python=nologin))
    assert isinstance(error, CannotConnect)
    assert error.message.startswith(f"gpu-1: the account {USER} may run no commands (")


def test_what_start_up_files_say_is_blamed_for_nothing(sshd_with_path: Callable[[str], Entry]) -> None:
    noise = "echo 'bash: line 3: conda: command not found' >&2"
    error = failure(sshd_with_path(f"{noise}; echo 'sudo: a password is required' >&2; exit 1").but(sudo=True))
    assert error.message == f'gpu-1: sudo refuses {USER} ("sudo: a password is required")'


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('ulimit -n 3; exec python3 "$@"', "the limits of"),
        ("echo '-bash: fork: retry: Resource temporarily unavailable' >&2; exit 254", "the limits of"),
        ("kill -9 $$", "was killed before it could answer"),
        ('ulimit -v 20000; exec python3 "$@"', "the login ended without an answer"),
    ],
)
def test_a_limit_of_the_login_is_said(saying: Saying, script: str, says: str) -> None:
    error = failure(saying(script))
    assert not isinstance(error, Defect)
    assert says in error.message and "ulimit -" in error.hint, error


def test_a_login_that_ends_without_a_word_is_said(saying: Saying) -> None:
    error = failure(saying("exit 7"))
    assert error.message == "gpu-1: the login ended without an answer (exit status 7): it said nothing"


@pytest.fixture
def sshd_with_path(tmp_path: Path) -> Iterator[Callable[[str], Entry]]:
    """An sshd whose sessions find nothing but a Python and, if it is given a script, a sudo of that script."""
    started: list[Sshd] = []

    def make(sudo: str) -> Entry:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "python3").symlink_to(sys.executable)
        if sudo:
            (programs / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
            (programs / "sudo").chmod(0o755)
        started.append(Sshd(tmp_path, f"SetEnv PATH={programs}"))
        return started[0].entry

    yield make
    started[0].stop()


def test_a_server_without_sudo_is_said(sshd_with_path: Callable[[str], Entry]) -> None:
    error = failure(sshd_with_path("").but(sudo=True))
    assert isinstance(error, CannotConnect)
    assert error.message == "gpu-1: sudo is not installed"


def test_a_sudo_that_wants_a_password_is_said(sshd_with_path: Callable[[str], Entry]) -> None:
    error = failure(sshd_with_path("echo 'sudo: a password is required' >&2; exit 1").but(sudo=True))
    assert isinstance(error, CannotConnect)
    assert error.message == f'gpu-1: sudo refuses {USER} ("sudo: a password is required")'
    assert "NOPASSWD" in error.hint
