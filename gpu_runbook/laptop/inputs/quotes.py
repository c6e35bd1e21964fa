"""Quotes around an expression of a template, as Ansible and Helm want them: here every value brings its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpu_runbook.protocol.values import dataclass

_EXPRESSION = r"\{\{-?\s*(.*?)\s*-?\}\}"
_OF_JINJA = re.compile(rf"{_EXPRESSION}|\{{[%#].*?[%#]\}}")
_QUOTED = re.compile("(['\"])(.*?)\\1")
_HERE = "\0"  # in the place of what is Jinja's, which may have quotes of its own


@dataclass(frozen=True)
class Quoted:
    """One quoted text of a template with an expression in it, as the template has it."""

    line: int  # from 1 on
    text: str  # with its quotes
    better: str  # what says the same without them; empty where that takes more than an expression


def first(source: str) -> Quoted | None:
    """The first quotes around an expression in a line of a template; None where there are none."""
    for number, line in enumerate(source.splitlines(), 1):
        pieces = [found[0] for found in _OF_JINJA.finditer(line)]
        bare = _OF_JINJA.sub(_HERE, line)
        for found in _QUOTED.finditer(bare):
            begin = bare.count(_HERE, 0, found.start())
            inside = pieces[begin : begin + found[2].count(_HERE)]
            if any(one.startswith("{{") for one in inside):
                texts, quote = found[2].split(_HERE), found[1]
                shown = "".join(text + piece for text, piece in zip(texts, [*inside, ""], strict=True))
                return Quoted(number, f"{quote}{shown}{quote}", _joined(texts, inside, quote))
    return None


def _joined(texts: Sequence[str], pieces: Sequence[str], quote: str) -> str:
    """`{{ a ~ "/b" }}` for `"{{ a }}/b"`."""
    words = []
    for text, piece in zip(texts, [*pieces, "{{}}"], strict=True):
        inner = re.fullmatch(_EXPRESSION, piece)
        if inner is None:
            return ""
        words += [f"{quote}{text}{quote}"] if text else []
        words += [inner[1] if re.fullmatch(r"[\w.]*", inner[1]) else f"({inner[1]})"]
    return f"{{{{ {' ~ '.join(filter(None, words))} }}}}"
