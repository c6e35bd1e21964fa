"""What the code can say: all its texts but docstrings, with a hole wherever something is put in when it is said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
READ = ("gpu_runbook", "tasks", "sandbox")
LETTERS = 4  # a piece of text with fewer says nothing of its own

Text = tuple[str, ...]  # the pieces before, between and after the holes


def texts() -> list[Text]:
    """Every text of the code, each once."""
    files = [file for folder in READ for file in sorted((PROJECT / folder).rglob("*.py"))]
    return list(dict.fromkeys(text for file in files for text in _texts(ast.parse(file.read_text()))))


def _texts(tree: ast.Module) -> Iterator[Text]:
    within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    within |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield _pieces(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
            yield (node.value,)


def _pieces(node: ast.JoinedStr) -> Text:
    pieces = [""]
    for part in node.values:
        if isinstance(part, ast.Constant):
            pieces[-1] += str(part.value)
        else:
            pieces.append("")
    return tuple(pieces)


def unsaid(sentence: str, known: list[Text]) -> list[str]:
    """The words of a sentence that no text of the code has, in their order, but for paths, addresses and figures.

    Names that are put in when it is said are among them: a sentence of the code has few.
    """
    covered = [False] * len(sentence)
    for figure in re.finditer(r"\S*[/@:\d]\S+|\S*[\d/]\S*", sentence):
        covered[figure.start() : figure.end()] = [True] * len(figure[0])
    for text in known:
        pieces = [piece for piece in text if sum(map(str.isalpha, piece)) >= LETTERS]
        if not pieces or not all(piece in sentence for piece in pieces):
            continue
        for found in re.finditer(".*?".join(f"({re.escape(piece)})" for piece in pieces), sentence):
            for group in range(1, len(pieces) + 1):
                covered[found.start(group) : found.end(group)] = [True] * len(found[group])
    words = re.finditer(r"[^\W\d_]{2,}", sentence)
    return [word[0] for word in words if not all(covered[word.start() : word.end()])]
