"""Writes the pages that are made from the code: `make docs`, which is `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs import keys

FOLDER = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {"hosts-yaml.md": keys.page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
