"""Which algorithms a connection offers by what ssh_config says, and what is said where two sides share none."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paramiko import Message

from gpu_runbook.laptop.ssh.algorithms import Particular
from gpu_runbook.laptop.ssh.config import Hop
from gpu_runbook.laptop.ssh.host_keys import KnownKey

CERTIFIED = "ssh-ed25519-cert-v01@openssh.com"


@contextmanager
def transport(known: Sequence[KnownKey] = (), **settings: Any) -> Iterator[Any]:
    """A connection to nobody."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Particular(ours, Hop("gpu-1", 22, "me", **settings), known)


@pytest.mark.parametrize(
    ("field", "preference", "names"),
    [
        ("login_algorithms", "preferred_pubkeys", ("rsa-sha2-256",)),
        ("key_exchanges", "preferred_kex", ("ecdh-sha2-nistp384",)),
        ("ciphers", "preferred_ciphers", ("aes256-ctr",)),
        ("macs", "preferred_macs", ("hmac-sha2-512",)),
        ("host_algorithms", "preferred_keys", ("rsa-sha2-512", CERTIFIED)),
    ],
)
def test_what_ssh_config_leaves_is_offered_and_everything_where_it_says_nothing(
    field: str, preference: str, names: tuple[str, ...]
) -> None:
    narrow: dict[str, Any] = {field: (*names, "unheard-of")}
    with transport() as everything, transport(**narrow) as narrowed:
        assert set(getattr(narrowed, preference)) == set(names)
        assert set(names) < set(getattr(everything, preference))


def test_the_kinds_of_known_keys_come_first_and_certificates_where_an_authority_is_known() -> None:
    known = KnownKey("ssh-rsa", "AAAA", Path("known"), 1, revoked=False)
    vouching = KnownKey("ssh-ed25519", "AAAA", Path("known"), 2, revoked=False, authority=True)
    with transport([known]) as plain, transport([known, vouching]) as certified:
        assert plain.preferred_keys[0] == "rsa-sha2-512"
        assert certified.preferred_keys[0] == "rsa-sha2-512-cert-v01@openssh.com"


SHARED = {
    "kex_algo_list": ["ext-info-s", "kex-strict-s-v00@openssh.com", "ecdh-sha2-nistp256"],
    "server_key_algo_list": ["ssh-ed25519"],
    "server_encrypt_algo_list": ["aes128-ctr"],
    "server_mac_algo_list": ["hmac-sha2-256"],
    "server_compress_algo_list": ["none"],
}


@pytest.mark.parametrize(
    ("theirs", "settings", "sentence", "hint"),
    [
        (
            {"kex_algo_list": ["ext-info-s", "odd"]},
            {"key_exchanges": ("ecdh-sha2-nistp256", "ext-info-c")},
            'as key exchange it has "odd", the laptop has ecdh-sha2-nistp256',
            "let its sshd_config take one of the laptop's as well",
        ),
        (
            {},
            {"key_exchanges": ("ecdh-sha2-nistp384",)},
            'as key exchange it has "ecdh-sha2-nistp256", '
            "KexAlgorithms of ssh_config leaves the laptop ecdh-sha2-nistp384",
            "correct KexAlgorithms in ssh_config",
        ),
        (
            {},
            {"host_algorithms": ("unheard-of",)},
            'as host key it has "ssh-ed25519", HostKeyAlgorithms of ssh_config leaves the laptop none',
            "correct HostKeyAlgorithms in ssh_config",
        ),
        (
            {"server_encrypt_algo_list": ["chacha20", "rot13"]},
            {"ciphers": ("aes128-ctr",)},
            'as cipher it has "chacha20, rot13", the laptop has aes128-ctr',
            "let its sshd_config take one of the laptop's as well",
        ),
        (
            {},
            {"macs": ("hmac-sha2-512",)},
            'as MAC it has "hmac-sha2-256", MACs of ssh_config leaves the laptop hmac-sha2-512',
            "correct MACs in ssh_config",
        ),
        ({}, {}, "of which it did not say", "the log of its sshd says why"),
    ],
)
def test_the_first_of_which_nothing_is_shared_is_told_with_what_both_have_and_whose_it_is_to_mend(
    theirs: dict[str, list[str]], settings: dict[str, Any], sentence: str, hint: str
) -> None:
    with transport(**settings) as apart:
        apart._theirs = {**SHARED, **theirs}
        assert apart.difference() == (sentence, hint)


def test_the_words_of_a_server_that_opens_no_channel_are_kept() -> None:
    message = Message()
    message.add_int(7)
    message.add_int(2)
    message.add_string("No route to host")
    message.add_string("")
    message.rewind()
    with transport() as refused:
        refused._parse_channel_open_failure(message)
        assert refused.refusal == "No route to host"
