"""Which keys are offered in which order, by what is named, what an agent holds, and what ssh_config says."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from paramiko import Ed25519Key

from gpu_runbook.laptop.ssh import identities
from gpu_runbook.laptop.ssh.agent import AgentFailure, AgentKey
from gpu_runbook.laptop.ssh.config import Hop
from gpu_runbook.laptop.ssh.identities import Credentials, Identities
from gpu_runbook.laptop.ssh.key_ring import KeyRing
from tests.unit.laptop.ssh.keys import text
from tests.unit.laptop.ssh.test_host_certificates import certificate
from tests.unit.laptop.ssh.test_key_files import written

AGENT = Path("/run/agent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """What the agent holds, each with its comment."""
    keys: list[tuple[str, bytes]] = []

    class Agent:
        def __init__(self, path: Path) -> None:
            assert path == AGENT

        def keys(self) -> Sequence[AgentKey]:
            agent: Any = self
            return [AgentKey(agent, blob, comment) for comment, blob in keys]

        def close(self) -> None: ...

    monkeypatch.setattr(identities, "Agent", Agent)
    return keys


def key(file: Path) -> Ed25519Key:
    """A new one in the file."""
    file.write_text(text())
    file.chmod(0o600)
    return Ed25519Key.from_private_key_file(str(file))


def public(file: Path, blob: bytes) -> Path:
    kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode()
    file.write_text(f"{kind} {base64.b64encode(blob).decode()} me\n")
    return file


def offered(*named: Path, **settings: Any) -> tuple[list[str], Identities]:
    """What the offers are called, and what was noted of the others."""
    hop = Hop("gpu-1", 22, "me", **{"agent": AGENT, **settings})
    found = Identities(Credentials(KeyRing(), named), hop)
    return [offer.label for offer in found.offers()], found


def test_what_ssh_config_names_comes_first_then_the_agent_s_then_the_usual(
    folder: Path, held: list[tuple[str, bytes]]
) -> None:
    mine, loaded = folder / "mine", folder / "loaded"
    key(mine)
    held.append(("loaded", key(loaded).asbytes()))
    assert offered(identities=(mine,), named=True)[0] == [str(mine), "loaded of the agent"]
    assert offered(identities=(mine,))[0] == ["loaded of the agent", str(mine)]


def test_a_key_that_is_named_keeps_the_agent_s_others_and_the_usual_away(
    folder: Path, held: list[tuple[str, bytes]]
) -> None:
    mine, usual = folder / "mine", folder / "usual"
    key(mine)
    key(usual)
    held.append(("loaded", key(folder / "loaded").asbytes()))
    assert offered(mine, identities=(usual,))[0] == [str(mine)]
    assert offered(mine, identities=(usual,), named=True)[0] == [str(mine), str(usual)]


def test_identities_only_leaves_of_the_agent_what_a_file_names(folder: Path, held: list[tuple[str, bytes]]) -> None:
    mine, loaded = folder / "mine", key(folder / "loaded")
    key(mine)
    held.append(("loaded", loaded.asbytes()))
    assert offered(identities=(mine,), identities_only=True)[0] == [str(mine)]
    half = public(folder / "half.pub", loaded.asbytes())
    assert offered(identities=(half,), named=True, identities_only=True)[0] == [f"{half} by the agent"]


def test_a_key_is_offered_once_wherever_it_is(folder: Path, held: list[tuple[str, bytes]]) -> None:
    mine, again = folder / "mine", folder / "again"
    held.append(("loaded", key(mine).asbytes()))
    again.write_bytes(mine.read_bytes())
    again.chmod(0o600)
    assert offered(identities=(mine, again), named=True)[0] == [str(mine)]


@pytest.mark.parametrize("agent", [AGENT, None])
def test_a_public_half_without_an_agent_that_has_the_other_is_noted(
    folder: Path, held: list[tuple[str, bytes]], agent: Path | None
) -> None:
    half = public(folder / "half.pub", key(folder / "elsewhere").asbytes())
    labels, found = offered(half, agent=agent)
    assert labels == []
    assert found.skipped == {
        f"{half} is a public key, and no agent has its private half": "ssh-add its private half, or start its agent"
    }
    assert found.empty == agent


@pytest.mark.parametrize(
    ("make", "named_by", "why", "remedy"),
    [
        (lambda file: None, "key: in hosts.yaml", "cannot be read: No such file or directory", "correct key: in"),
        (lambda file: None, "ssh_config", "cannot be read: No such file or directory", "correct IdentityFile in"),
        (lambda file: None, "nobody", "", ""),
        (Path.mkdir, "ssh_config", "cannot be read: Is a directory", "correct IdentityFile in ssh_config"),
        (Path.mkdir, "nobody", "cannot be read: Is a directory", ""),
        (lambda file: file.write_text("a poem"), "nobody", "is no private key", "name the file of a key"),
    ],
)
@pytest.mark.usefixtures("held")
def test_a_file_that_is_of_no_use_is_noted_unless_nobody_has_named_it_and_it_is_not_there(
    folder: Path, make: Callable[[Path], Any], named_by: str, why: str, remedy: str
) -> None:
    file = folder / "key"
    make(file)
    named = (file,) if "hosts" in named_by else ()
    labels, found = offered(*named, identities=(file,), named=named_by == "ssh_config")
    assert labels == []
    assert [*found.skipped] == ([f"{file} {why}"] if why else [])
    assert all(one.startswith(remedy) for one in found.skipped.values())


@pytest.mark.usefixtures("held")
def test_a_key_without_its_passphrase_is_kept_apart(folder: Path) -> None:
    written(folder / "key", "ecdsa", "PEM", locked=True)
    labels, found = offered(identities=(folder / "key",))
    assert (labels, found.locked, found.skipped) == ([], [folder / "key"], {})


@pytest.mark.usefixtures("held")
def test_what_ssh_config_does_not_let_sign_is_not_offered_and_noted(folder: Path) -> None:
    key(folder / "mine")
    labels, found = offered(folder / "mine", login_algorithms=("rsa-sha2-512",))
    assert labels == []
    assert [*found.skipped] == [f"PubkeyAcceptedAlgorithms of ssh_config leaves out {folder / 'mine'} (ssh-ed25519)"]
    assert offered(folder / "mine", login_algorithms=("ssh-ed25519",))[0] == [str(folder / "mine")]


@pytest.mark.parametrize("place", ["beside it", "CertificateFile"])
@pytest.mark.usefixtures("held")
def test_a_certificate_comes_before_its_key(folder: Path, place: str) -> None:
    mine = key(folder / "mine")
    file = folder / ("mine-cert.pub" if place == "beside it" else "elsewhere.pub")
    public(file, certificate(key=mine, type=1))
    labels, found = offered(folder / "mine", certificates=(file,) if place == "CertificateFile" else ())
    assert labels == [str(file), str(folder / "mine")]
    assert found.skipped == {}


@pytest.mark.parametrize(
    ("content", "named", "why"),
    [
        ("another key's", False, "is a certificate of another key"),
        ("another key's", True, ""),
        ("garbage", False, "is no certificate"),
        ("garbage", True, "is no certificate"),
        ("nothing", True, "is not there"),
        ("a folder", True, "cannot be read: Is a directory"),
    ],
)
@pytest.mark.usefixtures("held")
def test_a_certificate_that_is_none_for_it_leaves_the_key(folder: Path, content: str, named: bool, why: str) -> None:
    key(folder / "mine")
    file = folder / ("named.pub" if named else "mine-cert.pub")
    if content == "another key's":
        public(file, certificate(key=key(folder / "other"), type=1))
    elif content == "garbage":
        file.write_text("garbage")
    elif content == "a folder":
        file.mkdir()
    labels, found = offered(folder / "mine", certificates=(file,) if named else ())
    assert labels == [str(folder / "mine")]
    assert [*found.skipped] == ([f"{file} {why}"] if why else [])


def test_certificates_of_the_agent_are_offered_as_they_are_and_those_of_ssh_config_for_its_keys(
    folder: Path, held: list[tuple[str, bytes]]
) -> None:
    loaded = key(folder / "loaded")
    blob = certificate(key=loaded, type=1)
    held.append(("loaded", loaded.asbytes()))
    file = public(folder / "named.pub", blob)
    assert offered(certificates=(file,))[0] == [str(file), "loaded of the agent"]
    held.append(("signed", blob))
    assert offered()[0] == ["loaded of the agent", "signed of the agent"]
    half = public(folder / "half.pub", loaded.asbytes())
    assert offered(half)[0] == ["signed of the agent", f"{half} by the agent"]


def test_a_certificate_that_is_named_is_offered_with_the_agent_s_key_of_it(
    folder: Path, held: list[tuple[str, bytes]]
) -> None:
    loaded = key(folder / "loaded")
    held.append(("loaded", loaded.asbytes()))
    file = public(folder / "named.pub", certificate(key=loaded, type=1))
    assert offered(file)[0] == [str(file), f"{file} by the agent"]


@pytest.mark.usefixtures("held")
def test_keys_that_only_ssh_reads_are_noted() -> None:
    found = offered(pkcs11="/usr/lib/a card.so")[1]
    why = "the keys of PKCS11Provider /usr/lib/a card.so are not read here"
    assert found.skipped == {why: "ssh-add -s '/usr/lib/a card.so' gives them to the agent"}


def test_an_agent_that_does_not_list_is_noted_and_the_usual_keys_are_offered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise AgentFailure(f"the agent {path} cannot be reached: Connection refused")

    monkeypatch.setattr(identities, "Agent", refuse)
    key(folder / "mine")
    labels, found = offered(identities=(folder / "mine",))
    assert labels == [str(folder / "mine")]
    assert [*found.skipped] == ["the agent /run/agent cannot be reached: Connection refused"]
    assert found.empty is None
