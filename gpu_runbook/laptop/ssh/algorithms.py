"""The algorithms of one connection: which are offered, and what both sides have where they share none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paramiko import Message, Transport

from gpu_runbook.laptop.ssh.config import Hop
from gpu_runbook.laptop.ssh.host_keys import KnownKey, preferred, with_certificates
from gpu_runbook.protocol.foreign_text import quoted

_Transport: Any = Transport  # its type stubs leave out what a subclass has to know
SIDES = {  # what has to be shared: as the server lists it, and as paramiko has ours
    "key exchange": ("kex_algo_list", "preferred_kex"),
    "host key": ("server_key_algo_list", "preferred_keys"),
    "cipher": ("server_encrypt_algo_list", "preferred_ciphers"),
    "MAC": ("server_mac_algo_list", "preferred_macs"),
    "compression": ("server_compress_algo_list", "preferred_compression"),
}
EXTENSIONS = ("ext-info-", "kex-strict-")  # in the list of key exchanges, and none


class Particular(_Transport):  # type: ignore[misc]
    """Wants the host keys that are known, and certificates where an authority is; heeds ssh_config's algorithms."""

    def __init__(self, sock: Any, settings: Hop, known: Sequence[KnownKey], **options: Any) -> None:
        super().__init__(sock, **options)
        self._theirs: dict[str, Sequence[str]] = {}
        algorithms = with_certificates(preferred(_Transport._preferred_keys, known), known)
        self._host_keys = _within(algorithms, settings.host_algorithms)
        self._preferred_pubkeys = _within(_Transport._preferred_pubkeys, settings.login_algorithms)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self._host_keys

    def _parse_kex_init(self, m: Message) -> None:
        self._theirs = self._really_parse_kex_init(Message(m.asbytes()))
        super()._parse_kex_init(m)

    def difference(self) -> str:
        """What both sides have of the first thing of which they share nothing."""
        for what, (key, ours) in SIDES.items():
            theirs = [name for name in self._theirs.get(key, ()) if not name.startswith(EXTENSIONS)]
            own = getattr(self, ours)
            if not set(theirs) & set(own):
                mine = f"the laptop has {', '.join(own)}" if own else "HostKeyAlgorithms of ssh_config leaves none here"
                return f"as {what} it has {quoted(', '.join(theirs))}, {mine}"
        return "of which it did not say"


def _within(algorithms: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in algorithms if not allowed or one in allowed)
