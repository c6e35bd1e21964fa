"""Keys, made without ssh-keygen."""

from __future__ import annotations

import io

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko import Ed25519Key


def text() -> str:
    """A new private key, as a file has it."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def ed25519() -> Ed25519Key:
    return Ed25519Key.from_private_key(io.StringIO(text()))
