"""What is said of a login that came to nothing: the nearest to being accepted first, and a hint that fits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.ssh.refused_login import Attempted, explained

LOCKED = (Path("/keys/gpu"),)
TYPED = "fab --prompt-for-login-password"


def said(**of: Any) -> tuple[str, str]:
    error = explained(Attempted(server="gpu-1", user="me", **of))
    assert error.exit_code == 11
    return error.message, error.hint


@pytest.mark.parametrize(
    ("of", "message", "hint"),
    [
        ({}, "gpu-1: there is no key to log in with as me", "name one as key: in hosts.yaml"),
        ({"empty": Path("/a")}, "gpu-1: there is no key to log in with as me; the agent /a holds none", "name one"),
        ({"skipped": (("x is none", ""),)}, "gpu-1: there is no key to log in with as me; x is none", "name one"),
        (
            {"skipped": (("x is none", ""), ("y is locked", "unlock y"))},
            "gpu-1: there is no key to log in with as me; x is none; y is locked",
            "unlock y",
        ),
        ({"tried": ("a", "b")}, "gpu-1 did not accept me: tried a, b", "put the public key into ~me/.ssh/"),
        ({"tried": ("a",), "empty": Path("/a")}, "gpu-1 did not accept me: tried a", "put the public key"),
        ({"tried": ("the password",)}, "gpu-1 did not accept me: tried the password", "is the password right?"),
        (
            {"tried": ("a",), "locked": LOCKED, "skipped": (("x is none", "do"),)},
            "gpu-1 did not accept me: tried a; /keys/gpu is encrypted "
            "(ssh-add /keys/gpu, or fab --prompt-for-passphrase); x is none",
            "put the public key",
        ),
        (
            {"locked": LOCKED, "skipped": (("x is none", "do"),)},
            "gpu-1: the key /keys/gpu is encrypted and no passphrase was given; x is none",
            "ssh-add /keys/gpu, or fab --prompt-for-passphrase",
        ),
        ({"tried": ("a",), "connected": False}, "gpu-1 hung up on me after 1 key: tried a", "its sshd's MaxAuthTries"),
        (
            {"tried": ("a", "b"), "connected": False},
            "gpu-1 hung up on me after 2 keys: tried a, b",
            "its sshd's MaxAuthTries",
        ),
        (
            {"unsigned": ("b, and the agent /a refused to sign",), "tried": ("a",), "locked": LOCKED},
            "gpu-1 would let me in with b, and the agent /a refused to sign",
            "unlock the agent",
        ),
        (
            {"accepted": "a", "takes": ("password",), "unsigned": ("b, and …",)},
            'gpu-1 accepted a of me and wants a second factor: "password"',
            TYPED,
        ),
        (
            {"accepted": "a", "takes": ("keyboard-interactive",)},
            'gpu-1 accepted a of me and wants a second factor: "keyboard-interactive"',
            f"if it is the password: {TYPED}; a code cannot be typed here",
        ),
        (
            {"accepted": "a", "takes": ("keyboard-interactive",), "password": True},
            'gpu-1 accepted a of me and wants a second factor: "keyboard-interactive"; the password that was typed is '
            "not what it wants",
            "a code cannot be typed here: let me in with a key alone",
        ),
        (
            {"accepted": "a", "takes": ("publickey", "hostbased"), "password": True},
            'gpu-1 accepted a of me and wants a second factor: "publickey or hostbased"',
            "a code cannot be typed here",
        ),
        (
            {"tried": ("a",), "takes": ("password",)},
            'gpu-1 takes no keys of me, it takes "password"; tried a',
            f"{TYPED}; or PubkeyAuthentication yes",
        ),
        (
            {"takes": ("gssapi-with-mic",)},
            'gpu-1 takes no keys of me, it takes "gssapi-with-mic"',
            "let me in with a key: PubkeyAuthentication yes",
        ),
        (
            {"tried": ("a", "the password"), "takes": ("password",), "password": True},
            'gpu-1 takes no keys of me, it takes "password"; tried a, the password',
            "let me in with a key",
        ),
    ],
)
def test_each_end_of_a_login_has_its_sentence_and_its_hint(of: dict[str, Any], message: str, hint: str) -> None:
    found = said(**of)
    assert found[0] == message
    assert found[1].startswith(hint)
