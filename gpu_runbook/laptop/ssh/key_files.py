"""Files of keys, in every format that ssh reads; of one that it does not read, the line that converts it."""

from __future__ import annotations

import base64
import io
import re
import shlex
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from paramiko import ECDSAKey, Ed25519Key, Message, PKey, RSAKey

from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.protocol.values import dataclass

LARGEST = 1 << 20  # bytes of a file with a key
NEW = "make a new one: ssh-keygen -t ed25519"
OPENSSH = b"openssh-key-v1\0"


@dataclass(frozen=True)
class KeyFile:
    """What a file holds: the `public` key's blob where it is known, the `private` key where it can be used.

    Where it cannot, `problem` says why as the rest of a sentence about the file, and `remedy` what to do; `locked` is
    whether a passphrase is all that is missing, `mistyped` whether the one that was given does not open it.
    """

    public: bytes | None = None
    private: PKey | None = None
    problem: str = ""
    remedy: str = ""
    locked: bool = False
    mistyped: bool = False

    @property
    def may_serve(self) -> bool:
        """Whether it is a key at all, by itself, with its passphrase or by an agent."""
        return bool(self.public or self.private or self.locked or self.mistyped)


def read(path: Path, passphrase: Secret | None) -> KeyFile:
    """Raises OSError for a file that cannot be read."""
    with path.open("rb") as file:
        content = file.read(LARGEST)
    name = shlex.quote(str(path))
    public = public_blob(content)
    if public:
        return KeyFile(public, problem="is a public key", remedy="ssh-add its private half, or start its agent")
    if content.startswith(b"PuTTY-User-Key-File-"):
        convert = f"puttygen {name} -O private-openssh -o {shlex.quote(str(path.with_suffix('')) + '.openssh')}"
        return KeyFile(problem="is a key of PuTTY's", remedy=f"{convert}, and name that file")
    if content.startswith(b"---- BEGIN SSH2 "):
        return KeyFile(problem="is a key of ssh.com's", remedy=f"ssh-keygen -i -f {name} > NEW, and name that file")
    if content.startswith(b"SSH PRIVATE KEY FILE FORMAT 1.1"):
        return KeyFile(problem="is a key for SSH 1, which no server takes", remedy=NEW)
    half = _public_half(content)
    if b"BEGIN DSA PRIVATE KEY" in content or (half and Message(half).get_binary() == b"ssh-dss"):
        return KeyFile(problem="is a DSA key, which servers no longer take", remedy=NEW)
    return _private(content, half, name, passphrase.reveal().encode() if passphrase else None)


def public_in(path: Path) -> bytes:
    """The key, or the certificate, in a .pub file. Raises OSError, ValueError for a file that has none."""
    with path.open("rb") as file:
        blob = public_blob(file.read(LARGEST))
    if blob is None:
        raise ValueError("no public key")
    return blob


def public_blob(content: bytes) -> bytes | None:
    """The key, or the certificate, in a .pub file; None when it is none."""
    words = content.split(None, 2)[:2]
    if len(words) < 2:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        return None
    return blob if Message(blob).get_binary() == words[0] else None


def kind_of(blob: bytes) -> str:
    """The kind of a public key or a certificate, as its blob begins with."""
    return Message(blob).get_binary().decode("utf-8", "replace")


def _private(content: bytes, public: bytes | None, name: str, passphrase: bytes | None) -> KeyFile:
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in content
    load: Any = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    convert = f"ssh-keygen -p -f {name} writes it in a newer way"
    locked = _encrypted(content, openssh)
    try:
        # That an RSA key's numbers are primes is what ssh does not prove either: it takes 0.3 s.
        key = load(content, passphrase if locked else None, unsafe_skip_rsa_key_validation=True)
    except TypeError:  # a passphrase is missing
        return KeyFile(public, None, "is encrypted", f"ssh-add {name}, or fab --prompt-for-passphrase", locked=True)
    except UnsupportedAlgorithm:
        kind = Message(public).get_text() if public else ""
        if kind.startswith("sk-"):
            return KeyFile(public, None, "is of a security key", f"ssh-add {name}: an agent asks for the touch")
        return KeyFile(public, None, "is written in a way that is not read here", convert)
    except (ValueError, InvalidTag):
        if b"PRIVATE KEY" not in content:
            return KeyFile(
                problem="is no private key", remedy="name the file of a key; ssh-keygen -t ed25519 makes one"
            )
        if locked and passphrase:
            again = f"type it again; ssh-keygen -y -f {name} tries it"
            return KeyFile(public, None, "is not opened by the passphrase that was typed", again, mistyped=True)
        return KeyFile(None, None, "is damaged", f"ssh-keygen -y -f {name} says more")
    return _known(key, public)


def _known(key: Any, public: bytes | None) -> KeyFile:
    """The key as paramiko has it."""
    if isinstance(key, RSAPrivateKey):
        private: PKey = RSAKey(key=key)
    elif isinstance(key, EllipticCurvePrivateKey) and f"nistp{key.key_size}" in ("nistp256", "nistp384", "nistp521"):
        private = ECDSAKey(vals=(key, key.public_key()))
    elif isinstance(key, Ed25519PrivateKey):
        form = serialization.PrivateFormat.OpenSSH
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
        private = Ed25519Key.from_private_key(io.StringIO(text))
    else:
        return KeyFile(public, None, "is a key of a kind that SSH does not have", NEW)
    return KeyFile(private.asbytes(), private)


def _encrypted(content: bytes, openssh: bool) -> bool:
    if openssh:
        body = _body(content)
        return not body.startswith(OPENSSH + b"\0\0\0\x04none")
    return b"ENCRYPTED" in content


def _public_half(content: bytes) -> bytes | None:
    """The public key that a file in OpenSSH's format has unencrypted."""
    body = _body(content)
    if not body.startswith(OPENSSH):
        return None
    fields = Message(body[len(OPENSSH) :])
    for _ in range(3):
        fields.get_binary()  # the cipher, and how its key is made
    return fields.get_binary() if fields.get_int() == 1 else None


def _body(content: bytes) -> bytes:
    found = re.search(rb"-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END", content)
    try:
        return base64.b64decode(b"".join(found[1].split())) if found else b""
    except ValueError:
        return b""
