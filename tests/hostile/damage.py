"""Strategies that damage what was whole: documents, the bytes of files, and the messages of a server."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.hostile.forms import NEVER, RIGHT, WRONG

# What no Python value writes into JSON; `as_json` puts the text in the place of the value.
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "[" * 3000 + "]" * 3000, '"\\ud800"', "1e-999")

# Of one form and not of another, and of none: whoever takes a text for what it should be is found out.
near = st.sampled_from(
    sorted({one for each in (*RIGHT.values(), *WRONG.values(), NEVER) for one in each if isinstance(one, str)})
)
texts = (
    st.text(max_size=6)
    | near
    | st.sampled_from(
        [
            "",
            "\x1b[2J",
            "\u202e",
            "\ud800",
            "\n",
            "\0",
            "x" * 5000,
            "../../etc/passwd",
            "-rf",
            "2026-04-20T10:11:12.5Z",
            "no",
        ]
    )
)
numbers = (
    st.integers()
    | st.sampled_from([-1, 0, 2**31, 2**53, 2**63, 10**19, 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=6
)
_raw = st.integers(0, len(RAW) - 1).map(lambda index: f"\0raw {index}\0")


@st.composite
def damaged(draw: st.DrawFn, document: Any, most: int = 3) -> Any:
    """A JSON document in which entries were changed, removed, renamed, repeated or exchanged."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(document))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.integers(0, 5)):
            case 0:
                container[key] = draw(documents | _raw)
            case 1:
                container[key] = draw(_like(container[key]))
            case 2:
                del container[key]
            case 3 if isinstance(container, dict):
                container[draw(texts)] = container.pop(key)
            case 3 | 4:
                container[key] = [container[key], container[key]]
            case _:
                other, place = draw(st.sampled_from(places))
                container[key] = copy.deepcopy(other[place]) if _holds(other, place) else None
    return document


def _like(value: Any) -> st.SearchStrategy[Any]:
    """Something of the same type, which gets further than anything else would."""
    if isinstance(value, str):
        return texts
    if isinstance(value, bool):
        return st.just(not value)
    return numbers | st.sampled_from(["\0raw 3\0", "\0raw 0\0"]) if isinstance(value, int | float) else documents


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a document, however deep."""
    entries = list(document.items() if isinstance(document, dict) else enumerate(document))
    for key, value in entries:
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _holds(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


def as_json(document: Any, ensure_ascii: bool = True) -> bytes:
    """The text of a document, with what no Python value writes in its places."""
    text = json.dumps(document, ensure_ascii=ensure_ascii)
    for index, raw in enumerate(RAW):
        text = text.replace(json.dumps(f"\0raw {index}\0"), raw)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def torn(draw: st.DrawFn, whole: bytes, most: int = 3) -> bytes:
    """Bytes that a bad disk, a bad line or a bad editor has been at."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + draw(st.integers(1, 40))]
            case 2 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 3:
                data[at:at] = data[at : at + 200]
            case 4:
                data[at:at] = b"\0" * draw(st.sampled_from([1, 512, 4096]))
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


def sometimes_torn(whole: bytes) -> st.SearchStrategy[bytes]:
    """As it is, as often as not: damage to a document is lost where its bytes are damaged as well."""
    return st.just(whole) | torn(whole)
