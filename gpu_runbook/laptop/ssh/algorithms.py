"""The algorithms of one connection: which are offered, and what both sides have where they share none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paramiko import Message, Transport

from gpu_runbook.laptop.ssh.config import Hop
from gpu_runbook.laptop.ssh.host_keys import KnownKey, preferred, with_certificates
from gpu_runbook.protocol.foreign_text import MOST, quoted

_Transport: Any = Transport  # its type stubs leave out what a subclass has to know
SIDES = {  # what has to be shared: as the server lists it, as paramiko has ours, as ssh_config narrows it
    "key exchange": ("kex_algo_list", "preferred_kex", "KexAlgorithms"),
    "host key": ("server_key_algo_list", "preferred_keys", "HostKeyAlgorithms"),
    "cipher": ("server_encrypt_algo_list", "preferred_ciphers", "Ciphers"),
    "MAC": ("server_mac_algo_list", "preferred_macs", "MACs"),
    "compression": ("server_compress_algo_list", "preferred_compression", ""),
}
EXTENSIONS = ("ext-info-", "kex-strict-")  # in the list of key exchanges, and none


class Particular(_Transport):  # type: ignore[misc]
    """Wants the host keys that are known, and certificates where an authority is; heeds ssh_config's algorithms.

    `refusal` is what the server has said of the last channel that it did not open.
    """

    def __init__(self, sock: Any, settings: Hop, known: Sequence[KnownKey], **options: Any) -> None:
        super().__init__(sock, **options)
        self.refusal = ""
        self._theirs: dict[str, Sequence[str]] = {}
        algorithms = with_certificates(preferred(_Transport._preferred_keys, known), known)
        self._host_keys = _within(algorithms, settings.host_algorithms)
        self._preferred_pubkeys = _within(_Transport._preferred_pubkeys, settings.login_algorithms)
        self._preferred_kex = _within(_Transport._preferred_kex, settings.key_exchanges)
        self._preferred_ciphers = _within(_Transport._preferred_ciphers, settings.ciphers)
        self._preferred_macs = _within(_Transport._preferred_macs, settings.macs)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self._host_keys

    def _parse_kex_init(self, m: Message) -> None:
        self._theirs = self._really_parse_kex_init(Message(m.asbytes()))
        super()._parse_kex_init(m)

    def difference(self) -> tuple[str, str]:
        """What both sides have of the first thing of which they share nothing, and what helps."""
        for what, (key, ours, keyword) in SIDES.items():
            theirs = [name for name in self._theirs.get(key, ()) if not name.startswith(EXTENSIONS)]
            own = getattr(self, ours)
            if set(theirs) & set(own):
                continue
            has = f"as {what} it has {quoted(', '.join(theirs), MOST)}"
            if set(theirs) & set(getattr(_Transport, f"_{ours}")):
                mine = f"{keyword} of ssh_config leaves the laptop {', '.join(own) or 'none'}"
                return f"{has}, {mine}", f"correct {keyword} in ssh_config"
            hint = "let its sshd_config take one of the laptop's as well"
            return f"{has}, the laptop has {', '.join(own)}", hint
        return "of which it did not say", "the log of its sshd says why"

    def _parse_channel_open_failure(self, m: Message) -> None:
        """Keeps the server's own words, which paramiko leaves to its log."""
        told = Message(m.asbytes())
        told.get_int(), told.get_int()  # the channel and the code
        self.refusal = told.get_text()
        super()._parse_channel_open_failure(m)


def _within(algorithms: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in algorithms if not allowed or one in allowed)
