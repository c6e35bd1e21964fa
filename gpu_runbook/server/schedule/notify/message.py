"""What is told of a round: one message that groups all that is wrong, gets worse, lasts or is over. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Sequence, Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING
from gpu_runbook.protocol.foreign_text import LONGEST, one_line
from gpu_runbook.protocol.forms import KeptLevel, Time, minute
from gpu_runbook.protocol.placeholders import WORD, WORDS
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.schedule.notify import markup
from gpu_runbook.server.schedule.notify.policy import NEW, OVER, STILL, WORSE, News, rank

TITLE, TEXT = 200, 20_000  # characters
MORE = "\n… (shortened)"
SHOWN = {NEW: "", WORSE: "now ", STILL: "still ", OVER: ""}
# Of each level: what {level}, {priority} (as ntfy counts them) and {tag} say. A level of another version is unknown.
SIGNS = {
    OK: (OK, 3, "white_check_mark"),
    SKIPPED: (OK, 3, "white_check_mark"),
    WARNING: (WARNING, 4, "warning"),
    UNKNOWN: (UNKNOWN, 4, "question"),
    CRITICAL: (CRITICAL, 5, "rotating_light"),
}
_STRANGE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # neither text nor the end of a line
_FANCY = re.compile(r"[^A-Za-z0-9 .,:;()/%+=_'-]")


@dataclass(frozen=True)
class Message:
    """One alert. `rows` has an entry for each thing told: what, name, level, sentence, hint, since."""

    server: str
    at: Time  # the server's clock
    level: KeptLevel
    title: str
    text: str
    rows: Tuple[Dict[str, str], ...] = ()


def compose(server: str, at: str, news: Sequence[News], remarks: Sequence[str], test: bool = False) -> Message:
    """The message for what there is to tell; `remarks` are sentences of what was done or found beside the rows.

    Where a defect keeps it from being written, a line that names the rows: a round has to tell something.
    """
    try:
        return _composed(server, at, news, remarks, test)
    except Exception as error:
        about = ", ".join(one.check.name for one in news)
        text = simple(f"{server}: an alert could not be written: {type(error).__name__}; see fab health; about {about}")
        level = CRITICAL if any(one.check.level == CRITICAL for one in news) else WARNING
        return Message(server, at, level, text, text)


def _composed(server: str, at: str, news: Sequence[News], remarks: Sequence[str], test: bool) -> Message:
    ordered = sorted(news, key=lambda one: (one.what == OVER, -rank(one.check.level)))
    remarks = [one_line(remark, LONGEST) for remark in remarks]
    lines = [*remarks, *(line for one in ordered for line in _told(one)), ending(server, at)]
    level = max((one.check.level for one in ordered), key=rank, default=OK)
    if not rank(level):  # what is over may be skipped now, which is no level of an alert
        level = WARNING if remarks and not test else OK
    rows = tuple(_row(one) for one in ordered)
    return Message(server, at, level, _title(server, ordered, remarks), "\n".join(lines), rows)


def ending(server: str, at: str) -> str:
    """The last line of an alert: when that was, and where more is said."""
    return f"{minute(at)} UTC. fab health --hosts {server} asks again, fab health --since 24h tells what was."


def legible(message: Message) -> Message:
    """The same as every channel can write it: a title of one line, no strange characters, no more than a person reads.

    Whatever an engine, a file name or the state of another version has put there.
    """
    rows = tuple({key: _text(value) for key, value in row.items()} for row in message.rows)
    title, text = " ".join(_text(message.title).split())[:TITLE], _text(message.text)
    return Message(_text(message.server), _text(message.at), message.level, title, _shortened(text, TEXT), rows)


def simple(text: str) -> str:
    """One line of plain ASCII, without a character that means something in JSON, in a markup or in a template."""
    return _FANCY.sub("?", " ".join(text.split()))[:TITLE]


def fill(template: Any, message: Message, limit: int) -> Any:
    """A JSON value with the message's words put into its texts; nothing in a word is taken for a word again."""
    if isinstance(template, dict):
        return {key: fill(value, message, limit) for key, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [fill(value, message, limit) for value in template]
    if not isinstance(template, str):
        return template
    known = _words(message, limit)
    alone = WORD.fullmatch(template)
    if alone and alone[1] in known:
        return known[alone[1]]
    return WORD.sub(lambda match: str(known.get(match[1], match[0])), template)


def fill_plainly(template: Any, message: Message) -> str:
    """The template as JSON, with a `simple` title for all texts. By no code that writes an alert: that has failed."""
    level, priority, tag = SIGNS[WARNING if message.level != CRITICAL else CRITICAL]
    words = {"level": level, "priority": priority, "tag": tag, "rows": [], "at": simple(message.at)}
    title, made = simple(message.title), json.dumps(template)
    for word in WORDS:
        value = words.get(word, simple(message.server) if word == "server" else title)
        made = made.replace(f'"{{{word}}}"', json.dumps(value)).replace(f"{{{word}}}", str(value))
    return made


def _words(message: Message, limit: int) -> Dict[str, Any]:
    text, (level, priority, tag) = _shortened(message.text, limit), SIGNS.get(message.level, SIGNS[UNKNOWN])
    return {
        "title": message.title,
        "text": text,
        "level": level,
        "server": message.server,
        "at": message.at,
        "rows": list(message.rows),
        "priority": priority,
        "tag": tag,
        "title_escaped": markup.slack(message.title),
        "text_escaped": markup.slack(text),
        "title_markdown": markup.markdown(message.title),
        "text_markdown": _shortened(markup.markdown(message.text), limit),
        "card": markup.card(message.title, text),
    }


def _title(server: str, news: Sequence[News], remarks: Sequence[str]) -> str:
    """What is wrong, worst first, and what is over; where nothing is wrong, what was done."""
    groups: Dict[str, List[str]] = {}
    for one in news:
        groups.setdefault("over" if one.what == OVER else SHOWN[one.what] + one.check.level, []).append(one.check.name)
    said = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items())
    if remarks and all(one.what == OVER for one in news):
        said = remarks[0]
    return one_line(f"{server}: {said}", TITLE)


def _told(one: News) -> List[str]:
    since = f"since {minute(one.since)} UTC" if one.since else ""
    if one.what == OVER:
        unasked = "no longer checked: " if one.check.level == SKIPPED else ""  # as after fab stop: it may be as it was
        return [f"over: {one.check.name}: {unasked}{one.check.sentence} (it was wrong {since})"]
    line = f"{SHOWN[one.what]}{one.check.level}: {one.check.name}: {one.check.sentence} ({since})"
    return [line, f"  {one.check.hint}"] if one.check.hint else [line]


def _row(one: News) -> Dict[str, str]:
    check = one.check
    told = {"name": check.name, "level": check.level, "sentence": check.sentence, "hint": check.hint}
    return {"what": one.what, **told, "since": one.since}


def _text(text: str) -> str:
    return _STRANGE.sub("\ufffd", text)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(MORE)].rstrip("\\") + MORE
