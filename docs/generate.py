"""Writes the pages that are made from the code: `make docs`, which is `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Callable

from docs import keys, messages
from docs.source import PROJECT

PAGES: dict[str, Callable[[], str]] = {"hosts-yaml.md": keys.page, "messages.md": messages.page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (PROJECT / "docs" / name).write_text(page())
