"""The figures of the rounds as lines to be plotted: queues, disks and GPUs, each plot with one unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from gpu_runbook.laptop.report.downsample import Value, thin
from gpu_runbook.laptop.report.values import APART, Course
from gpu_runbook.protocol.rounds import Gpu, Queue
from gpu_runbook.protocol.values import dataclass

GIB = 1 << 30
MOST_LINES = 16  # in one plot
MOST = 1e15  # whatever is beyond is no figure of a server

Column = list[Value]


@dataclass(frozen=True)
class Series:
    """What a line is called, and a value for each round, None where there is none. `total`: of how much, with unit."""

    label: str
    values: Column
    total: str = ""


@dataclass(frozen=True)
class Plot:
    """Lines of one unit. `top`: the least that the axis reaches; `digits` after the point; `left_out` lines."""

    title: str
    unit: str
    lines: list[Series]
    digits: int = 0
    top: float = 1
    left_out: int = 0


@dataclass(frozen=True)
class Figures:
    """The plots of a server, over common times in whole seconds since 1970."""

    times: list[int]
    plots: list[Plot]


def figures(axis: Course) -> Figures:
    """What there is to be plotted, thinned out where it is much; a line that never has a value is none."""
    kept = [plot for plot in (_tidy(plot) for plot in _plots(axis)) if plot.lines]
    columns = [line.values for plot in kept for line in plot.lines]
    thinned = thin([at for at, _ in axis.rounds], columns, APART * axis.step)
    left = iter(thinned.columns)
    plots = [replace(plot, lines=[replace(line, values=next(left)) for line in plot.lines]) for plot in kept]
    return Figures(thinned.times, plots)


def as_json(found: Figures) -> dict[str, Any]:
    """What the page's script reads."""
    plots = [
        {
            "title": plot.title,
            "unit": plot.unit,
            "digits": plot.digits,
            "top": plot.top,
            "lines": [{"label": line.label, "total": line.total, "values": line.values} for line in plot.lines],
        }
        for plot in found.plots
    ]
    return {"times": found.times, "plots": plots}


def _plots(axis: Course) -> list[Plot]:
    return [*_queues(axis), _disks(axis), *_gpus(axis)]


def _tidy(plot: Plot) -> Plot:
    """Figures of sensible size, and no more lines than can be told apart."""
    known = [replace(line, values=[_number(value, plot.digits) for value in line.values]) for line in plot.lines]
    drawn = [line for line in known if any(value is not None for value in line.values)]
    return replace(plot, lines=drawn[:MOST_LINES], left_out=max(len(drawn) - MOST_LINES, 0))


def _number(value: Value, digits: int) -> Value:
    if value is None or not -MOST < value < MOST:
        return None
    return round(value, digits) if digits else round(value)


def _queues(axis: Course) -> list[Plot]:
    rounds = axis.rounds
    names = _sorted(name for _, one in rounds for name in one.queues)

    def column(name: str, read: Callable[[Queue], Value]) -> Column:
        return [read(one.queues[name]) if name in one.queues else None for _, one in rounds]

    backlogs = [Series(name, column(name, lambda queue: queue.backlog)) for name in names]
    rates = [Series(name, rate(axis, column(name, lambda queue: queue.offset))) for name in names]
    return [
        Plot("Backlog", "messages", backlogs, top=10),
        Plot("Messages handled", "messages/s", rates, digits=2),
    ]


def rate(axis: Course, offsets: Sequence[Value]) -> Column:
    """Messages in a second since the round before; None after a gap, and where the offset went back."""
    rates: Column = [None] * len(offsets)
    for index in range(1, len(offsets)):
        before, after = offsets[index - 1], offsets[index]
        began, ended = axis.rounds[index - 1][0], axis.rounds[index][0]
        if before is not None and after is not None and after >= before and axis.follows(began, ended):
            rates[index] = min(after - before, int(MOST)) / (ended - began)
    return rates


def _disks(axis: Course) -> Plot:
    paths = _sorted(path for _, one in axis.rounds for path in one.disk)
    lines = [Series(path, [one.disk.get(path) for _, one in axis.rounds]) for path in paths]
    return Plot("Disk", "%", lines, top=100)


def _gpus(axis: Course) -> list[Plot]:
    rounds = [{gpu.index: gpu for gpu in one.gpus} for _, one in axis.rounds]
    indexes = sorted({index for one in rounds for index in one})

    totals = {index: max(_total(one[index]) for one in rounds if index in one) for index in indexes}
    largest = max(totals.values(), default=0)

    def lines(read: Callable[[Gpu], Value]) -> list[Series]:
        return [
            Series(f"GPU {index}", [read(one[index]) if index in one else None for one in rounds]) for index in indexes
        ]

    memory = [
        replace(line, total=f"of {totals[index]:.0f} GiB" if totals[index] else "")
        for index, line in zip(indexes, lines(lambda gpu: _gib(gpu.memory)), strict=True)
    ]
    return [
        Plot("GPU use", "%", lines(lambda gpu: gpu.use), top=100),
        Plot("GPU memory", "GiB", memory, digits=1, top=largest or 1),
        Plot("GPU temperature", "°C", lines(lambda gpu: gpu.temperature), top=100),
    ]


def _total(gpu: Gpu) -> float:
    return _gib(gpu.memory_total) or 0


def _gib(size: Value) -> Value:
    known = _number(size, 0)
    return None if known is None else known / GIB


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
