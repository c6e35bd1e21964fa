"""Which lines of a known_hosts file speak of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.ssh.host_keys import known_keys, known_name, preferred, with_certificates

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
