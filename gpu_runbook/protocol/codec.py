"""Strict JSON to frozen values: unknown, missing and wrongly typed entries, and those without their form, are named."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any, Dict, Type, TypeVar

from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import Form

T = TypeVar("T")

LONGEST_NAME = 60  # characters
LARGEST = 1 << 64  # no number of ours is as large

_hints: Dict[type, Dict[str, Any]] = {}


def decode(kind: Type[T], data: Any, place: str) -> T:
    """Build `kind`, a frozen dataclass, from plain JSON types.

    Raises Malformed with the place (`plan.consumers[0].spec.image`) of the first thing that does not fit.
    """
    value: T = _decode(kind, data, place)
    return value


def _decode(kind: Any, data: Any, place: str) -> Any:
    if kind is Any:
        return data
    if isinstance(kind, Form):
        found = _decode(kind.kind, data, place)
        if not kind(found):
            raise Malformed(f"{place}: not {kind.says}")
        return found
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, place)
    origin = typing.get_origin(kind)
    if origin is typing.Union:  # the vocabulary uses Optional only
        inner = next(arg for arg in typing.get_args(kind) if arg is not type(None))
        return None if data is None else _decode(inner, data, place)
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise Malformed(f"{place}: a list was expected, not {_name(data)}")
        inner = typing.get_args(kind)[0]
        return tuple(_decode(inner, item, f"{place}[{index}]") for index, item in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            raise Malformed(f"{place}: a mapping was expected, not {_name(data)}")
        name, inner = typing.get_args(kind)
        return {_decode(name, key, _inner(place, key)): _decode(inner, data[key], _inner(place, key)) for key in data}
    if kind is float and type(data) is int and abs(data) < 1 << 53:  # a float holds these exactly
        return float(data)
    if type(data) is not kind:
        raise Malformed(f"{place}: {kind.__name__} was expected, not {_name(data)}")
    if (kind is int and abs(data) >= LARGEST) or (kind is float and not math.isfinite(data)):
        raise Malformed(f"{place}: a number that is too large")
    return data


def _dataclass(kind: Any, data: Any, place: str) -> Any:
    if not isinstance(data, dict):
        raise Malformed(f"{place}: a mapping was expected, not {_name(data)}")
    if kind not in _hints:
        _hints[kind] = typing.get_type_hints(kind)
    hints = _hints[kind]
    unknown = sorted(set(data) - set(hints))
    if unknown and not getattr(kind, "grows", False):  # of a kind that does, another version may know more
        raise Malformed(f"{_inner(place, unknown[0])}: not a known entry")
    values = {}
    for entry in dataclasses.fields(kind):
        if entry.name in data:
            given, form = data[entry.name], hints[entry.name]
            # What stands for nothing needs no form: a default that is written out.
            same = isinstance(form, Form) and type(given) is form.kind and given == entry.default
            values[entry.name] = given if same else _decode(form, given, f"{place}.{entry.name}")
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise Malformed(f"{place}.{entry.name}: missing")
    return kind(**values)


def _inner(place: str, name: str) -> str:
    """The place within a place, on one line: somebody else may have chosen the name."""
    return f"{place}.{one_line(name, LONGEST_NAME)}"


def _name(data: Any) -> str:
    return "nothing" if data is None else type(data).__name__


def encode(value: Any) -> Dict[str, Any]:
    """A frozen value as plain JSON types."""
    return dataclasses.asdict(value)
