"""What makes a host certificate count, on certificates that are made here field by field."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from paramiko import ECDSAKey, Ed25519Key, Message, PKey, RSAKey

from gpu_runbook.laptop.ssh.host_certificates import FOR_EVER, FOR_HOSTS, objection, parsed
from tests.unit.laptop.ssh.keys import ed25519

NOW = int(time.time())
DAY = 86400
KEY = ed25519()
AUTHORITY = ed25519()


def certificate(key: PKey = KEY, authority: PKey = AUTHORITY, **but: Any) -> bytes:
    """The blob of a certificate that counts for gpu-1.lan, but for what is said."""
    fields = Message(key.asbytes())
    kind = fields.get_text()
    blob = Message()
    blob.add_string(f"{kind}-cert-v01@openssh.com")
    blob.add_string(b"nonce")
    blob.add_bytes(fields.get_remainder())
    blob.add_int64(7)
    blob.add_int(but.get("type", FOR_HOSTS))
    blob.add_string("a name")
    blob.add_string(packed(*but.get("principals", ["gpu-1.lan"])))
    blob.add_int64(but.get("after", NOW - DAY))
    blob.add_int64(but.get("before", NOW + DAY))
    blob.add_string(packed(*but.get("critical", [])))
    blob.add_string(b"")
    blob.add_string(b"")
    blob.add_string(but.get("shown", authority).asbytes())
    signature: Any = authority.sign_ssh_data(blob.asbytes())
    blob.add_string(signature.asbytes())
    return blob.asbytes()


def packed(*texts: str) -> bytes:
    message = Message()
    for text in texts:
        message.add_string(text)
    return message.asbytes()


def test_a_certificate_says_whose_key_it_is_and_who_signed_it() -> None:
    found = parsed(certificate())
    assert (found.kind, found.key, found.authority) == ("ssh-ed25519", KEY.asbytes(), AUTHORITY.asbytes())


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_it_counts_whatever_kind_of_key_it_is_for_and_by(kind: str) -> None:
    curve = ec.generate_private_key(ec.SECP384R1())
    other: PKey = (
        RSAKey(key=rsa.generate_private_key(65537, 2048))
        if kind == "rsa"
        else ECDSAKey(vals=(curve, curve.public_key()))
    )
    assert parsed(certificate(key=other)).key == other.asbytes()
    assert objection(parsed(certificate(key=other, authority=other)), "gpu-1.lan") == ""


@pytest.mark.parametrize(
    ("but", "why"),
    [
        ({}, ""),
        ({"principals": ["other", "*.lan"]}, ""),
        ({"principals": []}, ""),
        ({"before": FOR_EVER, "after": 0}, ""),
        ({"principals": ["*.other"]}, 'it is for "*.other" and not for gpu-1.lan'),
        ({"principals": ["gpu-[0-9].lan"]}, "and not for gpu-1.lan"),
        ({"type": 1}, "it is for users, and not for hosts"),
        ({"before": NOW - 1}, "it has expired on "),
        ({"after": NOW + DAY}, "it begins to hold on "),
        ({"after": FOR_EVER - 1}, "it begins to hold on second "),
        ({"critical": ["odd", ""]}, 'it has an option that nobody knows, "odd"'),
        ({"shown": KEY}, "its signature is not that of the authority"),
    ],
)
def test_what_is_objected_to(but: dict[str, Any], why: str) -> None:
    found = objection(parsed(certificate(**but)), "gpu-1.lan")
    assert why in found
    assert bool(why) is bool(found)


def test_an_authority_may_only_sign_in_ways_that_ssh_config_lets_it() -> None:
    assert "which ssh does not accept" in objection(parsed(certificate()), "gpu-1.lan", ("rsa-sha2-512",))


def test_an_authority_of_a_kind_that_is_not_verified_here_is_named() -> None:
    odd = Message()
    odd.add_string("sk-ssh-ed25519@openssh.com")
    said = objection(parsed(certificate(shown=SimpleNamespace(asbytes=odd.asbytes))), "gpu-1.lan")
    assert said == 'its authority is a key of the kind "sk-ssh-ed25519@openssh.com", which cannot be verified here'


def test_what_was_changed_after_the_signature_does_not_count() -> None:
    blob = certificate().replace(b"gpu-1.lan", b"gpu-2.lan")
    assert objection(parsed(blob), "gpu-2.lan") == "its signature is not that of the authority"


def test_what_is_none_or_ends_too_early_is_no_certificate() -> None:
    blob = certificate()
    for length in range(len(blob)):
        with pytest.raises(ValueError, match=r"no certificate|ends too early"):
            parsed(blob[:length])
    with pytest.raises(ValueError, match="no certificate"):
        parsed(KEY.asbytes())
    assert isinstance(KEY, Ed25519Key)
