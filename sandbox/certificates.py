"""A CA of the sandbox's own, and the certificate that it gives the broker."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.roots import give_file

DAYS = 3650


def give(
    authority: Path, certificate: Path, key: Path, owner: int, name: str, days: tuple[int, int] = (-1, DAYS)
) -> None:
    """Write the certificate of the CA, one for a host of that name, and its key.

    `days`: from when on it is valid and until when, counted from now. An older one stays, as the broker has read it.
    """
    if key.exists():
        return
    signing, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _called("the sandbox's CA")
    root = _certificate(issuer, signing.public_key(), issuer, (-1, DAYS))
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(x509.KeyUsage(*(False,) * 5, True, True, False, False), critical=True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(signing.public_key()), critical=False)
    made = _certificate(_called(name), own.public_key(), issuer, days)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    made = made.add_extension(identifier, critical=False)
    pem = serialization.Encoding.PEM
    give_file(authority, root.sign(signing, hashes.SHA256()).public_bytes(pem))
    give_file(certificate, made.sign(signing, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    give_file(key, own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), owner, 0o600)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (now + datetime.timedelta(days=each) for each in days)
    return x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), begin, end)
