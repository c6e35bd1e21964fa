"""The words in braces that the texts of an alert may have."""

from __future__ import annotations

import re
from typing import Any, List

# What stands in braces in a body or an argument. A text that is one word and nothing else becomes what it stands for.
WORDS = (
    *("title", "text", "level", "server", "at", "rows", "priority", "tag"),
    *("title_escaped", "text_escaped", "title_markdown", "text_markdown", "card"),
)
WORD = re.compile(r"\{([a-z_]+)\}")


def strange_words(template: Any) -> List[str]:
    """The words in braces that mean nothing, in the order of the texts."""
    if isinstance(template, dict):
        return [word for value in template.values() for word in strange_words(value)]
    if isinstance(template, (list, tuple)):
        return [word for value in template for word in strange_words(value)]
    if not isinstance(template, str):
        return []
    return [word for word in WORD.findall(template) if word not in WORDS]
