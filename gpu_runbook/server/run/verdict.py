"""Judges a new release by what was seen of it after its swap. Pure: observations in, a verdict or nothing yet out.

Three rules decide what counts. A release fails only by what it did itself: a broker or an engine that went away
would have stopped the old one as well. It is proven only by what was seen: its offset moving or, where it has none, its
HEALTHCHECK. And an idle queue speaks for nobody.
"""

from __future__ import annotations

import dataclasses
from typing import Optional

from gpu_runbook.common import humanize
from gpu_runbook.common.container import HEALTHY, STARTING
from gpu_runbook.protocol.journal import Observation
from gpu_runbook.protocol.plan import FAILED, PROVEN, UNPROVEN, Watch
from gpu_runbook.protocol.values import dataclass


@dataclass(frozen=True)
class Verdict:
    outcome: str
    reason: str


@dataclass(frozen=True)
class WatchState:
    """What has been learned so far of one release."""

    watch: Watch
    begun: float
    since: float  # when the present start was first seen
    position: Optional[int]  # at the swap
    measurable: bool  # the service says where its offset is
    started_at: str = ""
    restarts: int = 0
    moved: bool = False
    excuse: str = ""  # what makes the release unproven unless it is proven all the same
    waiting: Optional[float] = None  # since when messages have been seen to wait


def observe(state: WatchState, seen: Observation) -> WatchState:
    """The state after one more observation that `verdict` did not end at."""
    if not seen.engine:
        return dataclasses.replace(state, excuse="the docker engine was away")
    if _excused(state, seen):
        return dataclasses.replace(
            state, excuse=f"the broker was away: {seen.broker}", since=seen.at, restarts=seen.restarts,
            started_at=seen.started_at,
        )  # fmt: skip
    if seen.started_at != state.started_at:  # by the engine or a person: a crash would have counted a restart
        state = dataclasses.replace(state, since=seen.at, started_at=seen.started_at, restarts=seen.restarts)
    waiting = (seen.at if state.waiting is None else state.waiting) if seen.backlog else None
    return dataclasses.replace(state, moved=state.moved or _moved(state, seen), waiting=waiting)


def verdict(state: WatchState, seen: Observation) -> Optional[Verdict]:
    """What one more observation decides; None to go on watching."""
    if seen.engine and not _excused(state, seen):
        fault = _fault(state, seen)
        if fault:
            return Verdict(FAILED, fault)
    after = observe(state, seen)
    over = seen.at - after.begun >= after.watch.window
    settled = seen.engine and seen.running and not seen.restarting and seen.at - after.since >= after.watch.settle
    if settled and after.moved and (over or seen.health != STARTING):
        return Verdict(PROVEN, f"its offset moved to {seen.position}")
    if settled and seen.health == HEALTHY and not after.measurable:
        return Verdict(PROVEN, "its HEALTHCHECK says healthy")
    return _at_the_end(after, seen) if over else None


def _moved(state: WatchState, seen: Observation) -> bool:
    """A consumer that had no position before may have written down where it begins: that is no movement yet."""
    before = seen.first if state.position is None else state.position
    return seen.position is not None and seen.position > before


def _excused(state: WatchState, seen: Observation) -> bool:
    """A fault while the broker is away is no fault of the release."""
    return bool(seen.broker and (_fault(state, seen)))


def _fault(state: WatchState, seen: Observation) -> str:
    if seen.failure:
        return f"its log says: {seen.failure}"
    if seen.restarts > state.restarts:  # counted before the engine waits to restart it: a wait alone is no new fault
        count = seen.restarts - state.restarts
        return f"{_ended(seen)} and was restarted {humanize.several(count, 'time')}"
    if not seen.running and not state.excuse:
        return _ended(seen)
    return "" if state.excuse else seen.sick  # docker asks again after a while only


def _ended(seen: Observation) -> str:
    if seen.lack:
        return f"it was killed for lack of memory ({seen.lack})"
    return "it ended by itself" + ("" if seen.exit_code is None else f" with exit status {seen.exit_code}")


def _at_the_end(state: WatchState, seen: Observation) -> Verdict:
    if seen.engine and not seen.running and not seen.broker:  # whatever stopped it is over, and it did not get up
        return Verdict(FAILED, _ended(seen) if seen.lack else f"it does not run (exit status {seen.exit_code})")
    if seen.sick and not seen.broker:
        return Verdict(FAILED, seen.sick)
    if state.excuse:
        return Verdict(UNPROVEN, state.excuse)
    if state.moved:
        return Verdict(UNPROVEN, "its offset moved, but it has not run long enough since its last start")
    if not state.measurable:
        if seen.health == STARTING:
            return Verdict(UNPROVEN, "its HEALTHCHECK has not come to a result yet")
        return Verdict(UNPROVEN, "hosts.yaml does not say where its offset is, so nothing could prove it")
    if seen.backlog is None:
        return Verdict(UNPROVEN, seen.broker or "the stream could not be asked whether messages wait")
    if state.waiting is not None:
        waited = seen.at - max(state.waiting, state.since)
        too_late = waited < min(state.watch.settle, state.watch.window / 2)  # to have been handled and written down
        said = f"{seen.backlog} messages wait and its offset has not moved for {waited:.0f} s"
        return Verdict(UNPROVEN if too_late else FAILED, said)
    return Verdict(UNPROVEN, "the queue was idle: no message came that could prove it")
