"""Host keys that an authority has signed: what a certificate says, and whether it counts for a server.

The format is OpenSSH's PROTOCOL.certkeys; what counts is what ssh lets count.
"""

from __future__ import annotations

import fnmatch
import struct
import time
from collections.abc import Sequence

from paramiko import Message, PKey, SSHException
from paramiko.pkey import UnknownKeyType

from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

SUFFIX = "-cert-v01@openssh.com"
FOR_HOSTS = 2  # the type of a certificate for hosts; those for users have 1
FOR_EVER = (1 << 64) - 1
PUBLIC_FIELDS = {"ssh-ed25519": 1, "ssh-rsa": 2, "ssh-dss": 4}  # of a public key; those of ECDSA have 2
PLAIN = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
SECURITY_KEYS = {"sk-ssh-ed25519@openssh.com": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3}


@dataclass(frozen=True)
class Certificate:
    """`kind` and `key` are the plain key's; `authority` is the signer's public key. Times are seconds of the epoch."""

    kind: str
    key: bytes
    type: int
    name: str
    principals: tuple[str, ...]
    after: int
    before: int
    critical: tuple[str, ...]
    authority: bytes
    signed: bytes
    signature: bytes


def parsed(blob: bytes) -> Certificate:
    """The certificate in a public key's blob. Raises ValueError for anything else."""
    fields = _Fields(blob)
    full = fields.text()
    kind = full.removesuffix(SUFFIX)
    kind = f"{kind}@openssh.com" if kind.startswith("sk-") else kind
    if not full.endswith(SUFFIX):
        raise ValueError("no certificate")
    fields.string()  # the nonce
    count = SECURITY_KEYS.get(kind) or PUBLIC_FIELDS.get(kind, 2)
    key = b"".join(map(_packed, (kind.encode(), *(fields.string() for _ in range(count)))))
    fields.number(8)  # the serial
    kind_of_use, name = fields.number(4), fields.text()
    principals = tuple(one.decode("utf-8", "replace") for one in _Fields(fields.string()).strings())
    after, before = fields.number(8), fields.number(8)
    options = [*_Fields(fields.string()).strings()]
    fields.string()  # extensions: none are defined for hosts, and what is not known is passed over
    fields.string()  # reserved
    authority = fields.string()
    signed = fields.until_here()
    return Certificate(
        kind=kind,
        key=key,
        type=kind_of_use,
        name=name,
        principals=principals,
        after=after,
        before=before,
        critical=tuple(option.decode("utf-8", "replace") for option in options[::2]),
        authority=authority,
        signed=signed,
        signature=fields.string(),
    )


def objection(certificate: Certificate, host: str, algorithms: Sequence[str] = ()) -> str:
    """Why it does not count for a host, without a port; empty when it does. `algorithms` are the CA's, none for all."""
    now = time.time()
    if certificate.type != FOR_HOSTS:
        return "it is for users, and not for hosts"
    if now < certificate.after:
        return f"it begins to hold on {_day(certificate.after)}"
    if certificate.before != FOR_EVER and now >= certificate.before:
        return f"it has expired on {_day(certificate.before)}"
    if certificate.critical:
        return f"it has an option that nobody knows, {quoted(certificate.critical[0])}"
    if certificate.principals and not any(fnmatch.fnmatchcase(host, _pattern(one)) for one in certificate.principals):
        return f"it is for {quoted(', '.join(certificate.principals))} and not for {host}"
    return _forged(certificate, algorithms)


def _pattern(principal: str) -> str:
    return principal.replace("[", "[[]")  # only * and ? are patterns there


def _day(moment: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return f"second {moment}"


def _forged(certificate: Certificate, algorithms: Sequence[str]) -> str:
    """Why the authority is not known to have signed it; empty when it has."""
    try:
        kind = _Fields(certificate.authority).text()
        algorithm = _Fields(certificate.signature).text()
        if algorithms and algorithm not in algorithms:
            return f"it is signed with {quoted(algorithm)}, which ssh does not accept of an authority"
        if kind not in PLAIN:
            return f"its authority is a key of the kind {quoted(kind)}, which cannot be verified here"
        key: PKey = PKey.from_type_string(kind, certificate.authority)
        if key.verify_ssh_sig(certificate.signed, Message(certificate.signature)):
            return ""
    except (SSHException, UnknownKeyType, ValueError, TypeError):
        pass  # a key or a signature that is none
    return "its signature is not that of the authority"


def _packed(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


class _Fields:
    """Reads the fields of a blob one after the other. Raises ValueError beyond its end, where paramiko reads zeros."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    def _take(self, count: int) -> bytes:
        if count > len(self._blob) - self._at:
            raise ValueError("it ends too early")
        self._at += count
        return self._blob[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self._take(count), "big")

    def string(self) -> bytes:
        return self._take(self.number(4))

    def text(self) -> str:
        return self.string().decode("utf-8", "replace")

    def strings(self) -> Sequence[bytes]:
        """All that are left."""
        found = []
        while self._at < len(self._blob):
            found.append(self.string())
        return found

    def until_here(self) -> bytes:
        return self._blob[: self._at]
