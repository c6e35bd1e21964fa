"""Writes the pages that are made from the code: `make docs`, which is `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs import answers, events, floors, keys

FOLDER = Path(__file__).parent
# By name: the page, given what it says now.
PAGES: dict[str, Callable[[str], str]] = {
    "hosts-yaml.md": lambda text: keys.page(),
    "json.md": lambda text: answers.page(),
    "architecture.md": floors.page,
    "how-a-run-works.md": events.page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        file = FOLDER / name
        file.write_text(page(file.read_text() if file.exists() else ""))
