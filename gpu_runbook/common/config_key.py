"""One scalar of a YAML text behind a dotted key: where it stands, and another in its place, not a character more."""

from __future__ import annotations

import json
import re
from typing import List, Optional, Tuple

_LINE = re.compile(r"""( *)(?:("[^"\\]*" *|'[^']*' *|\w[^:#"']*):(?=\s|$)\s*)?""", re.ASCII)
_SCALAR = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[\w/.~][^\s#]*)\s*(?:\s#.*)?$""")
_OPEN = re.compile(r"""["']|[\[{](?!.*[\]}]\s*(?:#.*)?$)""")  # of what is no scalar: it ends on a later line
_ENDS = re.compile("\r(?!$)|[\x85\u2028\u2029]")  # YAML takes them for the end of a line


class Unplaceable(ValueError):
    """A text does not have exactly one such value on a line of its own; says why, and quotes none."""


def span(text: str, key: str) -> Tuple[int, int]:
    """Where the value behind a dotted key stands, in a text of mappings in block style. Raises Unplaceable.

    It reads line by line. What goes on over several lines is refused where it could be taken for something else;
    whether a template is one of those the laptop sees beforehand, with all of YAML at hand.
    """
    wanted, at, found = key.split("."), 0, (0, 0)
    met: List[List[str]] = []
    stack: List[Tuple[int, Optional[str]]] = []  # indentation and key; "" and None hold no keys of ours
    for line in text.split("\n"):
        match = _LINE.match(line)
        assert match  # noqa: S101  it matches the empty text
        rest = line[match.end() :] if line[match.end() :].split("#")[0].strip() else ""
        if match[2] or rest:
            while stack and stack[-1][0] >= len(match[1]):
                stack.pop()
            above = [name for _, name in stack]
            scalar = _SCALAR.match(rest)
            if None in above or _ENDS.search(line) or ("" not in above and not scalar and _OPEN.match(rest)):
                raise Unplaceable("a value in it goes on over several lines")
            path = [*above, (match[2] or "").rstrip(" ").strip("\"'")]
            met += [path] if path == wanted[: len(path)] else []
            if path == wanted:
                if not scalar:
                    raise Unplaceable(f"{key} is not one text on its line")
                found = at + match.end(), at + match.end() + len(scalar[1])
            stack.append((len(match[1]), None if path == wanted else "" if rest else path[-1]))
        at += len(line) + 1
    if met != [wanted[: depth + 1] for depth in range(len(wanted))]:
        raise Unplaceable(f"it has {'more than one' if wanted in met else 'no'} {key}")
    return found


def replaced(text: str, key: str, path: str) -> str:
    """The text with `path`, quoted, behind the key. Raises Unplaceable."""
    begin, end = span(text, key)
    return text[:begin] + json.dumps(path, ensure_ascii=False) + text[end:]
