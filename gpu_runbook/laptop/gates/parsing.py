"""Takes apart what forges and scanners say, strictly: what is not as documented is named, and nothing is guessed."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.protocol.foreign_text import LONGEST, one_line

T = TypeVar("T")

_KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "a mapping", bool: "true or false"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


class Misshapen(ValueError):
    """A document is not what it should be; the text says which entry of it."""


class Unjudged(Exception):
    """There is nothing to judge by; the text is the whole sentence. `awaits` names what would change that."""

    def __init__(self, sentence: str, hint: str = "", awaits: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint
        self.awaits = awaits


def parse(raw: bytes) -> Any:
    """The value of a JSON text. Raises Misshapen."""
    if not raw.strip():
        raise Misshapen("it is empty")
    try:
        return json.loads(raw)
    except RecursionError:
        raise Misshapen("it is nested too deeply") from None
    except ValueError:  # what does not begin like JSON is something else; what does was cut off on its way
        begun = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
        raise Misshapen("it is cut off or damaged" if begun else "it is no JSON") from None


def entry(data: Any, key: str, kind: type[T], default: T | None = None) -> T:
    """An entry of a mapping. One that is missing or null is the default; without a default that is wrong too."""
    if not isinstance(data, dict):
        raise Misshapen(f"{key} was expected in a mapping")
    value = data.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not kind:
        raise Misshapen(f"{key} is not {_KINDS[kind]}" if key in data else f"{key} is missing")
    return value


def text(data: Any, key: str, default: str | None = None) -> str:
    """A text of a mapping in one line, fit to be shown."""
    return line(entry(data, key, str, default))


def texts(data: Any, key: str, name: str = "") -> list[str]:
    """The texts of a list, as they are; none where there is no list. `name`: what a person calls the list."""
    found = entry(data, key, list, [])
    if not all(isinstance(one, str) for one in found):
        raise Misshapen(f"{name or key} is not a list of texts")
    return found


def moment(data: Any, key: str, name: str = "") -> datetime | None:
    """A time of RFC 3339 of a mapping, in UTC, to the second; None where none stands. `name`: as of `texts`."""
    written = text(data, key, "")
    if not written:
        return None
    found = _TIME.fullmatch(written)
    if found is None:
        raise Misshapen(f"{name or key} is no time")
    try:
        offset = timedelta(hours=int(found[3] or 0), minutes=int(found[4] or 0)) * (-1 if found[2] == "-" else 1)
        return datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc) - offset
    except (ValueError, OverflowError):
        raise Misshapen(f"{name or key} is no time") from None


def line(written: str) -> str:
    """A text of others in one line of bounded length, without what could steer a terminal."""
    return one_line(written, LONGEST)


def few(words: list[str], most: int = 5, width: int = 60) -> str:
    """The first of many words: `a, b, c and 4 more`."""
    shown = ", ".join(printable(word, width) for word in words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
