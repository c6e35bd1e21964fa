"""What a line of a log says of itself: how grave it is, and when it was written. Pure.

A level is read where loggers put it, behind a time, a name or a thread at the line's beginning, or under its key in a
JSON line: a word further on is what somebody said.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from typing import Any, Dict, Optional, Sequence, Tuple

from gpu_runbook.protocol.logs import LEVELS, LogRules

HEAD = 400  # characters of a line in which its level stands
FIELDS = 4  # in front of the level: a process, a thread, a name, a place in the code
MILD = "info"  # whatever is no failure for anybody

LEVEL_KEYS = ("level", "levelname", "severity", "log.level", "lvl", "@l")
MESSAGE_KEYS = ("message", "msg", "event", "@m", "@mt")
TIME_KEYS = ("timestamp", "time", "ts", "@timestamp", "asctime", "@t")

_SPELLINGS = {
    "critical": "critical fatal crit emerg emergency alert panic ftl",
    "error": "error err severe eror",
    "warning": "warning warn wrn",
    MILD: "info information inf notice debug dbug dbg trace trc verbose",
}
_GRAVE = {word: level for level, words in _SPELLINGS.items() for word in words.split()}
_WORDS = "|".join(sorted(_GRAVE, key=len, reverse=True))
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
_TIME = re.compile(
    r"[\[(]?(?P<date>\d{4}[-/.]\d\d[-/.]\d\d)[T ,]{1,2}(?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,9}))?"
    r" ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?[\])]?"
)
_CLOCK = re.compile(r"[\[(]?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?[\])]?")
_IN_BRACKETS = re.compile(rf"[\[(<] {{0,8}}({_WORDS}|[CEWIDF]) {{0,8}}[\])>]", re.IGNORECASE)
_BARE = re.compile(rf"({_WORDS.upper()})(?=[\s:|,\])-]|$)")
_FIRST = re.compile(r"(critical|fatal|error|warning|warn|info|debug)(?=: )", re.IGNORECASE)  # as programs in C have it
_NAMED = re.compile(rf"[^\s|]{{1,100}} {{1,8}}({_WORDS.upper()})(?=[\s:]|$)")  # behind a time: a logger's name, bare
_FIELD = re.compile(r"\[[^\]]{0,100}\]|[^\s|]{1,100}(?= {1,8}[-|] )|[\w./-]{1,100}(?= \[)|\d{1,10}(?= )")
_LOGFMT = re.compile(rf'(?:^| )(?:level|lvl|severity)="?({_WORDS})\b', re.IGNORECASE)
_BETWEEN = " \t|-–"


def failing(line: str, failure_text: Sequence[str], rules: LogRules) -> str:
    """What a line says that means that a release failed, nothing where it means no such thing.

    Where levels are read, a line that has one is judged by it alone, and the texts are searched for in all others.
    """
    if rules.level:
        data = _json(line)
        found = _level_under(data, rules) if data is not None else _level_in(line) or _level_of_cut(line, rules)
        if found:
            if found == MILD or LEVELS.index(found) < LEVELS.index(rules.level):
                return ""
            said = _under(data, rules.message_key, MESSAGE_KEYS) if data else None
            return f"{found.upper()}: {said}" if isinstance(said, str) and said else line
    return line if any(text in line for text in failure_text) else ""


def written(line: str, rules: LogRules) -> Optional[Tuple[float, bool]]:
    """When a line says that it was written, as (seconds since 1970, whether it says its zone); None where it does not.

    A time without a zone is taken for one of UTC.
    """
    data = _json(line)
    said = line[:HEAD] if data is None else _under(data, rules.time_key, TIME_KEYS)
    if isinstance(said, (int, float)) and not isinstance(said, bool):
        seconds = said / 1000 if said > 1e11 else said
        return (float(seconds), True) if 0 <= seconds < 1e11 else None
    match = _TIME.match(_COLOUR.sub("", said).lstrip()) if isinstance(said, str) else None
    if not match:
        return None
    try:
        day = time.strptime(re.sub("[/.]", "-", match["date"]) + match["clock"], "%Y-%m-%d%H:%M:%S")
    except ValueError:
        return None
    seconds = calendar.timegm(day) + float(f"0.{match['part'] or 0}")
    zone = match["zone"] or ""
    if zone[:1] in ("+", "-"):
        away = (int(zone[1:3]) * 60 + int(zone[-2:])) * 60
        seconds -= away if zone[0] == "+" else -away
    return seconds, bool(zone)


def _level_in(line: str) -> str:
    """The level of a line of text: critical, error, warning or info; empty where it says none."""
    rest = _COLOUR.sub("", line[:HEAD]).lstrip(_BETWEEN)
    at = _TIME.match(rest) or _CLOCK.match(rest)
    rest = rest[at.end() :].lstrip(_BETWEEN + ":") if at else rest
    if re.match(r"\w{1,40}=", rest):
        found = _LOGFMT.search(rest)
        return _GRAVE[found[1].lower()] if found else ""
    outset = _NAMED if at else _FIRST
    for _ in range(FIELDS):
        found = _IN_BRACKETS.match(rest) or _BARE.match(rest) or outset.match(rest)
        if found:
            word = found[1].lower()
            return _GRAVE.get(word) or {"c": "critical", "f": "critical", "e": "error", "w": "warning"}.get(word, MILD)
        field = _FIELD.match(rest)
        if not field:
            break
        rest, outset = rest[field.end() :].lstrip(_BETWEEN), _BARE
    return ""


def _level_under(data: Dict[str, Any], rules: LogRules) -> str:
    said = _under(data, rules.level_key, LEVEL_KEYS)
    return _GRAVE.get(said.strip().lower(), "") if isinstance(said, str) else ""


def _level_of_cut(line: str, rules: LogRules) -> str:
    """The same of a JSON line that is not whole."""
    if not line.startswith("{"):
        return ""
    keys = "|".join(map(re.escape, [rules.level_key] if rules.level_key else LEVEL_KEYS))
    found = re.search(rf'"(?:{keys})"\s{{0,8}}:\s{{0,8}}"({_WORDS})"', line, re.IGNORECASE)
    return _GRAVE[found[1].lower()] if found else ""


def _under(data: Dict[str, Any], key: str, usual: Sequence[str]) -> Any:
    return next((data[one] for one in ([key] if key else usual) if one in data), None)


def _json(line: str) -> Optional[Dict[str, Any]]:
    """What a JSON line holds, None where it is none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
