"""Text from a server, made fit for a terminal: the lines of a log stay lines, and one line stays one."""

from __future__ import annotations

import re

from gpu_runbook.protocol.foreign_text import GONE

MOST = 1 << 15  # characters of a line, however long the answer was that it is made of

# All but newline and tab: C0, C1, what turns the direction of text or hides in it, and halves of surrogate pairs.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def clean(text: str) -> str:
    """The same text, with everything replaced that could steer a terminal; newlines and tabs stay."""
    return _CONTROL.sub(GONE, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """The same on one line, with its blanks as they are: what columns and commands are made of."""
    plain = clean(text[: MOST + 1]).replace("\n", " ").replace("\t", " ")
    if not plain.isprintable():
        plain = "".join(char if char.isprintable() else GONE for char in plain)
    return plain if len(plain) <= MOST else plain[: MOST - 1] + "…"
