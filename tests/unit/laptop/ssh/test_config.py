"""How a destination is written, and what the values of ssh_config become."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.ssh import config
from gpu_runbook.laptop.ssh.config import Destination, Hop, Source, SshConfig, destination

USUAL = [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu-1", Destination("gpu-1")),
        ("me@gpu-1:2222", Destination("gpu-1", "me", 2222)),
        ("me@corp@gpu-1", Destination("gpu-1", "me@corp")),
        ("::1", Destination("::1")),
        ("me@[fe80::1%eth0]:2222", Destination("fe80::1%eth0", "me", 2222)),
        ("[::1]", Destination("::1")),
        ("ssh://me%40corp@gpu-1:22/", Destination("gpu-1", "me@corp", 22)),
    ],
)
def test_a_destination_is_read(text: str, expected: Destination) -> None:
    assert destination("gpu-1", text) == expected


@pytest.mark.parametrize(
    "text", ["-oProxyCommand=x", "me@-x", "", "me@", "gpu-1:ssh", "gpu-1:0", "gpu-1:65536", "[::1]:"]
)
def test_what_is_no_destination_is_named(text: str) -> None:
    with pytest.raises(BadInput, match=r"^gpu-1: ") as raised:
        destination("gpu-1", text)
    assert f'"{text}"' in raised.value.message


def settings(monkeypatch: pytest.MonkeyPatch, *lines: str, user: str | None = None) -> Hop:
    """What becomes of lines that ssh -G prints."""
    said: dict[str, list[str]] = {}
    for line in ("hostname gpu-1.lan", "user me", "port 2222", *lines):
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword, []).append(value)
    monkeypatch.setattr(config, "_ask", lambda *asked: said)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ssh")
    monkeypatch.setattr(config, "USUAL", ())
    return SshConfig(Source(usual=True)).of("gpu-1", Destination("gpu", user))


@pytest.mark.parametrize(
    ("line", "field", "expected"),
    [
        ("identityfile %d/%u-%r@%h:%p-%n-%%", "identities", ("{home}/{local}-me@gpu-1.lan:2222-gpu-%",)),
        ("identityfile ${FOLDER}/key", "identities", ("/keys/key",)),
        ("identityfile ~/.ssh/a key", "identities", ("{home}/.ssh/a key",)),
        ("identityfile none", "identities", ()),
        ("identityagent /a folder/agent.sock", "agent", "/a folder/agent.sock"),
        ("identityagent $AGENT", "agent", "/run/other"),
        ("identityagent SSH_AUTH_SOCK", "agent", "/run/usual"),
        ("identityagent none", "agent", None),
        ("addressfamily inet", "agent", "/run/usual"),
        ("proxycommand nc %h %p ${HOME} %%", "proxy", "nc gpu-1.lan 2222 ${HOME} %"),
        ("proxycommand none", "proxy", ""),
        ("proxyjump me@%n-bastion:22,second", "jumps", ("me@gpu-bastion:22", "second")),
        ("proxyjump none", "jumps", ()),
        ("userknownhostsfile /one /the second/one", "known_hosts", ("/one", "/the second/one")),
        ("userknownhostsfile none", "known_hosts", ()),
        ("hostkeyalias GPU", "alias", "gpu"),
        ("pubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512", "login_algorithms", ("ssh-ed25519", "rsa-sha2-512")),
    ],
)
def test_what_ssh_leaves_to_whoever_asks_is_expanded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, field: str, expected: object
) -> None:
    for variable, value in {"FOLDER": "/keys", "AGENT": "/run/other", "SSH_AUTH_SOCK": "/run/usual"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = getattr(settings(monkeypatch, line), field)
    local = pwd.getpwuid(os.getuid()).pw_name
    if isinstance(expected, tuple):
        found = tuple(map(str, found))
        expected = tuple(one.format(home=tmp_path, local=local) if "{" in one else one for one in expected)
    assert (str(found) if isinstance(found, Path) else found) == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("identityfile ${NOWHERE}/key", "which the environment does not have"),
        ("proxycommand nc %x", "which ssh does not know there"),
        ("identityfile ~nobody-at-all/key", "a home that nobody has"),
        ("proxyusefdpass yes", "ProxyUseFdpass"),
    ],
)
def test_what_cannot_be_expanded_or_done_is_named(monkeypatch: pytest.MonkeyPatch, line: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        settings(monkeypatch, line)


@pytest.mark.parametrize(("files", "named"), [(USUAL, False), (USUAL[:3], False), ([USUAL[0], "~/.ssh/gpu"], True)])
def test_the_usual_keys_are_not_named(monkeypatch: pytest.MonkeyPatch, files: list[str], named: bool) -> None:
    assert settings(monkeypatch, *(f"identityfile {file}" for file in files)).named is named
