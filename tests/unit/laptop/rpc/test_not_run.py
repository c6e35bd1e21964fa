"""What is said where a login has run nothing: who has refused it, in whose words, and what helps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.rpc.call import _not_run

LOST = "sudo: unable to resolve host gpu-1: Name or service not known\n"


@pytest.mark.parametrize(
    ("sudo", "status", "said", "sentence", "hint"),
    [
        (
            True,
            1,
            "sudo: a password is required",
            'sudo refuses me ("sudo: a password is required")',
            "give the user NOPASS",
        ),
        (True, 1, LOST + "sudo: a password is required", 'sudo refuses me ("sudo: a password', "give the user NOPASS"),
        (True, 1, "sudo: sorry, you must have a tty to run sudo", "sudo refuses me", "say Defaults:me !requiretty"),
        (
            True,
            1,
            "Sorry, user me is not allowed to execute '/bin/x' as root on gpu-1.",
            "sudo refuses me",
            "give the user",
        ),
        (True, 1, "me is not in the sudoers file.", "sudo refuses me", "give the user NOPASSWD"),
        (True, 127, "bash: sudo: command not found", "sudo is not installed", "install it, or log in as root"),
        (
            False,
            1,
            "sudo: a line of ~/.bashrc",
            "the login ended without an answer (exit status 1)",
            "ssh there and run python3 -V",
        ),
        (
            False,
            1,
            "WARNING: Your password has expired.\nPassword change required but no TTY available.",
            'the password of me has expired ("WARNING: Your password has expired.")',
            "log in by hand and change it, or chage -M -1 me there",
        ),
        (False, 1, "This account is currently not available.", "the account me may run no commands", "give it a shell"),
        (
            False,
            1,
            "This service allows sftp connections only.",
            "the account me may run no commands",
            "give it a shell",
        ),
        (
            False,
            128,
            "fatal: Interactive git shell is not enabled.",
            "the account me may run no commands",
            "give it a sh",
        ),
        (False, 127, "bash: python3: command not found", "python3 cannot be run", "install python3 there"),
        (False, 2, "Unknown option: -I\nusage: python", "python3 is Python 2", "say python: in hosts.yaml"),
        (
            False,
            1,
            "",
            "the login ended without an answer (exit status 1): it said nothing",
            "run python3 -V there: a limit",
        ),
        (False, 1, "odd", 'the login ended without an answer (exit status 1): "odd"', "ssh there and run python3 -V"),
        (False, None, "", "python3 was killed before it could answer", ""),
    ],
)
def test_who_has_run_nothing_is_told_with_what_helps(
    sudo: bool, status: int | None, said: str, sentence: str, hint: str
) -> None:
    session: Any = SimpleNamespace(user="me", host=SimpleNamespace(name="gpu-1", python="python3", sudo=sudo))
    error = _not_run(session, status, said)
    assert error.message.startswith(f"gpu-1: {sentence}")
    assert error.hint.startswith(hint) and error.hint
