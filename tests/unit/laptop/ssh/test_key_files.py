"""Files of keys in every format: what is read, and what is said of one that is not."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from paramiko import Message

from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.ssh import key_files
from gpu_runbook.laptop.ssh.key_files import KeyFile

KEYS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa": ec.generate_private_key(ec.SECP521R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
FORMATS = {
    "OpenSSH": PrivateFormat.OpenSSH,
    "PKCS8": PrivateFormat.PKCS8,
    "PEM": PrivateFormat.TraditionalOpenSSL,
}
WORD = b"swordfish"


def written(path: Path, kind: str, form: str, locked: bool) -> bytes:
    """The key is written to a file; its public half."""
    key = KEYS[kind]
    encryption = BestAvailableEncryption(WORD) if locked else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, FORMATS[form], encryption))
    public: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return key_files.public_blob(public) or b""


def read(path: Path, word: str | None = None) -> KeyFile:
    return key_files.read(path, Secret(word) if word else None)


@pytest.mark.parametrize(
    ("kind", "form"),
    [(kind, form) for kind in KEYS for form in FORMATS if (kind, form) != ("ed25519", "PEM")],
)
def test_a_key_is_read_in_every_format(tmp_path: Path, kind: str, form: str) -> None:
    public = written(tmp_path / "key", kind, form, locked=False)
    found = read(tmp_path / "key")
    assert (found.public, found.private and found.private.can_sign()) == (public, True)


@pytest.mark.parametrize("form", FORMATS)
def test_a_passphrase_opens_it_and_its_lack_is_said(tmp_path: Path, form: str) -> None:
    public = written(tmp_path / "key", "ecdsa", form, locked=True)
    assert read(tmp_path / "key", WORD.decode()).public == public
    shut = read(tmp_path / "key")
    assert (shut.private, shut.locked, shut.public) == (None, True, public if form == "OpenSSH" else None)
    assert shut.remedy.startswith("ssh-add ")
    wrong = read(tmp_path / "key", "haddock")
    assert (wrong.private, wrong.mistyped, wrong.may_serve) == (None, True, True)
    assert wrong.problem == "is not opened by the passphrase that was typed"


@pytest.mark.parametrize(
    ("content", "problem", "remedy"),
    [
        (b"PuTTY-User-Key-File-2: ssh-rsa\n", "is a key of PuTTY's", "puttygen "),
        (b"---- BEGIN SSH2 PUBLIC KEY ----\n", "is a key of ssh.com's", "ssh-keygen -i"),
        (b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0", "is a key for SSH 1, which no server takes", "make a new one"),
        (b"-----BEGIN DSA PRIVATE KEY-----\n", "is a DSA key, which servers no longer take", "make a new one"),
        (b"roses are red", "is no private key", "name the file of a key"),
        (b"", "is no private key", "name the file of a key"),
        (b"\xff\xfe\0\0", "is no private key", "name the file of a key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "is damaged", "ssh-keygen"),
    ],
)
def test_of_what_is_not_read_is_said_why_and_what_converts_it(
    tmp_path: Path, content: bytes, problem: str, remedy: str
) -> None:
    (tmp_path / "key").write_bytes(content)
    found = read(tmp_path / "key")
    assert (found.private, found.problem, found.may_serve) == (None, problem, False)
    assert remedy in found.remedy


def test_a_key_of_a_security_key_is_for_an_agent(tmp_path: Path) -> None:
    kind = "sk-ssh-ed25519@openssh.com"
    public, private, whole = Message(), Message(), Message()
    for part in (public, private):
        if part is private:
            part.add_int(7)
            part.add_int(7)
        part.add_string(kind)
        part.add_string(bytes(32))
        part.add_string("ssh:")
    private.add_byte(b"\x01")
    for text in (b"a handle", b"", b"a comment"):
        private.add_string(text)
    padded = private.asbytes() + bytes(range(1, 1 + -len(private.asbytes()) % 8))
    for name in ("none", "none", ""):
        whole.add_string(name)
    whole.add_int(1)
    whole.add_string(public.asbytes())
    whole.add_string(padded)
    body = base64.encodebytes(key_files.OPENSSH + whole.asbytes()).decode()
    (tmp_path / "key").write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}-----END OPENSSH PRIVATE KEY-----\n")
    found = read(tmp_path / "key")
    assert (found.public, found.private, found.may_serve) == (public.asbytes(), None, True)
    assert found.problem == "is of a security key"
    assert found.remedy == f"ssh-add {tmp_path / 'key'}: an agent asks for the touch"


def test_a_public_key_is_none_by_itself(tmp_path: Path) -> None:
    public = KEYS["rsa"].public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (tmp_path / "key.pub").write_bytes(public + b" a comment\n")
    found = read(tmp_path / "key.pub")
    assert (found.public, found.private) == (key_files.public_blob(public), None)
