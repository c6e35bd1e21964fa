"""Reads the types of gpu_runbook/laptop/answers/: the fields of each, what they may hold, and what they mean."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from gpu_runbook.laptop.answers.look import SLIM
from gpu_runbook.protocol.forms import Form

WORDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
MISSING = ", may be missing"
BRACKETS = r" \(([^)]*)\)"
NEEDED = object()  # the default of a field that has none


@dataclasses.dataclass(frozen=True)
class Shape:
    """An object: the classes whose fields it has. `slim`: what is empty is left out, within it too."""

    classes: tuple[type, ...]
    slim: bool = False

    @property
    def name(self) -> str:
        return self.classes[-1].__name__

    @property
    def says(self) -> str:
        """What it is: the first paragraph of its docstring."""
        return " ".join((inspect.getdoc(self.classes[-1]) or "").split("\n\n")[0].split())


@dataclasses.dataclass(frozen=True)
class Entry:
    """A field. `default` is what it holds where it stands for nothing; `needed`: it is never missing."""

    name: str
    kind: Any
    means: str
    needed: bool
    default: Any = NEEDED


def shape_of(kind: Any, slim: bool = False) -> Shape | None:
    """The object that a type stands for, None for any other."""
    if get_origin(kind) is Annotated:
        marks = get_args(kind)[1:]
        return Shape(tuple(mark for mark in marks if isinstance(mark, type)), slim or SLIM in marks)
    return Shape((kind,), slim) if is_typeddict(kind) or dataclasses.is_dataclass(kind) else None


def entries(shape: Shape) -> Iterator[Entry]:
    """The fields of an object, in the order in which it has them."""
    for part in shape.classes:
        hints, means = get_type_hints(part, include_extras=True), _meanings(part)
        if dataclasses.is_dataclass(part):
            for field in dataclasses.fields(part):
                default = _default(field)
                needed = not shape.slim or default is NEEDED
                yield Entry(field.name, hints[field.name], means.get(field.name, ""), needed, default)
        else:
            needs: frozenset[str] = getattr(part, "__required_keys__")  # noqa: B009  mypy knows no such attribute
            yield from (Entry(name, kind, means.get(name, ""), name in needs) for name, kind in hints.items())


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return NEEDED if field.default is dataclasses.MISSING else field.default


@cache
def _meanings(part: Any) -> dict[str, str]:
    """By field: the comment behind it; a TypedDict has those of its bases, too."""
    if not is_typeddict(part) and not dataclasses.is_dataclass(part):
        return {}
    found: dict[str, str] = {}
    source = inspect.getsource(part)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (body,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for base in body.bases:  # which a TypedDict forgets
        found |= _meanings(getattr(sys.modules[part.__module__], ast.unparse(base), None))
    for line in body.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found[line.target.id] = comments.get(line.end_lineno or 0, "")
    return found


def alternatives(kind: Any) -> tuple[Any, ...]:
    """What a value may be: several for a union, and one for any other type."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def inner(kind: Any) -> tuple[str, Any] | None:
    """`[]` or `.*`, and what each element is; None for what is neither a list nor a mapping by names."""
    if get_origin(kind) in (list, tuple):
        return "[]", get_args(kind)[0]
    if get_origin(kind) is dict and get_args(kind)[1] is not Any:
        return ".*", get_args(kind)[1]
    return None


def within(kind: Any, slim: bool = False) -> Iterator[Shape]:
    """Every object that a type stands for or has in it, itself first."""
    for one in alternatives(kind):
        shape, element = shape_of(one, slim), inner(one)
        if shape:
            yield shape
            for entry in entries(shape):
                yield from within(entry.kind, shape.slim)
        elif element:
            yield from within(element[1], slim)


def flat(kind: Any, at: str, slim: bool = False) -> dict[str, str]:
    """By place, such as `servers[].rows[].level`: what stands there. `.*` is any name."""
    found = [_flat(one, at, slim) for one in alternatives(kind) if one is not NoneType]
    places = dict.fromkeys(place for one in found for place in one)
    null = " or null" if NoneType in alternatives(kind) else ""
    return {place: _joined([one.get(place, "") for one in found]) + (null if place == at else "") for place in places}


def _joined(words: list[str]) -> str:
    """What stands at one place of several alternatives, where one that is empty does not have it."""
    kinds = sorted({word.removesuffix(MISSING) for word in words if word})
    missing = any(not word or word.endswith(MISSING) for word in words)
    return " or ".join(kinds) + (MISSING if missing else "")


def _flat(kind: Any, at: str, slim: bool) -> dict[str, str]:
    shape, element = shape_of(kind, slim), inner(kind)
    if shape:
        found = {at: "object"}
        for entry in entries(shape):
            place = f"{at}.{entry.name}".lstrip(".")
            one = flat(entry.kind, place, shape.slim)
            found |= {**one, place: one[place] + ("" if entry.needed else MISSING)}
        return found
    if element:
        return {at: "list" if element[0] == "[]" else "mapping", **flat(element[1], f"{at}{element[0]}", slim)}
    return {at: word(kind)}


def word(kind: Any) -> str:
    """A plain type in words; in brackets what a text may be."""
    if get_origin(kind) is Literal:
        return f"text ({', '.join(sorted(get_args(kind)))})"
    if isinstance(kind, Form):
        return WORDS[kind.kind]
    return WORDS.get(kind, "object")


def is_kept(was: str, now: str) -> bool:
    """Whether what stands at a place is still of the same type; a text may be further words, and loses none."""
    old, new = ([set(found.split(", ")) for found in re.findall(BRACKETS, text)] for text in (was, now))
    same = re.sub(BRACKETS, "", was) == re.sub(BRACKETS, "", now) and len(old) == len(new)
    return same and all(words <= more for words, more in zip(old, new, strict=True))
