"""Host keys, against a real sshd: what is refused, and that the command the hint names is the one that helps."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import CannotConnect
from gpu_runbook.laptop.ssh.session import Session
from tests.wire.sshd import Entry, Sshd, keygen, signed


def refusal(entry: Entry) -> CannotConnect:
    with Session(entry) as session, pytest.raises(CannotConnect) as raised:
        session.open()
    return raised.value


def follow(hint: str) -> None:
    """Do what the hint says after its colon."""
    subprocess.run(["sh", "-c", hint.partition(": ")[2]], check=True, capture_output=True)


def fingerprint(sshd: Sshd, kind: str) -> str:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(sshd.folder / f"host_{kind}.pub")], check=True, capture_output=True, text=True
    )
    return shown.stdout.split()[1]


def test_an_unknown_key_is_refused_with_its_fingerprint(sshd: Sshd, gpu1: Entry, tmp_path: Path) -> None:
    error = refusal(gpu1.but(known_hosts=tmp_path / "none"))
    assert error.message == (
        f"gpu-1: the host key of [127.0.0.1]:{sshd.port} is not known: ssh-ed25519 {fingerprint(sshd, 'ed25519')}"
    )


def test_the_command_that_accepts_an_unknown_key_accepts_it(gpu1: Entry, tmp_path: Path) -> None:
    entry = gpu1.but(known_hosts=tmp_path / "it's new")
    follow(refusal(entry).hint)
    with Session(entry) as session:
        session.open()


def test_without_a_file_of_its_own_a_server_is_looked_up_where_openssh_does(gpu1: Entry, home: Path) -> None:
    assert gpu1.known_hosts is not None
    (home / ".ssh" / "known_hosts").write_text(gpu1.known_hosts.read_text())
    with Session(gpu1.but(known_hosts=None)) as session:
        session.open()


def test_a_changed_key_is_refused_and_the_command_removes_the_old_one(sshd: Sshd, gpu1: Entry, tmp_path: Path) -> None:
    keygen(tmp_path / "other", "ed25519")
    known = tmp_path / "known_hosts"
    known.write_text(f"\n[127.0.0.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    error = refusal(gpu1.but(known_hosts=known))
    assert "the host key has changed" in error.message
    assert f"{known} line 2" in error.message
    assert fingerprint(sshd, "ed25519") in error.message
    assert "in between" in error.message
    follow(error.hint)
    assert "is not known" in refusal(gpu1.but(known_hosts=known)).message


def test_a_server_known_by_another_kind_of_key_is_asked_for_that_one(sshd: Sshd, gpu1: Entry, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key('rsa')}\n")
    with Session(gpu1.but(known_hosts=known)) as session:
        session.open()


def test_hashed_names_are_found(gpu1: Entry, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    assert gpu1.known_hosts is not None
    known.write_text(gpu1.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    with Session(gpu1.but(known_hosts=known)) as session:
        session.open()


def test_a_revoked_key_is_refused(gpu1: Entry, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    assert gpu1.known_hosts is not None
    known.write_text(gpu1.known_hosts.read_text() + "@revoked " + gpu1.known_hosts.read_text())
    assert f"revoked in {known} line 2" in refusal(gpu1.but(known_hosts=known)).message


def certified(folder: Path, *options: str) -> None:
    """A host certificate of an authority of its own, for 127.0.0.1."""
    keygen(folder / "ca", "ed25519")
    signed(folder / "ca", folder / "host_ed25519.pub", "-h", "-n", "127.0.0.1", *options)


@pytest.fixture(scope="module")
def vouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("vouched")
    server = Sshd(folder, f"HostCertificate {folder}/host_ed25519-cert.pub", certified)
    yield server
    server.stop()


@pytest.mark.parametrize("pattern", ["*", "127.0.0.?", "[127.0.0.1]:{port}"])
@pytest.mark.parametrize("more", ["", "[127.0.0.1]:{port} {other}\n"], ids=["alone", "beside an old key"])
def test_a_host_key_that_a_known_authority_has_signed_is_accepted(
    vouched: Sshd, tmp_path: Path, pattern: str, more: str
) -> None:
    keygen(tmp_path / "old", "rsa")
    known = tmp_path / "known_hosts"
    authority = (vouched.folder / "ca.pub").read_text()
    text = f"@cert-authority {pattern} {authority}{more}"
    known.write_text(text.format(port=vouched.port, other=(tmp_path / "old.pub").read_text()))
    with Session(vouched.entry.but(known_hosts=known)) as session:
        session.open()


def test_an_authority_that_is_not_the_right_one_or_revoked_vouches_for_nothing(vouched: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "other", "ed25519")
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {(tmp_path / 'other.pub').read_text()}")
    assert f"{known} line 1 trusts an authority other than" in refusal(vouched.entry.but(known_hosts=known)).message
    authority = (vouched.folder / "ca.pub").read_text()
    known.write_text(f"@cert-authority * {authority}@revoked * {authority}")
    assert f"is revoked in {known} line 2" in refusal(vouched.entry.but(known_hosts=known)).message
    known.write_text(f"@cert-authority elsewhere {authority}")
    assert "is not known" in refusal(vouched.entry.but(known_hosts=known)).message


def test_a_certificate_that_has_expired_is_told_and_its_key_counts_by_itself(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("expired")
    server = Sshd(
        folder, f"HostCertificate {folder}/host_ed25519-cert.pub", lambda it: certified(it, "-V", "20200101:20200102")
    )
    known = tmp_path / "known_hosts"
    authority = f"@cert-authority * {(folder / 'ca.pub').read_text()}"
    try:
        known.write_text(authority)
        assert "its certificate does not count: it has expired" in refusal(server.entry.but(known_hosts=known)).message
        known.write_text(authority + (folder / "known_hosts").read_text())
        with Session(server.entry.but(known_hosts=known)) as session:
            session.open()
    finally:
        server.stop()


def test_a_server_that_shares_no_algorithm_is_told_with_what_both_sides_have(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = Sshd(tmp_path_factory.mktemp("apart"), "Ciphers chacha20-poly1305@openssh.com")
    try:
        message = refusal(server.entry).message
    finally:
        server.stop()
    assert 'share no algorithm: as cipher it has "chacha20-poly1305@openssh.com", the laptop has aes128-ctr' in message


def test_nothing_is_offered_to_a_server_that_is_not_known(sshd: Sshd, gpu1: Entry, tmp_path: Path) -> None:
    before = sshd.log().count("Accepted publickey") + sshd.log().count("Failed publickey")
    refusal(gpu1.but(known_hosts=tmp_path / "none"))
    assert sshd.log().count("Accepted publickey") + sshd.log().count("Failed publickey") == before
