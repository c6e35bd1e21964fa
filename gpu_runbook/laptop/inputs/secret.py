"""A text that nobody sees by accident: it prints as dots wherever it ends up."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import NoReturn
from urllib.parse import quote, quote_plus, unquote

from gpu_runbook.protocol.foreign_text import LONGEST, one_line

DOTS = "•••"
LONG_ENOUGH = 6  # characters: a shorter text is in too many others to be recognised by it

# A password may hold what it should not; but in http://git.lan:80/a@b there is none.
_LOGIN = r"[a-z][a-z0-9+.-]*://(?P<user>[^\s:/?#@]*):(?!\d{1,5}(/|$))(?P<password>\S+%s)@"
_LOGINS = [re.compile(_LOGIN % end, re.IGNORECASE) for end in ("?", "")]  # up to the first @, and up to the last


class Secret:
    """Wraps a text; only `reveal()` gives it back. Equal by value; refuses to be pickled or copied into JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that hands it on."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return DOTS

    def __format__(self, spec: str) -> str:
        return format(DOTS, spec)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied; hand on the Secret itself, or reveal() it on purpose")


def spellings(secrets: Iterable[Secret]) -> tuple[str, ...]:
    """The texts by which secrets are recognised in the words of others: as they are and as programs write them.

    The password in a URL is one of its own, and so is user:password. Longest first, so that none is left half covered;
    nothing of a secret that is shorter than LONG_ENOUGH.
    """
    texts = {text for secret in secrets for text in (secret.reveal(), *logins(secret.reveal()))}
    found = {form for text in texts for form in _forms(text) if len(form) >= LONG_ENOUGH}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def logins(text: str) -> Iterator[str]:
    """Of every scheme://user:password@ in a text: the password, and user:password; encoded as there, and decoded."""
    for match in (match for pattern in _LOGINS for match in pattern.finditer(text)):
        for user, password in (match.group("user", "password"), map(unquote, match.group("user", "password"))):
            yield from (password, f"{user}:{password}")


def masked(text: str, hidden: Iterable[str]) -> str:
    """The text with dots for everything that is to be hidden."""
    for form in hidden:
        text = text.replace(form, DOTS)
    return text


def _forms(text: str) -> Iterator[str]:
    """Plain, quoted by a program or for a shell, in a URL, in base64, in one of our sentences.

    A log has the lines of a text one by one.
    """
    if len(text) < LONG_ENOUGH:
        return
    for part in {text, *text.splitlines()}:
        yield from (part, repr(part)[1:-1], shlex.quote(part), quote(part), quote(part, safe=""), quote_plus(part))
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], one_line(part, LONGEST))
    for before in range(3):  # what stands before it in the same base64, as in user:password, moves its beginning
        raw = base64.b64encode(b"-" * before + text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
        inner = raw[before and before + 1 : -1]  # less the digits that hold a part of what stands around it
        yield from (inner, inner.replace("+", "-").replace("/", "_"))
