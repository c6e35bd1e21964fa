"""Turns the lines of a journal, and the events of a pull, into sentences. Pure; a line without news is None."""

from __future__ import annotations

import shlex
from typing import Any

from gpu_runbook.common import humanize
from gpu_runbook.protocol.foreign_text import LONGEST, one_line

Line = dict[str, Any]


def sentence(line: Line) -> str | None:
    """What stays on the screen: one line."""
    said = _sentence(line)
    return one_line(said, LONGEST) if said else None


def _sentence(line: Line) -> str | None:
    service = line.get("service", "")
    match line.get("event"):
        case "recovering":
            return "a run that was cut off is brought to an end first"
        case "staged":
            return f"{service}: container and config are ready"
        case "command" if line.get("status") != 0:
            return f"failed: {shlex.join(map(str, line.get('argv', ())))} ({line.get('said', '')})"
        case "unplaced":
            return f"{service}: its config has no place for the chosen model, and keeps its own"
        case "pointed":
            return f"{service}: {line.get('path')} pointed at {line.get('before')}, and now at {line.get('after')}"
        case "swap":
            return _swap(line.get("swap", {}))
        case "swapped":
            return _swapped(line)
        case "restart" if line.get("grace"):
            return f"{service}: stopping it (it has {line['grace']} s), then starting it"
        case "stop" if line.get("grace"):
            return f"{service}: stopping it (it has {line['grace']} s)"
        case "restarted":
            return _swapped({**line, "old_exit": 0})  # the end tells of a kill
        case "watching":
            return f"{service}: watched for at most {line.get('window', 0):.0f} s, until it has proven itself"
        case "verdict":
            return f"{service}: {line.get('verdict')}: {line.get('reason')}"
        case "undoing":
            return f"going back: {line.get('reason')}"
        case "undone":
            return "everything is as it was before" if not line.get("trouble") else None
        case "unfinished":
            times = f", tried {humanize.several(line['tries'], 'time')}" if line.get("tries") else ""
            return f"not brought to its end yet{times}: {line.get('why')}"
        case "recorded":
            return f"recorded as release {line.get('release')}"
        case "unrecorded":
            return f"the new release is in force, but {line.get('why')}"
        case "lost":
            return f"{line.get('why')}; trying to come back to the run"
    return None


def passing(line: Line) -> str | None:
    """What may be overwritten by the next news: one line."""
    match line.get("event"):
        case "seen":
            return one_line(_seen(line))
        case "pulling":
            return one_line(_pulling(line))
    return None


def _swap(swap: Line) -> str:
    if not swap.get("old"):
        return f"{swap.get('service')}: starting"
    return f"{swap.get('service')}: stopping the old one (it has {swap.get('grace')} s), then starting the new one"


def _swapped(line: Line) -> str:
    down = f"; it was down for {line['outage']:.2f} s" if "outage" in line else ""
    offset = f", next offset {line['offset']}" if line.get("offset") is not None else ""
    killed = "; the old one had to be killed (137): messages may be read again" if line.get("old_exit") == 137 else ""
    return f"{line.get('service')}: started{down}{offset}{killed}"


def _seen(line: Line) -> str:
    silent = not line.get("engine", True)
    state = "docker does not answer" if silent else "running" if line.get("running") else "not running"
    parts = [f"{line.get('service')}: {state}"]
    if line.get("offset") is not None:
        parts.append(f"offset {line['offset']}")
    if line.get("backlog") is not None:
        parts.append(f"{humanize.several(line['backlog'], 'message')} waiting")
    if line.get("broker"):
        parts.append(str(line["broker"]))
    return ", ".join(parts)


def _pulling(line: Line) -> str:
    image = str(line.get("image", "")).split("@")[0]
    total = line.get("total") or 0
    share = f" {humanize.size(line.get('done', 0))} of {humanize.size(total)}" if total else ""
    return f"pulling {image}{share}"
