"""Real parts for the tests of the wire: an sshd of their own, relays that misbehave, and a verb that does."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paramiko import Transport

from gpu_runbook.laptop.rpc import bundle
from gpu_runbook.laptop.ssh.session import Session
from tests.wire.relay import Relay
from tests.wire.sshd import Entry, Sshd, sshd_program, wait_until


@pytest.fixture(scope="session")
def sshd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if sshd_program() is None:
        request.getfixturevalue("sandbox")  # installs what this machine lacks
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def gpu1(sshd: Sshd) -> Entry:
    """The server as hosts.yaml would name it: reachable, known, and willing to take the login key."""
    return sshd.entry


@pytest.fixture
def session(gpu1: Entry) -> Iterator[Session]:
    with Session(gpu1) as opened:
        yield opened


@pytest.fixture
def relay(sshd: Sshd) -> Iterator[Callable[..., tuple[Relay, Entry]]]:
    """Makes a relay in front of the sshd, and the entry of the server as it is reached through it."""
    made: list[Relay] = []

    def make(limit: int | None = None) -> tuple[Relay, Entry]:
        made.append(Relay(sshd.port, limit))
        known = sshd.folder / f"known_hosts_{made[-1].port}"
        known.write_text(f"[127.0.0.1]:{made[-1].port} {sshd.host_key('ed25519')}\n")
        return made[-1], sshd.entry.but(port=made[-1].port, known_hosts=known)

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a verb that travels beside the real ones and does what its request says."""
    folder = tmp_path / "gpu_runbook"
    shutil.copytree(bundle.FOLDER, folder)
    shutil.copy(Path(__file__).parent / "verbs" / "probe.py", folder / "server/verbs")
    monkeypatch.setattr(bundle, "FOLDER", folder)
    return "probe"


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """After every test, whatever went wrong in it: no connection of the laptop's half is left."""
    yield
    wait_until(lambda: not any(isinstance(thread, Transport) for thread in threading.enumerate()), "all are closed", 5)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, so that the keys, agent and ssh_config of whoever runs the tests play no part."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder
