"""Any value of a type of the vocabulary, built from its annotations."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from hypothesis import strategies as st

texts = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts


def values(kind: Any) -> st.SearchStrategy[Any]:
    if kind is Any:
        return scalars
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{entry.name: values(hints[entry.name]) for entry in dataclasses.fields(kind)})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return st.none() | values(arguments[0])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(texts, values(arguments[1]), max_size=2)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(),
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
    }
    return simple[kind]
