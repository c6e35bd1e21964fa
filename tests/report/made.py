"""Made servers with a past: a deploy that was rolled back, a night without broker, a disk that fills, a reboot."""

from __future__ import annotations

import dataclasses
import functools
import math
import random

from gpu_runbook.laptop.report import clock
from gpu_runbook.laptop.report.values import ServerReport, moment
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.rounds import Gpu, Queue, Round

AT = "2026-04-20T10:11:12Z"
END = moment(AT) or 0.0
HOUR, DAY, GIB = 3600.0, 86400.0, 1 << 30
EVERY = 300

ALIVE, BROKER, GPUS, DISK, OFFSET = (
    "annotation-queue alive",
    "RabbitMQ reachable",
    "GPU available",
    "disk space",
    "offset advancing",
)
IMAGE = "registry.lan:5000/azaion/annotation-queue@sha256:"
DIGEST = "9f2c1e0b7a6d54433c2b1a0f9e8d7c6b5a49382716050f4e3d2c1b0a99887766"


def ago(days: float) -> float:
    """Seconds since 1970 of a moment so many days before the report."""
    return END - days * DAY


REBOOT = (ago(5.3), ago(5.26))
BROKER_DOWN = (ago(1.48), ago(1.2))
TRAINING = (ago(6.1), ago(3.2))
PAUSE = (ago(6.6), ago(6.45))
DEPLOYS = (ago(3.82), ago(3.02))
DEAD, UNSTEADY, PRUNED = ago(2.3), (ago(0.62), ago(0.6)), ago(0.9)

RUNS = (
    PastRun(
        run="20260417-094112-c1d2",
        state="ended",
        action="deploy",
        who="ann",
        laptop="ann-laptop",
        at=clock.iso(DEPLOYS[1]),
        outcome="done",
        sentence="annotation-queue 1.2.1 is in force and proven",
        seconds=41.2,
        outage=1.31,
        changes=(ServiceChange("annotation-queue", "1.1", IMAGE + DIGEST, "1.2.1", IMAGE + DIGEST[::-1]),),
    ),
    PastRun(
        run="20260416-143212-77aa",
        state="ended",
        action="deploy",
        who="ben",
        laptop="ben-desk",
        at=clock.iso(DEPLOYS[0]),
        outcome="rolled-back",
        sentence="3 of its last 20 lines say that it failed, as: Error while handling; 1.1 runs again",
        seconds=38.0,
        outage=2.06,
        changes=(
            ServiceChange("annotation-queue", "1.1", IMAGE + DIGEST, "1.2", IMAGE + DIGEST[1:] + "0"),
            ServiceChange("training", "", "", "latest", IMAGE + DIGEST[2:] + "00"),
        ),
    ),
    PastRun(
        run="20260418-030512-0b0c",
        state="ended",
        action="restart",
        who="the scheduled check",
        laptop="gpu-1",
        at=clock.iso(DEAD + 8),
        outcome="done",
        sentence="annotation-queue was started again (it had ended with 137): it was dead",
        seconds=2.2,
    ),
    PastRun(
        run="20260413-190000-1111",
        state="ended",
        action="stop",
        who="ann",
        laptop="ann-laptop",
        at=clock.iso(ago(6.63)),
        outcome="refused",
        sentence="deploys are paused by ann",
        seconds=0.3,
    ),
    PastRun(
        run="20260401-090000-2222",
        state="ended",
        action="deploy",
        who="ann",
        laptop="ann-laptop",
        at=clock.iso(ago(19.05)),
        outcome="done",
        sentence="annotation-queue 1.1 is in force and proven",
        seconds=40.0,
        outage=1.2,
    ),
)

CHECKS = (
    Check(ALIVE, "ok", "running for 3 days"),
    Check(BROKER, "ok", "RabbitMQ 3.12.1 answers at 10.0.4.20:5552 after 3 ms"),
    Check(GPUS, "ok", "2 GPUs, driver 550.54.15, memory 2.1 GiB of 160 GiB, busy up to 4 %, hottest 38 °C"),
    Check(DISK, "warning", "/azaion is 83 % full, 308 GiB are left", {}, "fab prune removes old releases and images"),
    Check(OFFSET, "ok", "offset advances, 41 since the first look, up to 12 messages to go"),
    Check("schedule", "skipped", "hosts.yaml schedules no backup of this server"),
)


