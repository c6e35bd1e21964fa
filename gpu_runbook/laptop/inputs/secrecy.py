"""Says of each variable of .env what it is: a secret to be refused where docker shows it, one to be covered, or none.

By its name, by what hosts.yaml uses it for, by a password inside a URL; any other value is covered where somebody else
says it, unless its use or its shape makes it harmless. `public:` in hosts.yaml takes back what a name or a shape says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from gpu_runbook.laptop.inputs.secret import Secret, logins
from gpu_runbook.laptop.inventory.entries import Consumer
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.inventory.model import Inventory

REGISTRY_PASSWORD = "REGISTRY_PASSWORD"  # noqa: S105 (a name, not a password)

REFUSED, COVERED, PLAIN = "refused", "covered", "plain"

_NAMES = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL|DSN")

_SEPARATORS = re.compile(r"://|@(?=[^@]*\.)|[-_./:,+~]")
_LOGIN = re.compile(r"[^/:]+:([A-Za-z]|\d{6})[^/]*")  # user:password, and neither host:port nor a time
_SIMPLE = re.compile(r"\d+[A-Za-z%]{0,3}|[a-z]{1,20}|[A-Z]{1,12}|[A-Z][a-z]{1,19}")  # a number, or a word
# A mixture is short, as v2, rc1 and 20T10 are; among others a word with a number; in a path a name in small letters.
_SHORT = r"(?=.{1,5}\Z)(?:(?:[a-z]+|[A-Z]+)\d+|\d+(?:[a-z]+|[A-Z]+)\d*)"
_AMONG_OTHERS, _IN_A_PATH = r"[a-z]{1,20}\d{1,3}[a-z]?", "[a-z0-9]{1,16}"
_MOST_MIXTURES = 2  # a key may be written in groups


@dataclass(frozen=True)
class Uses:
    """What hosts.yaml says of variables and values. `words` stand in it themselves, and so are no secrets."""

    secret: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    public: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


def uses(inventory: Inventory) -> Uses:
    """Passwords, tokens and addresses of channels; and what names hosts, ports, users, streams and registries."""
    registry = inventory.registry
    streams = [one.stream for one in inventory.services.values() if isinstance(one, Consumer) and one.stream]
    secret = {*inventory.schedule.variables, *(stream.password_variable for stream in streams)}
    secret |= {REGISTRY_PASSWORD} if registry and registry.username else set()
    secret |= {inventory.ci.token_variable} if inventory.ci else set()
    named = ((stream.host_variable, stream.port_variable, stream.user_variable) for stream in streams)
    return Uses(
        secret=frozenset(secret),
        harmless=frozenset(chain.from_iterable(named)),
        public=frozenset(inventory.public),
        words=frozenset(word for word in _words(inventory) if word),
    )


def _words(inventory: Inventory) -> Iterator[str | None]:
    for host in inventory.hosts.values():
        yield from (host.name, host.address, host.user)
    for service in inventory.services.values():
        if isinstance(service, Consumer) and service.stream:
            yield from (service.stream.name, service.stream.vhost)
    for alert in inventory.schedule.alerts.values():
        yield from (alert.host, alert.user, alert.sender)
    if inventory.registry:
        yield from (inventory.registry.server, inventory.registry.username)


def judge(name: str, value: str, uses: Uses) -> str:
    """REFUSED in `environment:` and `command:` and covered everywhere, COVERED in the words of others alone, or PLAIN.

    Whether it is long enough to be recognised is not asked here.
    """
    if name in uses.secret or any(logins(value)):
        return REFUSED
    if name in uses.public:
        return PLAIN
    if _NAMES.search(name.upper()):
        return REFUSED
    return PLAIN if name in uses.harmless or value in uses.words or is_plain(value) else COVERED


def covered(values: Mapping[str, Secret], uses: Uses) -> list[Secret]:
    """Those of the values that nobody is to see."""
    return [value for name, value in values.items() if judge(name, value.reveal(), uses) != PLAIN]


def is_plain(value: str) -> bool:
    """Whether a value is a number, a path, a URL without a login, or a word, or several of these without blanks."""
    parts = [part for part in _SEPARATORS.split(value) if part]
    mixtures = [part for part in parts if not _SIMPLE.fullmatch(part)]
    is_path = value.startswith(("/", "~/", "./", "../"))
    shapes = [_SHORT, *([_AMONG_OTHERS] if len(parts) > 1 else []), *([_IN_A_PATH] if is_path else [])]
    if _LOGIN.fullmatch(value) or (len(mixtures) > _MOST_MIXTURES and not is_path):
        return False
    return all(re.fullmatch("|".join(shapes), part) for part in mixtures)
