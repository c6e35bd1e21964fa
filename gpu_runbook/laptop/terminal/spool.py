"""JSON that is longer than the memory: objects wait in a file without a name until it is printed."""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

STEP = "  "


class Spool:
    """A list of a JSON document whose objects are on disk: nobody else can open the file, and it ends with the list."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", newline="\n")  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def add(self, value: Any) -> None:
        self._file.write(json.dumps(value, ensure_ascii=False) + "\n")

    def __iter__(self) -> Iterator[str]:
        """The text of each object, on one line."""
        self._file.seek(0)
        return (line.rstrip("\n") for line in self._file)


def pieces(value: Any, newline: str = "\n") -> Iterator[str]:
    """The text of a document as `json.dumps` indents it, piece by piece; a Spool's objects are a line each."""
    deeper = newline + STEP
    if isinstance(value, dict) and value:
        for at, key in enumerate(value):
            yield f"{',' if at else '{'}{deeper}{json.dumps(key, ensure_ascii=False)}: "
            yield from pieces(value[key], deeper)
        yield newline + "}"
    elif isinstance(value, list | tuple | Spool):
        empty = True
        for one in value:
            yield f"{'[' if empty else ','}{deeper}"
            empty = False
            yield from (one,) if isinstance(value, Spool) else pieces(one, deeper)
        yield "[]" if empty else newline + "]"
    else:
        yield json.dumps(value, ensure_ascii=False)
