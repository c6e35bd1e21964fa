"""The scheduled check as people read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gpu_runbook import __version__
from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.foreign_text import LONGEST, one_line

CRON = "systemctl enable --now cron (or crond)"


def installed(answer: dict[str, Any], alerts: int) -> Iterator[tuple[str, str]]:
    """What became of an install: (text, style) of each line."""
    changed = answer.get("changed") or []
    if answer.get("moved"):
        yield "the state moved from {} to {}".format(*answer["moved"]), "green"
    yield (f"left there: {', '.join(changed)}" if changed else "it is there already, nothing was changed"), "green"
    yield f"  {_line(answer['crontab'])}", "dim"
    if answer.get("running") is False:
        yield f"  no cron daemon runs there: {CRON}", "yellow"
    if not alerts:
        yield "  nobody is told anything: hosts.yaml names no alerts under schedule", "yellow"


def _line(block: str) -> str:
    """The line of our block that cron reads."""
    return next((one for one in block.splitlines() if not one.startswith("#")), "")


def removed(answer: dict[str, Any]) -> str:
    gone = answer.get("removed") or []
    history = f"; its history stays: {answer['history']}" if answer.get("history") else ""
    return (f"taken away: {', '.join(gone)}" if gone else "there was nothing of it") + history


def rows(answer: dict[str, Any]) -> list[Check]:
    """What is there, whether it is started, and how it does: a row for each."""
    found, block, running = answer.get("installed"), answer.get("crontab"), answer.get("running")
    row = answer["row"]
    made = [_program(answer, found)]
    if answer.get("problem"):
        made.append(Check("crontab", WARNING, str(answer["problem"])))
    elif not block:
        level = WARNING if found else SKIPPED
        made.append(Check("crontab", level, "it has no block of ours", hint="fab schedule.install"))
    else:
        made.append(Check("crontab", OK, _line(block)))
    if running is False:
        made.append(Check("cron", WARNING, "no cron daemon runs there", hint=CRON))
    elif running:
        made.append(Check("cron", OK, "runs"))
    else:
        made.append(Check("cron", SKIPPED, "this login cannot see whether it runs"))
    if found and found["channels"]:
        told = [*found["channels"], *(["heartbeat"] if found.get("heartbeat") else [])]
        made.append(Check("alerts", OK, ", ".join(told)))
    elif found:
        made.append(Check("alerts", WARNING, "nobody is told anything", hint="hosts.yaml: schedule.alerts"))
    return [*made, row]


def told(answer: dict[str, Any]) -> Iterator[str]:
    """The newest of what it did and said."""
    for one in answer.get("told") or []:
        yield f"  {str(one['at'])[:16].replace('T', ' ')}  {one['what']}: {one_line(str(one['text']), LONGEST)}"
    state = answer.get("state") or {}
    for name, alarm in (state.get("alarms") or {}).items():
        since = str(alarm.get("since", ""))[:16].replace("T", " ")
        who = f"told as {alarm['told']}" if alarm.get("told") else "not told yet"
        yield f"  {name} is not well since {since} UTC, {humanize.several(int(alarm.get('count', 0)), 'round')}; {who}"


def _program(answer: dict[str, Any], found: Any) -> Check:
    if not found:
        return Check("program", SKIPPED, "nothing looks after this server by itself", hint="fab schedule.install")
    sentence = f"{found['version']} ({found['program']}), left by {found['who']}@{found['laptop']} {found['at'][:10]}"
    if not answer.get("there"):
        return Check("program", WARNING, f"{sentence}, and gone since", hint="fab schedule.install")
    if not answer["ours"]:
        than, hint = _beside(found["version"])
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
