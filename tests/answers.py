"""Whether a JSON answer is of the type that docs/json.md says; `python -m tests.answers` keeps what is promised.

It adds to tests/data/json-N.json what the answers of contract N have by now, and takes nothing away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from docs.answers import (
    BY_COMMAND,
    FAILED,
    FAILED_SETUP,
    FOLLOWED,
    SECTIONS,
    SETUP_ERROR,
    Section,
    places,
    places_of_a_failure,
)
from docs.shapes import Entry, Shape, alternatives, entries, inner, is_kept, shape_of
from gpu_runbook.laptop.answers.contract import SCHEMA, FailedRun
from gpu_runbook.protocol.forms import Form

KEPT = Path(__file__).parent / f"data/json-{SCHEMA}.json"
FAILURE = "a command that failed"


def misfits(words: tuple[str, ...], out: str, status: int = 0) -> list[str]:
    """What is not as it should be in the stdout of `fab WORDS… --json`, ended with that status: a sentence a place."""
    section = _section(words)
    if FOLLOWED in section.commands:
        lines = [json.loads(line) for line in out.split("\n")[:-1]]
        return [said for line in lines for said in _document(section, line, "error" in line)]
    if not out:
        return [f"there is no document, at exit status {status}"]
    answer = json.loads(out)
    return list(_document(section, answer, "error" in answer))


def _section(words: tuple[str, ...]) -> Section:
    """What the first of the words answers that is a command, with its flag where that makes another answer."""
    command = next(word for word in words if word in BY_COMMAND)
    flags = [f"{command} {word.partition('=')[0]}" for word in words]
    return BY_COMMAND[next((name for name in flags if name in BY_COMMAND), command)]


def _document(section: Section, answer: Any, failed: bool) -> Iterator[str]:
    first = next(iter(answer), None)
    if (first, answer.get("schema")) != ("schema", SCHEMA):
        yield f"schema: its first field is {first}, and not the number {SCHEMA}"
        return
    rest = {name: value for name, value in answer.items() if name != "schema"}
    if failed:
        kinds = (*alternatives(_of_a_server(section)), FAILED_SETUP if "setup" in section.commands else FAILED)
        own = _fields(SETUP_ERROR) if "setup" in section.commands else _fields(FailedRun)
        yield from _keys({"servers", "error"}, rest, "the document")
        yield from _object(own, rest.get("error", {}), "error")
        for at, one in enumerate(rest.get("servers", ())):
            yield from _one_of(kinds, one, f"servers[{at}]")
    elif section.whole:
        fields = {name: entry for name, entry in _fields(section.kind).items() if name != "schema"}
        yield from _object(fields, rest, "the document")
    else:
        yield from _keys({"servers"}, rest, "the document")
        for at, one in enumerate(rest.get("servers", ())):
            yield from _one_of(alternatives(section.kind), one, f"servers[{at}]")


def _of_a_server(section: Section) -> Any:
    """What stands in `servers`."""
    if not section.whole or len(alternatives(section.kind)) > 1:
        return section.kind
    listed = _fields(section.kind).get("servers")
    element = inner(listed.kind) if listed else None
    return element[1] if element else section.kind


def _keys(wanted: set[str], found: dict[str, Any], at: str) -> Iterator[str]:
    if set(found) != wanted:
        yield f"{at}: its fields are {', '.join(found)}"


def _fields(kind: Any) -> dict[str, Entry]:
    shape = shape_of(kind)
    assert shape
    return {entry.name: entry for entry in entries(shape)}


def wrong(kind: Any, value: Any, at: str, slim: bool = False) -> Iterator[str]:
    """A sentence for each place of a value that is not of a type."""
    shape, element = shape_of(kind, slim), inner(kind)
    if len(alternatives(kind)) > 1:
        yield from _one_of(alternatives(kind), value, at, slim)
    elif shape:
        yield from _object({entry.name: entry for entry in entries(shape)}, value, at, shape)
    elif element:
        if not isinstance(value, list if element[0] == "[]" else dict):
            yield f"{at}: {_shown(value)}"
            return
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from wrong(element[1], one, f"{at}[{name!r}]", slim)
    elif not _is(kind, value):
        yield f"{at}: {_shown(value)}"


def _one_of(kinds: tuple[Any, ...], value: Any, at: str, slim: bool = False) -> Iterator[str]:
    """What is wrong with a value by the type that it is nearest to."""
    yield from min((list(wrong(kind, value, at, slim)) for kind in kinds), key=len)


def _object(fields: dict[str, Entry], value: Any, at: str, shape: Shape | None = None) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at}: {_shown(value)}"
        return
    yield from (f"{at}.{name}: missing" for name, entry in fields.items() if entry.needed and name not in value)
    yield from (f"{at}.{name}: not on its page" for name in value if name not in fields)
    for name, entry in fields.items():
        if name in value and not (type(value[name]) is type(entry.default) and value[name] == entry.default):
            yield from wrong(entry.kind, value[name], f"{at}.{name}", shape is not None and shape.slim)


def _is(kind: Any, value: Any) -> bool:
    if isinstance(kind, Form):
        return bool(kind(float(value) if kind.kind is float and type(value) is int else value))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if kind is float:
        return type(value) in (int, float)
    return kind is Any or (value is None if kind is NoneType else type(value) is kind)


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"


def today() -> dict[str, dict[str, str]]:
    """By command and place: what the answers have."""
    found = {f"fab {command}": places(section) for section in SECTIONS for command in section.commands}
    return {FAILURE: places_of_a_failure(), **found}


def kept() -> dict[str, dict[str, str]]:
    """The same as it was promised."""
    found: dict[str, dict[str, str]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


if __name__ == "__main__":
    was, now = kept(), today()
    merged = {name: {**was.get(name, {}), **now.get(name, {})} for name in {**was, **now}}
    for name, places_then in was.items():
        merged[name] |= {place: then for place, then in places_then.items() if not is_kept(then, merged[name][place])}
    KEPT.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
