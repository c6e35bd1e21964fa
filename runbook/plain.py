"""Text from a server, made fit for a terminal."""

from __future__ import annotations

import re

# All but newline and tab: C0, C1, what turns the direction of text or hides in it, and halves of surrogate pairs.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def clean(text: str) -> str:
    """The same text, with everything replaced that could steer a terminal; newlines and tabs stay."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
