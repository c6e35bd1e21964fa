"""A real sshd on loopback, started as whoever runs the tests, with keys and a known_hosts file of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

USER = pwd.getpwuid(os.geteuid()).pw_name
CONFIG = """\
{more}
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_ed25519
HostKey {folder}/host_rsa
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Entry:
    """What a session wants to know of a server, as hosts.yaml would say it."""

    name: str
    port: int | None
    key: Path | None
    known_hosts: Path | None
    address: str = "127.0.0.1"
    user: str | None = USER
    gateway: str | None = None
    sudo: bool = False
    python: str = "python3"
    connect_timeout: float = 3.0

    def but(self, **changes: Any) -> Entry:
        return replace(self, **changes)


def sshd_program() -> str | None:
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


class Sshd:
    """One sshd in its folder. `entry` is how to reach it; `log()` is what it says.

    `prepare` makes in the folder, where the keys are already, what `more` lines of its configuration name.
    """

    def __init__(self, folder: Path, more: str = "", prepare: Callable[[Path], None] = lambda folder: None) -> None:
        self.folder = folder
        self.port = free_port()
        for kind in ("ed25519", "rsa"):
            keygen(folder / f"host_{kind}", kind)
        keygen(folder / "login", "ed25519")
        shutil.copy(folder / "login.pub", folder / "authorized_keys")
        prepare(folder)
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {self.host_key('ed25519')}\n")
        (folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=folder, more=more))
        self.entry = Entry("gpu-1", self.port, folder / "login", folder / "known_hosts")
        self._log = (folder / "log").open("wb")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation wants an empty folder there
        program = sshd_program()
        assert program is not None, "these tests need an sshd (Debian: openssh-server)"
        self._process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=self._log)
        wait_until(lambda: accepts(self.port), "sshd listens")

    def host_key(self, kind: str) -> str:
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


def keygen(file: Path, kind: str, passphrase: str = "") -> None:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "a test", "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def signed(authority: Path, key: Path, *options: str) -> Path:
    """The certificate of a public key, beside it, as ssh-keygen makes it."""
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "a test", *options, str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return key.with_name(f"{key.stem}-cert.pub")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_until(question: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < until, f"after {seconds:g} s still not: {what}"
        time.sleep(0.02)
