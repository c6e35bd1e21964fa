"""The table of what a journal tells, in docs/how-a-run-works.md: made of the events of protocol/journal.py."""

from __future__ import annotations

import dataclasses

from docs.shapes import Shape, entries
from gpu_runbook.protocol.journal import EVENTS, JournalEvent

BEGIN, END = "<!-- made of gpu_runbook/protocol/journal.py by make docs -->", "<!-- to here -->"


def page(text: str) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def table() -> str:
    """A row for each event, in the order in which a run comes to them."""
    return "\n".join(["| event | what it says | its fields |", "|---|---|---|", *map(_row, EVENTS)])


def _row(kind: type[JournalEvent]) -> str:
    shape = Shape((kind,))
    told = {name for above in kind.__bases__ if _word(above) for name in _names(above)}
    fields = "<br>".join(f"`{one.name}`: {one.means}" for one in entries(shape) if one.name not in told)
    return f"| `{kind.word}` | {shape.says} | {fields} |"


def _word(kind: type) -> str:
    """The event whose row tells of the fields of a class; nothing for one that is none itself."""
    return str(getattr(kind, "word", ""))


def _names(kind: type) -> set[str]:
    return {one.name for one in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