@functools.cache
def week(server: str = "gpu-1", days: int = 7, gpus: int = 2, every: int = EVERY) -> ServerReport:
    """Some days of one server; what happened lies in the last seven."""
    chance = random.Random(7)  # noqa: S311 - the same page every time
    offset, restarts, rounds = 1_840_000, 0, []
    for index in range(int(days * DAY // every)):
        at = END - days * DAY + 40 + index * every
        if REBOOT[0] <= at < REBOOT[1]:
            restarts = 0
            continue
        offset += (
            0 if _within(at, BROKER_DOWN) else round(every * (0.4 + 0.35 * _daylight(at)) * chance.uniform(0.8, 1.2))
        )
        restarts += 1 if _within(at, UNSTEADY) else 0
        rounds.append(_round(at, offset, restarts, gpus, chance))
    runs = tuple(sorted(RUNS, key=lambda past: past.at, reverse=True))
    return ServerReport(server, AT, CHECKS, tuple(rounds), runs, every, int(days * DAY), 0)


def _within(at: float, span: tuple[float, float]) -> bool:
    return span[0] <= at < span[1]


def _daylight(at: float) -> float:
    return max(math.sin((at % DAY / DAY - 0.25) * 2 * math.pi), 0.0)


def _round(at: float, offset: int, restarts: int, gpus: int, chance: random.Random) -> Round:
    fill = _fill(at)
    said = _said(at, fill)
    levels = dict.fromkeys((ALIVE, BROKER, GPUS, DISK, OFFSET), "ok") | {"schedule": "skipped"}
    levels |= {name: level for name, (level, _) in said.items()}
    down = _within(at, BROKER_DOWN)
    backlog = None if down else int(chance.expovariate(1 / 14)) + _catching_up(at)
    return Round(
        at=clock.iso(at),
        seconds=1.4,
        silent=_silent(at),
        levels=levels,
        said={name: sentence for name, (_, sentence) in said.items()},
        disk={"/azaion": round(fill), "/var/lib/docker": 46 + int(chance.random() * 2)},
        gpus=tuple(_gpu(index, at, chance) for index in range(gpus)),
        queues={"annotation-queue": Queue(offset, None if down else offset + (backlog or 0), backlog, restarts)},
        actions=_actions(at),
        alerts=_alerts(at),
    )


def _fill(at: float) -> float:
    begun = 71 + 13.5 * (at - ago(7)) / (7 * DAY)
    return max(begun - (4.2 if at > PRUNED else 0) + (3 if at > ago(0.35) else 0), 40)


def _said(at: float, fill: float) -> dict[str, tuple[str, str]]:
    said = {}
    if _within(at, BROKER_DOWN):
        said[BROKER] = ("critical", "10.0.4.20:5552 refuses the connection")
        said[OFFSET] = ("unknown", "offset 1902113, unchanged for 2 h; the stream could not be asked: refused")
    if fill > 80:
        said[DISK] = ("warning", f"/azaion is {fill:.0f} % full, {int((100 - fill) * 18)} GiB are left")
    if abs(at - DEAD) < EVERY / 2:
        said[ALIVE] = ("critical", "annotation-queue is exited (137, killed)")
    if _within(at, UNSTEADY):
        said[ALIVE] = ("warning", "the engine has started annotation-queue again 4 times, 12 s ago")
    if _within(at, (REBOOT[1], REBOOT[1] + 900)):
        said[GPUS] = ("critical", "the driver does not answer: nvidia-smi hung for 20 s")
    return said


def _silent(at: float) -> str:
    if _within(at, PAUSE):
        return "deploys are paused until 2026-04-13 23:30 UTC by ann (moving the data)"
    return "deploy by ben is under way" if abs(at - DEPLOYS[0]) < EVERY / 2 else ""


def _catching_up(at: float) -> int:
    since = at - BROKER_DOWN[1]
    return int(9_800 * math.exp(-since / (1.1 * HOUR))) if since >= 0 else 0


def _gpu(index: int, at: float, chance: random.Random) -> Gpu:
    total = 80 * GIB
    if _within(at, (REBOOT[1], REBOOT[1] + 900)):
        return Gpu(index, None, None, total, None)
    if not _within(at, TRAINING) or index > 5:
        return Gpu(index, chance.choice((0, 0, 1, 4)), int(1.05 * GIB), total, 34 + index + int(4 * _daylight(at)))
    validating = at % (2.2 * HOUR) < 0.25 * HOUR
    use = 22 + int(chance.random() * 20) if validating else 93 + int(chance.random() * 6)
    heat = (58 if validating else 71) + index + int(chance.random() * 3) + int(3 * _daylight(at))
    return Gpu(index, use, int((66.5 + index + chance.random()) * GIB), total, heat)


def _actions(at: float) -> tuple[str, ...]:
    if abs(at - DEAD) < EVERY / 2:
        return ("annotation-queue was started again (it had ended with 137): it was dead; now: running for 2 s",)
    return ()


def _alerts(at: float) -> tuple[str, ...]:
    told = {
        BROKER_DOWN[0] + EVERY: f"critical: {BROKER}; unknown: {OFFSET}",
        BROKER_DOWN[0] + 4 * HOUR: f"still critical: {BROKER}; still unknown: {OFFSET}",
        BROKER_DOWN[1]: f"over: {BROKER}, {OFFSET}",
        DEAD: f"critical: {ALIVE}",
        REBOOT[1] + EVERY: f"critical: {GPUS}",
        REBOOT[1] + 900: f"over: {GPUS}",
        UNSTEADY[0] + EVERY: f"warning: {ALIVE}",
        ago(0.34): f"warning: {DISK}",
    }
    return tuple(f"gpu-1: {text}" for moment, text in told.items() if 0 <= at - moment < EVERY)


@functools.cache
def month(gpus: int = 4) -> ServerReport:
    """Thirty days at five minutes, and more alerts than anybody wants."""
    made = week("gpu-1", 30, gpus)
    chance = random.Random(3)  # noqa: S311
    noisy = tuple(
        dataclasses.replace(one, alerts=("gpu-1: warning: disk space",)) if chance.random() < 0.05 else one
        for one in made.rounds
    )
    return dataclasses.replace(made, rounds=noisy)


@functools.cache
def unreachable(server: str = "gpu-3") -> ServerReport:
    error = f"{server}: no answer at 10.0.4.13:22 within 10 s"
    return ServerReport(server, "", (), (), (), 0, int(7 * DAY), 0, error)


@functools.cache
def fresh(server: str = "gpu-2") -> ServerReport:
    """A server that nothing looks after yet, without GPUs and without runs."""
    checks = (
        Check(ALIVE, "critical", "there is no container annotation-queue", {}, "fab deploy creates it"),
        Check(GPUS, "skipped", "hosts.yaml gives this server no GPU"),
    )
    return ServerReport(server, AT, checks, (), (), 0, int(7 * DAY), 0)
