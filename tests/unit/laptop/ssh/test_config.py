"""How a destination is written, and what the values of ssh_config become."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.ssh import config, config_file
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
        ("userknownhostsfile /dev/null /one", "keeps", "/one"),
        ("userknownhostsfile /dev/null", "keeps", None),
        ("globalknownhostsfile /etc/all", "keeps", None),
        ("globalknownhostsfile /etc/all", "known_hosts", ("/etc/all",)),
        ("hostkeyalias GPU", "alias", "gpu"),
        ("pubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512", "login_algorithms", ("ssh-ed25519", "rsa-sha2-512")),
        ("pubkeyacceptedkeytypes ssh-ed25519", "login_algorithms", ("ssh-ed25519",)),
        ("hostkeyalgorithms ssh-ed25519", "host_algorithms", ("ssh-ed25519",)),
        ("casignaturealgorithms ssh-ed25519", "authority_algorithms", ("ssh-ed25519",)),
        ("kexalgorithms curve25519-sha256", "key_exchanges", ("curve25519-sha256",)),
        ("ciphers aes256-ctr", "ciphers", ("aes256-ctr",)),
        ("macs hmac-sha2-512", "macs", ("hmac-sha2-512",)),
        ("stricthostkeychecking false", "lenient", "no"),
        ("stricthostkeychecking accept-new", "lenient", "accept-new"),
        ("stricthostkeychecking true", "lenient", ""),
        ("stricthostkeychecking ask", "lenient", ""),
        ("verifyhostkeydns true", "by_dns", True),
        ("verifyhostkeydns ask", "by_dns", False),
        ("bindaddress 10.0.0.9", "bind", "10.0.0.9"),
        ("pkcs11provider /usr/lib/opensc.so", "pkcs11", "/usr/lib/opensc.so"),
        ("identitiesonly yes", "identities_only", True),
        ("identitiesonly no", "identities_only", False),
        ("certificatefile %d/a-cert.pub", "certificates", ("{home}/a-cert.pub",)),
        ("revokedhostkeys /etc/revoked", "revoked", "/etc/revoked"),
        ("knownhostscommand /bin/known %h", "known_hosts_command", "/bin/known %h"),
        ("addressfamily inet6", "family", "inet6"),
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
        ("identityagent ~nobody-at-all/agent", "a home that nobody has"),
        ("certificatefile %x", "which ssh does not know there"),
    ],
)
def test_what_cannot_be_expanded_or_done_is_named(monkeypatch: pytest.MonkeyPatch, line: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        settings(monkeypatch, line)


def test_the_name_of_a_host_is_in_lower_case_as_in_known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_ask", lambda *asked: {"hostname": ["GPU-1.LAN"]})
    monkeypatch.setattr(config, "USUAL", ())
    assert SshConfig().of("gpu-1", Destination("gpu")).host == "gpu-1.lan"


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        (Source(Path("own")), ["-F", str(Path("own").absolute())]),
        (Source(usual=False), ["-F", "none"]),
        (Source(), []),
    ],
    ids=["a file of one's own", "no file", "the usual files"],
)
def test_ssh_reads_the_files_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, source: Source, flags: list[str]
) -> None:
    monkeypatch.setattr(config, "_home", Path.home)
    with config._files_for(source) as (found, _):
        assert [*found] == flags


@pytest.mark.parametrize("ssh", [True, False])
def test_a_usual_file_that_cannot_be_read_is_named_and_one_that_is_not_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ssh: bool
) -> None:
    monkeypatch.setattr(config, "_ask", lambda *asked: {})
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ssh" if ssh else None)
    monkeypatch.setattr(config, "USUAL", (str(tmp_path / "config"),))
    assert SshConfig().of("gpu-1", Destination("gpu")).host == "gpu"
    (tmp_path / "config").mkdir()
    with pytest.raises(BadInput) as raised:
        SshConfig().of("gpu-1", Destination("gpu"))
    assert raised.value.message == f"the ssh_config {tmp_path / 'config'} cannot be read: Is a directory"
    assert raised.value.hint == "make it readable for you"


def test_known_hosts_in_the_home_of_etc_passwd_are_those_of_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ssh -G` expands ~ by the one, everything else on a laptop by the other."""
    there = config._home() / ".ssh"
    monkeypatch.setenv("HOME", str(tmp_path))
    found = settings(monkeypatch, f"userknownhostsfile {there}/known_hosts {there}/known_hosts2 {there}/others")
    assert found.known_hosts == (tmp_path / ".ssh/known_hosts", tmp_path / ".ssh/known_hosts2", there / "others")


@pytest.mark.parametrize("second", ["a file that is included", "the system's file"])
def test_without_ssh_a_block_ends_with_its_file(tmp_path: Path, second: str) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("Host other\n User nobody\n")
    outer.write_text(f"Include {inner}\nUser me\n" if "included" in second else "User me\n")
    files = [outer] if "included" in second else [inner, outer]
    assert config_file.lookup(files, "gpu", None, None)["user"] == ["me"]
    assert config_file.lookup(files, "other", None, None)["user"] == ["nobody"]


def test_a_value_is_named_with_the_line_where_it_stands_also_in_a_file_that_is_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    outer.write_text(f"# ${{NOWHERE}}/key\nInclude {tmp_path}/nothing* {inner} {outer}\n")
    inner.write_text("Host gpu\n IdentityFile ${NOWHERE}/key\n")
    monkeypatch.setattr(config, "_ask", lambda *asked: {"identityfile": ["${NOWHERE}/key"]})
    with pytest.raises(BadInput) as raised:
        SshConfig(Source(outer)).of("gpu-1", Destination("gpu"))
    assert raised.value.message.startswith(f'gpu-1: {inner} line 2 says "${{NOWHERE}}/key", with "${{NOWHERE}}"')
    assert raised.value.hint.endswith("ssh -G gpu")


@pytest.mark.parametrize(("files", "named"), [(USUAL, False), (USUAL[:3], False), ([USUAL[0], "~/.ssh/gpu"], True)])
def test_the_usual_keys_are_not_named(monkeypatch: pytest.MonkeyPatch, files: list[str], named: bool) -> None:
    assert settings(monkeypatch, *(f"identityfile {file}" for file in files)).named is named
