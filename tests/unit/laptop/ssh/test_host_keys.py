"""Which lines of a known_hosts file speak of a server, and what is said of a key that they do not have."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from paramiko import Ed25519Key, SSHClient
from paramiko.pkey import PublicBlob

from gpu_runbook.laptop.errors import BadInput, CannotConnect
from gpu_runbook.laptop.ssh.host_keys import (
    KnownHosts,
    Trust,
    fingerprint,
    known_keys,
    known_name,
    preferred,
    with_certificates,
)
from tests.unit.laptop.ssh.keys import ed25519
from tests.unit.laptop.ssh.test_host_certificates import AUTHORITY, certificate

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIFg0lqzvBpnlqTRHa0DjLF9ynWSMnlVBOxbBPcFUJrHA"


@pytest.mark.parametrize(
    ("hosts", "name", "speaks"),
    [
        ("gpu-1.lan", "gpu-1.lan", True),
        ("gpu-1.lan,10.0.0.1", "10.0.0.1", True),
        ("gpu-1.lan", "[gpu-1.lan]:2222", False),
        ("[gpu-1.lan]:2222", "[gpu-1.lan]:2222", True),
        ("[gpu-1.lan]:2222", "g:2222", False),
        ("GPU-1.lan", "gpu-1.lan", True),
        ("*.lan", "gpu-1.lan", True),
        ("gpu-?.lan", "gpu-10.lan", False),
        ("*.lan,!gpu-1.lan", "gpu-1.lan", False),
        ("!gpu-1.lan,*.lan", "gpu-2.lan", True),
        ("# gpu-1.lan", "gpu-1.lan", False),
        ("@cert-authority *.lan", "gpu-1.lan", True),
        ("@surprise *.lan", "gpu-1.lan", False),
        ("|1|not base64|at all", "gpu-1.lan", False),
    ],
)
def test_a_line_speaks_of_a_server(tmp_path: Path, hosts: str, name: str, speaks: bool) -> None:
    (tmp_path / "known").write_text(f"{hosts} ssh-ed25519 {BLOB} comment\n")
    assert bool(known_keys([tmp_path / "known"], name)) is speaks


@pytest.mark.parametrize("line", ["", "gpu-1", "gpu-1 ssh-ed25519", "gpu-1 ssh-ed25519 b@d", "\0\xff\xfe"])
def test_a_line_that_is_none_is_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "known").write_bytes(f"{line}\ngpu-1 ssh-ed25519 {BLOB}\n".encode("latin-1"))
    assert [key.line for key in known_keys([tmp_path / "known"], "gpu-1")] == [2]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=str(tmp_path)):
        known_keys([tmp_path], "gpu-1")


def test_a_standard_port_is_not_part_of_the_name() -> None:
    assert (known_name("GPU-1", 22), known_name("GPU-1", 2222)) == ("gpu-1", "[gpu-1]:2222")


def test_algorithms_of_known_keys_come_first_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"gpu-1 ssh-rsa {BLOB}\n@revoked gpu-1 ecdsa-sha2-nistp256 {BLOB}\n")
    known = known_keys([tmp_path / "known"], "gpu-1")
    algorithms = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert preferred(algorithms, known) == ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519", "ecdsa-sha2-nistp256")


@pytest.mark.parametrize(("marker", "first"), [("@cert-authority ", True), ("@revoked ", False), ("", False)])
def test_certificates_come_first_where_an_authority_is_trusted(tmp_path: Path, marker: str, first: bool) -> None:
    (tmp_path / "known").write_text(f"{marker}gpu-1 ssh-rsa {BLOB}\n")
    known = known_keys([tmp_path / "known"], "gpu-1")
    certified = "ssh-ed25519-cert-v01@openssh.com"
    assert with_certificates(("ssh-ed25519",), known) == (
        (certified, "ssh-ed25519") if first else ("ssh-ed25519", certified)
    )
    assert preferred(("ssh-ed25519", "rsa-sha2-512"), known)[0] == ("ssh-ed25519" if marker else "rsa-sha2-512")


KEY = ed25519()


def refused(files: Sequence[Path], host: str = "gpu-1", port: int = 22, **trust: Any) -> CannotConnect:
    """What is said of the server's key."""
    known = KnownHosts("gpu-1", Trust(files=tuple(files), keeps=next(iter(files), None), **trust), host, port)
    with pytest.raises(CannotConnect) as raised:
        known.missing_host_key(SSHClient(), host, KEY)
    return raised.value


