"""Texts from elsewhere – of containers, images, registries, brokers, files – as they may stand in our sentences.

Whoever wrote them may want to be taken for us: a line break begins a row of its own, an escape sequence moves the
cursor, a character that nobody sees makes one name look like another.
"""

from __future__ import annotations

import re

MOST = 500  # characters of what others say
LONGEST = 8000  # characters of a whole sentence, the words of others among ours
NAME = 200  # characters of a name
GONE = "\N{REPLACEMENT CHARACTER}"

# Letters and marks by Python's account, and nothing to be seen: joiners, fillers, selectors of variants.
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_WORD = r"(?:[\w/][\w.:/@+~-]*)?"


def one_line(text: str, most: int = MOST) -> str:
    """The text on one line of at most so many characters: blanks and line breaks are one blank, what could steer a
    terminal or is not seen is a sign that something was there."""
    line = " ".join(text[: 4 * most].split())
    if not (line.isascii() and line.isprintable()):
        line = "".join(char if char.isprintable() else GONE for char in line)
        line = re.sub(f"[{_UNSEEN}{GONE}]+", GONE, line)
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"


def quoted(name: str, most: int = NAME) -> str:
    """A name that somebody else chose, or what somebody else said, so that it cannot be read as ours."""
    return '"{}"'.format(one_line(name, most).replace('"', "'"))


def named(word: str, own: str = "") -> str:
    """A tag, a version, an id or a path as it is, where it is one plain word; with `own`, that name alone."""
    plain = word == own if own else len(word) <= NAME and re.fullmatch(_WORD, word, re.ASCII)
    return word if plain else quoted(word)
