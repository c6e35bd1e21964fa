"""Any value of a type of the vocabulary, built from its annotations."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from hypothesis import strategies as st

from gpu_runbook.protocol.codec import LARGEST
from gpu_runbook.protocol.forms import Form
from tests.hostile.forms import ALL, RIGHT

texts = st.text(max_size=5)
whole = st.integers(1 - LARGEST, LARGEST - 1)
_names = {form: name for name, form in ALL.items()}
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts


def values(kind: Any) -> st.SearchStrategy[Any]:
    if kind is Any:
        return scalars
    if isinstance(kind, Form):
        return st.sampled_from(RIGHT[_names[kind]])
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{entry.name: _of(entry, hints[entry.name]) for entry in dataclasses.fields(kind)})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return st.none() | values(arguments[0])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: whole,
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }
    return simple[kind]


def _of(entry: dataclasses.Field[Any], kind: Any) -> st.SearchStrategy[Any]:
    """A field's value: also its default, which stands for nothing and needs no form."""
    plain = isinstance(entry.default, str | int | float)
    return values(kind) | st.just(entry.default) if plain else values(kind)