@pytest.mark.parametrize("before", [None, "", "other ssh-rsa AAAA\n", "other ssh-rsa AAAA", "no folder"])
def test_the_line_that_accepts_a_key_accepts_it_whatever_the_file_is_like(tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "a folder" / "known"
    if before != "no folder":
        file.parent.mkdir()
    if before not in (None, "no folder"):
        file.write_text(str(before))
    hint = refused([file]).hint
    assert hint.startswith("compare the fingerprint with the server's own (there, ssh-keygen -lf ")
    assert "/etc/ssh/ssh_host_ed25519_key.pub" in hint
    subprocess.run(["sh", "-c", hint.partition(": ")[2]], check=True)
    KnownHosts("gpu-1", Trust(files=(file,)), "gpu-1", 22).missing_host_key(SSHClient(), "gpu-1", KEY)


def test_where_no_file_keeps_a_key_one_has_to_be_named_first() -> None:
    hint = refused([]).hint
    named = "name a FILE as known_hosts: in hosts.yaml, as ssh_config has none that keeps it"
    assert f"{named}, then: echo 'gpu-1 ssh-ed25519 {KEY.get_base64()}' >> FILE" in hint


def test_what_would_let_ssh_take_it_is_said_to_count_for_nothing(tmp_path: Path) -> None:
    message = refused([tmp_path / "none"], unheeded=("this is not asked", "that counts for nothing")).message
    assert message.endswith("; this is not asked; that counts for nothing")


@pytest.mark.parametrize(
    ("lines", "line", "remove"),
    [
        ("gpu-1 ssh-rsa {other}\ngpu-1 ssh-ed25519 {other}\n", 2, "ssh-keygen -R gpu-1 -f "),
        ("gpu-1 ssh-rsa {other}\n", 1, "ssh-keygen -R gpu-1 -f "),
        ("gpu-? ssh-ed25519 {other}\n", 1, "take line 1 out of "),
        ("!x,gpu-1 ssh-ed25519 {other}\n", 1, "take line 1 out of "),
    ],
)
def test_a_key_that_has_changed_is_told_with_the_line_of_its_kind_and_what_takes_that_out(
    tmp_path: Path, lines: str, line: int, remove: str
) -> None:
    file = tmp_path / "known"
    file.write_text(lines.format(other=BLOB))
    error = refused([file])
    assert f"the host key has changed: gpu-1 shows ssh-ed25519 {fingerprint(KEY.asbytes())}" in error.message
    assert f"{file} line {line} has " in error.message
    assert error.hint.startswith(f"only if the server was reinstalled: {remove}")


def test_a_key_of_the_bare_name_counts_where_the_port_has_none_of_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "known"
    known = f"gpu-1 ssh-ed25519 {KEY.get_base64()}\n"
    file.write_text(known)
    KnownHosts("gpu-1", Trust(files=(file,)), "gpu-1", 2222).missing_host_key(SSHClient(), "gpu-1", KEY)
    file.write_text(known + f"[gpu-1]:2222 ssh-ed25519 {BLOB}\n")
    assert "the host key has changed: [gpu-1]:2222 shows" in refused([file], port=2222).message
    file.write_text(f"gpu-1 ssh-ed25519 {BLOB}\n")
    assert "the host key of [gpu-1]:2222 is not known" in refused([file], port=2222).message


@pytest.mark.parametrize("place", ["known_hosts", "known_hosts, of the bare name", "RevokedHostKeys"])
def test_a_key_that_is_revoked_is_refused_wherever_that_stands(tmp_path: Path, place: str) -> None:
    known, revoked = tmp_path / "known", tmp_path / "revoked"
    known.write_text(f"[gpu-1]:2222 ssh-ed25519 {KEY.get_base64()}\n")
    if place == "RevokedHostKeys":
        revoked.write_text(f"ssh-ed25519 {KEY.get_base64()} stolen\n")
    else:
        name = "gpu-1" if "bare" in place else "[gpu-1]:2222"
        known.write_text(f"{known.read_text()}@revoked {name} ssh-ed25519 {KEY.get_base64()}\n")
    error = refused([known], port=2222, revoked=revoked if revoked.exists() else None)
    file = f"{revoked}" if revoked.exists() else f"{known} line 2"
    assert error.message.endswith(f" is revoked in {file}")
    assert error.hint == "ask who has revoked it; the server needs another host key"


@pytest.mark.parametrize(
    ("content", "why"), [(b"SSHKRL\n\0", "is a key revocation list"), (None, "cannot be read: No such file")]
)
def test_revoked_keys_that_cannot_be_read_are_bad_input(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content:
        (tmp_path / "revoked").write_bytes(content)
    with pytest.raises(BadInput, match=why):
        KnownHosts("gpu-1", Trust(files=(), revoked=tmp_path / "revoked"), "gpu-1", 22)


@pytest.mark.parametrize("of", ["the key that is shown", "another key"])
def test_a_certificate_vouches_for_its_own_key_alone(tmp_path: Path, of: str) -> None:
    shown: Any = Ed25519Key(data=KEY.asbytes())
    blob = certificate(key=KEY if "shown" in of else ed25519())
    shown.public_blob = PublicBlob("ssh-ed25519-cert-v01@openssh.com", blob)
    (tmp_path / "known").write_text(f"@cert-authority * ssh-ed25519 {AUTHORITY.get_base64()}\n")
    known = KnownHosts("gpu-1", Trust(files=(tmp_path / "known",)), "gpu-1.lan", 22)
    if "shown" in of:
        known.missing_host_key(SSHClient(), "gpu-1.lan", shown)
    else:
        with pytest.raises(CannotConnect, match="trusts an authority, and the server shows no certificate"):
            known.missing_host_key(SSHClient(), "gpu-1.lan", shown)


def test_an_alias_is_the_name_whatever_the_port(tmp_path: Path) -> None:
    file = tmp_path / "known"
    file.write_text(f"the-gpu ssh-ed25519 {KEY.get_base64()}\n")
    trust = Trust(files=(file,), alias="the-gpu")
    KnownHosts("gpu-1", trust, "gpu-1", 2222).missing_host_key(SSHClient(), "gpu-1", KEY)
