"""Fabric's own flags, through a real `fab`: what they mean for the session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.sshd import USER, Entry, Sshd

ROOT = Path(__file__).parents[2]
FABFILE = """\
from pathlib import Path
from invoke import task
from gpu_runbook.laptop.ssh.session import Session, host_from_context, options_from_context
from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.laptop.rpc.call import ask
from tests.wire.sshd import Entry

@task
def ping(context):
    options = options_from_context(context)
    entry = Entry("gpu-1", {port}, None, Path("{known}"))
    try:
        with Session(entry, options) as session:
            print(host_from_context(context), ask(session, "ping", {{}})["user"], options)
    except RunbookError as error:
        print(error.message, error.hint)
"""


@pytest.fixture
def fabfile(sshd: Sshd, tmp_path: Path) -> Path:
    """A folder with a fabfile whose one task opens a session with the flags of the command line."""
    (tmp_path / "fabfile.py").write_text(FABFILE.format(port=sshd.port, known=sshd.entry.known_hosts))
    return tmp_path


def fab(folder: Path, *flags: str, typed: str = "") -> str:
    """What `fab FLAGS ping` says, on both streams; without a terminal, so that prompts read standard input."""
    ran = subprocess.run(
        [sys.executable, "-m", "fabric", *flags, "ping"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        input=typed,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def test_the_identity_flag_names_the_key(fabfile: Path, gpu1: Entry) -> None:
    assert f"None {USER}" in fab(fabfile, "-i", str(gpu1.key))


def test_without_a_key_the_sentence_names_the_flag(fabfile: Path) -> None:
    assert "fab -i" in fab(fabfile)


def test_the_passphrase_prompt_opens_an_encrypted_key(fabfile: Path, sshd: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes((sshd.folder / "login").read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "swordfish", "-f", str(locked)], check=True, capture_output=True)
    assert "--prompt-for-passphrase" in fab(fabfile, "-i", str(locked))
    said = fab(fabfile, "-i", str(locked), "--prompt-for-passphrase", typed="swordfish\n")
    assert f"None {USER}" in said
    assert "swordfish" not in said


def test_the_password_prompt_is_tried_and_not_shown(fabfile: Path, tmp_path: Path) -> None:
    said = fab(fabfile, "--prompt-for-login-password", typed="swordfish\n")
    assert f"did not accept {USER}: tried the password" in said
    assert "swordfish" not in said


def test_the_ssh_config_flag_is_heeded(fabfile: Path, gpu1: Entry) -> None:
    (fabfile / "other_config").write_text(f"Host 127.0.0.1\n IdentityFile {gpu1.key}\n")
    assert f"None {USER}" in fab(fabfile, "-S", str(fabfile / "other_config"))


def test_the_hosts_flag_names_the_server_of_each_run(fabfile: Path, gpu1: Entry) -> None:
    said = fab(fabfile, "-i", str(gpu1.key), "-H", "gpu-1,gpu-2")
    assert [line.split()[:2] for line in said.splitlines()] == [["gpu-1", USER], ["gpu-2", USER]]


def test_the_connect_timeout_flag_is_heeded(fabfile: Path, gpu1: Entry) -> None:
    assert "connect_timeout=7" in fab(fabfile, "-i", str(gpu1.key), "-t", "7")
