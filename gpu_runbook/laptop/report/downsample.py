"""Fewer points of long lines: what was highest and lowest stays, and so does every long gap. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpu_runbook.protocol.values import dataclass

MOST_POINTS = 2400  # a week at five minutes stays as it is
MOST_GAPS = 200
BUCKETS = (MOST_POINTS - 3 * MOST_GAPS) // 2 - 1  # a gap may split a bucket and has a point; the last moment is one

Value = float | int | None
Columns = list[list[Value]]


@dataclass(frozen=True)
class Lines:
    """Lines over common times (whole seconds since 1970); None where a line is broken."""

    times: list[int]
    columns: Columns


def thin(times: Sequence[float], columns: Sequence[Sequence[Value]], apart: float) -> Lines:
    """At most MOST_POINTS points of lines of any length, broken between points more than `apart` seconds apart.

    Points that fall into one part of the time become two: their first and last moment, with each line's lowest and
    highest value in the order in which they came.
    """
    breaks = _breaks(times, apart)
    fits = len(times) + len(breaks) <= MOST_POINTS
    out = Lines([], [[] for _ in columns])
    for group in _groups(times, breaks, 0 if fits else (times[-1] - times[0]) / BUCKETS):
        if group.start in breaks:
            _point(out, (times[group.start - 1] + times[group.start]) / 2, [None] * len(columns))
        if len(group) <= 2:
            for index in group:
                _point(out, times[index], [column[index] for column in columns])
            continue
        pairs = [_extremes(column[group.start : group.stop]) for column in columns]
        _point(out, times[group.start], [pair[0] for pair in pairs])
        _point(out, times[group.stop - 1], [pair[1] for pair in pairs])
    return out


def _breaks(times: Sequence[float], apart: float) -> frozenset[int]:
    """The points before which a line is broken: at the longest gaps."""
    gaps = [(times[index] - times[index - 1], index) for index in range(1, len(times))]
    return frozenset(index for length, index in sorted(gaps, reverse=True)[:MOST_GAPS] if length > apart)


def _groups(times: Sequence[float], breaks: frozenset[int], width: float) -> Iterator[range]:
    start = 0
    for index in range(1, len(times) + 1):
        if (
            index == len(times)
            or index in breaks
            or not width
            or _bucket(times, index, width) != _bucket(times, start, width)
        ):
            yield range(start, index)
            start = index


def _bucket(times: Sequence[float], index: int, width: float) -> int:
    return int((times[index] - times[0]) / width)


def _extremes(values: Sequence[Value]) -> tuple[Value, Value]:
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    if not known:
        return None, None
    first, second = sorted((min(known), max(known)), key=lambda pair: pair[1])
    return first[0], second[0]


def _point(out: Lines, at: float, values: Sequence[Value]) -> None:
    out.times.append(round(at))
    for column, value in zip(out.columns, values, strict=True):
        column.append(value)
