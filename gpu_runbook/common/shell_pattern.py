"""Shell patterns: `*` is any text, also with a `/` in it, `?` one character, `[ab]`, `[a-z]` and `[!ab]` one of a set.

Whatever they hold, matching takes at most as many steps as the pattern is long times the text.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

One = Tuple[bool, List[Tuple[str, str]]]  # one character: of these ranges or, where it begins with True, of none


class BadPattern(ValueError):
    """It is no pattern; the text says why, and goes on after its name."""


def check(pattern: str) -> None:
    """Raises BadPattern for what is none."""
    list(_parts(pattern))


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern stands for all of the text. Raises BadPattern."""
    parts = list(_parts(pattern))
    at = read = 0
    star, begun = -1, 0  # behind the last star that was met, and where in the text that goes on
    while read < len(text):
        part = parts[at] if at < len(parts) else (False, [])
        if part is None:
            at += 1
            star, begun = at, read
        elif _holds(part, text[read]):
            at, read = at + 1, read + 1
        elif star >= 0:  # that star takes one character more; those before it never have to
            begun += 1
            at, read = star, begun
        else:
            return False
    return all(part is None for part in parts[at:])


def _holds(part: One, character: str) -> bool:
    apart, ranges = part
    return any(low <= character <= high for low, high in ranges) != apart


def _parts(pattern: str) -> Iterator[Optional[One]]:
    """What each stands for, None for a star."""
    at = 0
    while at < len(pattern):
        sign, at = pattern[at], at + 1
        if sign == "[":
            apart = pattern[at : at + 1] == "!"
            begin = at + apart
            end = pattern.find("]", begin + 1)  # one that comes first is itself
            if end < 0:
                raise BadPattern("has a [ that no ] closes")
            yield apart, list(_ranges(pattern[begin:end]))
            at = end + 1
        elif sign == "*":
            yield None
        else:
            yield (True, []) if sign == "?" else (False, [(sign, sign)])


def _ranges(inner: str) -> Iterator[Tuple[str, str]]:
    """What stands between [ and ]. A - at either end is itself."""
    while inner:
        ranged = len(inner) > 2 and inner[1] == "-"
        low, high = inner[0], inner[2] if ranged else inner[0]
        if low > high:
            raise BadPattern(f"has {low}-{high} in [ ], which holds nothing")
        yield low, high
        inner = inner[3 if ranged else 1 :]
