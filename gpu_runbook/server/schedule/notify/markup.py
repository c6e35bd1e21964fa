"""Texts as chat services take them, with nothing in them that formats, links, or calls anybody. Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, List

# What Slack and its like take for a mark: at the edge of a word, so that RABBITMQ_HOST and host:5552 stay as they are.
_MARK = re.compile(r"[*`]|(?<![^\W_])[_~@#]|[_~](?![^\W_])|(?<!\w):(?=\w)")
_LINK = re.compile(r"\](?=[(\[])")
_MARKDOWN = re.compile(r"([\\`*_~|<>\[\]()#@!]|:(?=/)|(?<!\w):(?=\w)|^[-+=])", re.MULTILINE)
_WIDE = 0xFEE0  # from a sign of ASCII to the one that looks like it


def slack(text: str) -> str:
    """As Slack and its like want it. They know no way to escape a mark: a wider sign stands for it."""
    plain = _LINK.sub("] ", _MARK.sub(lambda match: chr(ord(match[0]) + _WIDE), text))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(text: str) -> str:
    """With a backslash in front of all that Markdown may mean something by."""
    return _MARKDOWN.sub(r"\\\1", text)


def card(title: str, text: str) -> List[Dict[str, Any]]:
    """The blocks of an Adaptive Card, one for each line: of a TextBlock they would take Markdown, of a TextRun none."""
    heading, *lines = ({"type": "TextRun", "text": line} for line in (title, *text.splitlines()))
    heading["weight"] = "Bolder"
    blocks = [{"type": "RichTextBlock", "inlines": [run]} for run in (heading, *lines)]
    return [blocks[0], *({**block, "spacing": "Small"} for block in blocks[1:])]
