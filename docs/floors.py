"""Draws the rooms of the code as they lean on each other, from its imports: the picture in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

from tests import rooms

PARTS = ("laptop", "server", "common", "protocol")
BEGIN, END = "<!-- made of the imports by make docs -->", "<!-- to here -->"


def page(text: str) -> str:
    """The page with the picture in its place."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{picture()}\n{END}{rest.partition(END)[2]}"


def picture() -> str:
    """A table for each part: its rooms, the upper floors first, with what is in each and which rooms it leans on."""
    leans = rooms.rooms()
    floor: dict[str, int] = {}
    for room in TopologicalSorter(leans).static_order():
        below = [floor[other] for other in leans.get(room, ()) if _part(other) == _part(room)]
        floor[room] = 1 + max(below, default=0)
    tables = []
    for part in PARTS:
        mine = sorted(
            (room for room in floor if _part(room) == part and room != part), key=lambda one: (-floor[one], one)
        )
        lines = [f"| `{part}/` | floor | what is in it | leans on |", "|---|---|---|---|"]
        for room in mine or [part]:
            others = sorted(_name(other) for other in leans.get(room, ()) if _part(other) == part)
            lines.append(f"| `{_name(room)}` | {floor[room]} | {_what(room)} | {', '.join(others)} |")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _part(room: str) -> str:
    return room.split(".")[0]


def _name(room: str) -> str:
    """As it is called within its part: `schedule/notify`, or `errors.py` for a module that is a room of its own."""
    inner = "/".join(room.split(".")[1:]) or "*"
    return inner if _folder(room).is_dir() else f"{inner}.py"


def _folder(room: str) -> Path:
    return rooms.FOLDER.joinpath(*room.split("."))


def _what(room: str) -> str:
    """The first sentence of its docstring."""
    file = _folder(room) / "__init__.py" if _folder(room).is_dir() else _folder(room).with_suffix(".py")
    said = " ".join((ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0].split())
    return re.sub(r"\.$", "", said)
