"""Two measurements side by side: ours and the floor in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pairs:
    """Measurements of one thing, in seconds; `ours[n]` and `floor[n]` were taken one after the other."""

    what: str
    ours: tuple[float, ...]
    floor: tuple[float, ...]
    limit: float | None = None  # what the ratio may be at most

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(a / b for a, b in zip(self.ours, self.floor, strict=True))

    @property
    def added(self) -> float:
        """The median of the pairs' differences, in seconds."""
        return statistics.median(a - b for a, b in zip(self.ours, self.floor, strict=True))

    @property
    def kept(self) -> bool:
        return self.limit is None or self.ratio <= self.limit

    def row(self) -> str:
        limit = "" if self.limit is None else f"{self.limit:.2f}"
        return f"| {self.what} | **{self.ratio:.2f}** | {limit} | {_span(self.ours)} | {_span(self.floor)} |"


@dataclass(frozen=True)
class Figure:
    """One figure that is no ratio. `unit` stands behind it; `limit` is what it may be at most."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def kept(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def row(self) -> str:
        limit = "" if self.limit is None else f"{self.limit:g} {self.unit}"
        return f"| {self.what} | **{self.value:.3g}** {self.unit} | {limit} |"


def measure(
    figures: dict[str, float | None], ours: Callable[[], list[float]], floor: Callable[[], list[float]], count: int
) -> list[Pairs]:
    """Take `count` pairs of each figure, after one that is thrown away; who goes first changes from pair to pair.

    `figures`: what is measured, with the limit of its ratio; `ours` and `floor` give one value for each.
    """
    taken: list[tuple[list[float], list[float]]] = []
    for turn in range(count + 1):
        if turn % 2:
            theirs = floor()
            taken.append((ours(), theirs))
        else:
            mine = ours()
            taken.append((mine, floor()))
    return [
        Pairs(what, tuple(mine[at] for mine, _ in taken[1:]), tuple(theirs[at] for _, theirs in taken[1:]), limit)
        for at, (what, limit) in enumerate(figures.items())
    ]


def _span(seconds: tuple[float, ...]) -> str:
    """The median, and between which values all were."""
    return f"{statistics.median(seconds):.3f} s ({min(seconds):.3f}–{max(seconds):.3f})"
