"""The scheduled check as people read it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from gpu_runbook import __version__
from gpu_runbook.common import humanize
from gpu_runbook.laptop.schedule.client import ShownCheck
from gpu_runbook.protocol.check import OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.schedule import Installation, InstalledCheck, Removed, Shown

CRON = "systemctl enable --now cron (or crond)"


def installed(answer: Installation, alerts: int) -> Iterator[tuple[str, str]]:
    """What became of an install: (text, style) of each line."""
    if answer.moved:
        yield "the state moved from {} to {}".format(*answer.moved), "green"
    left = ", ".join(answer.changed)
    yield (f"left there: {left}" if left else "it is there already, nothing was changed"), "green"
    yield f"  {_line(answer.crontab)}", "dim"
    yield from ((f"  {sentence}: {todo}", "yellow") for sentence, todo in _starts_nothing(answer))
    if not alerts:
        yield "  nobody is told anything: hosts.yaml names no alerts under schedule", "yellow"


def _starts_nothing(answer: Installation | Shown) -> Iterator[tuple[str, str]]:
    """Why nothing starts the check for good, and what to do about it."""
    if answer.running is not False:
        return
    if answer.timer is None:
        yield "no cron daemon runs there", CRON
    elif answer.timer.login:
        linger = f"on the server, as root: {shlex.join(['loginctl', 'enable-linger', answer.timer.login])}"
        yield f"the timer ends with the last session of {answer.timer.login}", linger
    else:
        yield "the timer is not active", "fab schedule.install starts it again"


def _line(block: str) -> str:
    """The line of our block that cron reads."""
    return next((one for one in block.splitlines() if not one.startswith("#")), "")


def removed(answer: Removed) -> str:
    history = f"; its history stays: {answer.history}" if answer.history else ""
    return (f"taken away: {', '.join(answer.removed)}" if answer.removed else "there was nothing of it") + history


def rows(shown: ShownCheck) -> list[Check]:
    """What is there, whether it is started, and how it does: a row for each."""
    answer, found = shown.found, shown.found.installed
    made = [_program(shown, found)]
    table, starter = ("timer", "systemd") if answer.timer else ("crontab", "cron")
    if answer.problem:
        made.append(Check(table, WARNING, answer.problem))
    elif not answer.crontab:
        level = WARNING if found else SKIPPED
        made.append(Check(table, level, "it has no block of ours", hint="fab schedule.install"))
    else:
        unit = f"{answer.timer.unit}: " if answer.timer else ""
        made.append(Check(table, OK, unit + _line(answer.crontab)))
    made += [Check(starter, WARNING, sentence, hint=todo) for sentence, todo in _starts_nothing(answer)]
    if answer.running:
        made.append(Check(starter, OK, "runs"))
    elif answer.running is None:
        made.append(Check(starter, SKIPPED, "this login cannot see whether it runs"))
    if found and found.channels:
        told = [*found.channels, *(["heartbeat"] if found.heartbeat else [])]
        made.append(Check("alerts", OK, ", ".join(told)))
    elif found:
        made.append(Check("alerts", WARNING, "nobody is told anything", hint="hosts.yaml: schedule.alerts"))
    return [*made, answer.row]


def told(shown: ShownCheck) -> Iterator[str]:
    """The newest of what it did and said."""
    for one in shown.found.told:
        yield f"  {minute(one.at)}  {one.what}: {one_line(one.text, LONGEST)}"
    for name, alarm in shown.found.state.alarms.items() if shown.found.state else ():
        since = minute(alarm.since)
        who = f"told as {alarm.told}" if alarm.told else "not told yet"
        yield f"  {name} is not well since {since} UTC, {humanize.several(alarm.count, 'round')}; {who}"


def _program(shown: ShownCheck, found: InstalledCheck | None) -> Check:
    if not found:
        return Check("program", SKIPPED, "nothing looks after this server by itself", hint="fab schedule.install")
    sentence = f"{found.version} ({found.program}), left by {found.who}@{found.laptop} {found.at[:10]}"
    if not shown.found.there:
        return Check("program", WARNING, f"{sentence}, and gone since", hint="fab schedule.install")
    if not shown.ours:
        than, hint = _beside(found.version)
        return Check("program", WARNING, f"{sentence}; {than}", hint=hint)
    return Check("program", OK, f"{sentence}, the same as on this laptop")


def _beside(version: str) -> tuple[str, str]:
    """How old a program of that version is beside this laptop's own, another one; and what to do."""
    theirs, ours = (tuple(map(int, re.findall(r"\d{1,9}", text))) for text in (version, __version__))
    if theirs > ours:
        return (
            f"newer than this laptop's {__version__}",
            "use that version here, too: fab schedule.install would go back",
        )
    if theirs < ours:
        return f"older than this laptop's {__version__}", "fab schedule.install"
    return f"this laptop has another one of {__version__}", "fab schedule.install"
