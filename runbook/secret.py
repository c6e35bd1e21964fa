"""A text that nobody sees by accident: it prints as dots wherever it ends up."""

from __future__ import annotations

from typing import NoReturn

DOTS = "•••"


class Secret:
    """Wraps a text; only `reveal()` gives it back. Equal by value; refuses to be pickled or copied into JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that hands it on."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return DOTS

    def __format__(self, spec: str) -> str:
        return format(DOTS, spec)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied; hand on the Secret itself, or reveal() it on purpose")
