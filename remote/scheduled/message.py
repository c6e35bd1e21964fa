"""What is told of a round: one message that groups all that is wrong, gets worse, lasts or is over. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

from remote.scheduled.alarm import NEW, OVER, RANK, STILL, WORSE, News
from remote.words import CRITICAL, OK, UNKNOWN, WARNING

TITLE = 200  # characters
MORE = "\n… (shortened)"
SHOWN = {NEW: "", WORSE: "now ", STILL: "still ", OVER: ""}
PRIORITY = {OK: 3, WARNING: 4, UNKNOWN: 4, CRITICAL: 5}  # as ntfy counts them
TAG = {OK: "white_check_mark", WARNING: "warning", UNKNOWN: "question", CRITICAL: "rotating_light"}
# What stands in braces in a body or an argument. A text that is one word and nothing else becomes what it stands for.
WORDS = ("title", "text", "level", "server", "at", "rows", "priority", "tag", "title_escaped", "text_escaped")
_WORD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Message:
    """One alert. `rows` has an entry for each thing told: what, name, level, sentence, hint, since."""

    server: str
    at: str  # RFC 3339, the server's clock
    level: str
    title: str
    text: str
    rows: Tuple[Dict[str, str], ...] = ()


def compose(server: str, at: str, news: Sequence[News], remarks: Sequence[str], test: bool = False) -> Message:
    """The message for what there is to tell; `remarks` are sentences of what was done or found beside the rows."""
    ordered = sorted(news, key=lambda one: (one.what == OVER, -RANK[one.check.level]))
    lines = [*remarks, *(line for one in ordered for line in _told(one))]
    lines.append(f"{_clock(at)} UTC. fab health --hosts {server} asks again, fab health --since 24h tells what was.")
    level = max((one.check.level for one in ordered), key=lambda level: RANK[level], default=OK)
    if remarks and not RANK[level]:
        level = OK if test else WARNING
    rows = tuple(_row(one) for one in ordered)
    return Message(server, at, level, _title(server, ordered, remarks), "\n".join(lines), rows)


def fill(template: Any, message: Message, limit: int) -> Any:
    """A JSON value with the message's words put into its texts; nothing in a word is taken for a word again."""
    if isinstance(template, dict):
        return {key: fill(value, message, limit) for key, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [fill(value, message, limit) for value in template]
    if not isinstance(template, str):
        return template
    known = _words(message, limit)
    alone = _WORD.fullmatch(template)
    if alone and alone[1] in known:
        return known[alone[1]]
    return _WORD.sub(lambda match: str(known.get(match[1], match[0])), template)


def strange_words(template: Any) -> List[str]:
    """The words in braces that mean nothing, in the order of the texts."""
    if isinstance(template, dict):
        return [word for value in template.values() for word in strange_words(value)]
    if isinstance(template, (list, tuple)):
        return [word for value in template for word in strange_words(value)]
    if not isinstance(template, str):
        return []
    return [word for word in _WORD.findall(template) if word not in WORDS]


def _words(message: Message, limit: int) -> Dict[str, Any]:
    text = message.text if len(message.text) <= limit else message.text[: limit - len(MORE)] + MORE
    return {
        "title": message.title,
        "text": text,
        "level": message.level,
        "server": message.server,
        "at": message.at,
        "rows": list(message.rows),
        "priority": PRIORITY[message.level],
        "tag": TAG[message.level],
        "title_escaped": _escaped(message.title),
        "text_escaped": _escaped(text),
    }


def _title(server: str, news: Sequence[News], remarks: Sequence[str]) -> str:
    """What is wrong, worst first, and what is over; where nothing is wrong, what was done."""
    groups: Dict[str, List[str]] = {}
    for one in news:
        groups.setdefault("over" if one.what == OVER else SHOWN[one.what] + one.check.level, []).append(one.check.name)
    said = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items())
    if remarks and all(one.what == OVER for one in news):
        said = remarks[0]
    return " ".join(f"{server}: {said}".split())[:TITLE]  # one line, whatever an engine's words are made of


def _told(one: News) -> List[str]:
    since = f"since {_clock(one.since)} UTC" if one.since else ""
    if one.what == OVER:
        return [f"over: {one.check.name}: {one.check.sentence} (it was wrong {since})"]
    line = f"{SHOWN[one.what]}{one.check.level}: {one.check.name}: {one.check.sentence} ({since})"
    return [line, f"  {one.check.hint}"] if one.check.hint else [line]


def _row(one: News) -> Dict[str, str]:
    check = one.check
    told = {"name": check.name, "level": check.level, "sentence": check.sentence, "hint": check.hint}
    return {"what": one.what, **told, "since": one.since}


def _clock(at: str) -> str:
    return at[:16].replace("T", " ")


def _escaped(text: str) -> str:
    """As Slack and its like want it, so that nothing in a text calls the whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
