"""Every level, every kind of alert, every channel: each is written, and says what it is about. Nothing is sent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest

from gpu_runbook.laptop.schedule.presets import PRESETS, with_topic
from gpu_runbook.protocol.check import LEVELS, OK, SKIPPED, Check
from gpu_runbook.protocol.health import DiskLimits, Expected, Request
from gpu_runbook.protocol.schedule import Channels, Mail, Program, Settings, Webhook
from gpu_runbook.server.schedule.notify import channels
from gpu_runbook.server.schedule.notify.channels import Channel
from gpu_runbook.server.schedule.notify.message import SIGNS, Message, compose, legible, simple
from gpu_runbook.server.schedule.notify.policy import NEW, OVER, STILL, WORSE, News
from gpu_runbook.server.schedule.state import Pending
from gpu_runbook.server.schedule.waiting import untold, without

AT, SINCE = "2026-04-20T02:15:00Z", "2026-04-20T02:10:00Z"
OWN = {"about": "{title}", "severity": "{level}", "on": "{server}, {at}", "all": "{rows}", "P": "{priority}"}
SEVERITIES = ("ok", "warning", "critical", "unknown")  # what {level} may become, by docs/while-nobody-looks.md

HOOKS = [Webhook(kind, f"http://{kind}.lan/x", preset.body, preset.limit) for kind, preset in PRESETS.items()]
NTFY = Webhook("ntfy", *with_topic("https://ntfy.lan/gpus", PRESETS["ntfy"].body))
SETTINGS = Settings(
    "gpu-1",
    "/azaion",
    300,
    Request(DiskLimits((), 80.0, 95.0), Expected(0)),
    channels=Channels(
        webhooks=(*(hook for hook in HOOKS if hook.name != "ntfy"), NTFY, Webhook("own", "http://own.lan/x", OWN)),
        mails=(Mail("mail", "mail.lan", 25, "gpu-1@team.lan", ("me@team.lan", "you@team.lan")),),
        programs=(Program("command", ("/usr/bin/page", "{level}", "{title}", "{rows}", "{tag} {priority}")),),
    ),
)
ALL = channels.of(SETTINGS)


def alert(what: str, level: str, *done: str) -> Message:
    found = News(what, Check("disk space", level, "is as it is", {}, "look there"), SINCE)
    return compose("gpu-1", AT, [found], done)


def held_back(level: str) -> Pending:
    return Pending("ops", alert(NEW, level), "answered with status 500", AT, 3)


# All that a round, an overlapping one, a test and the delivery itself may tell.
KINDS: dict[str, Callable[[str], Message]] = {
    "new": lambda level: alert(NEW, level),
    "worse": lambda level: alert(WORSE, level),
    "still": lambda level: alert(STILL, level),
    "over": lambda level: alert(OVER, level),
    "done": lambda level: compose("gpu-1", AT, [], ["disk space: was made"]),
    "done and over": lambda level: alert(OVER, level, "disk space: was made"),
    "done and new": lambda level: alert(NEW, level, "disk space: was made"),
    "test": lambda level: compose("gpu-1", AT, [], ["a test of disk space, sent by ops"], test=True),
    "instead of a dropped one": lambda level: untold(held_back(level), "was not taken: answered with status 400"),
    "how many were dropped": lambda level: without([held := held_back(level)], [held], "gpu-1")[0].message,
    "as a state has it": lambda level: dataclasses.replace(alert(NEW, OK), level=level),
}


def read(name: str, written: Any) -> str:
    """What was written for a channel, as its receiver reads it."""
    if name == "mail":
        letter = message_from_bytes(written, policy=policy.default)
        assert (letter["From"], letter["To"]) == ("gpu-1@team.lan", "me@team.lan, you@team.lan")
        content: str = letter.get_content()
        return f"{letter['Subject']}\n{content}"
    if name == "command":
        argv, text = written
        assert argv[0] == "/usr/bin/page" and argv[1] in SEVERITIES and argv[4].split()[1] in "345"
        return f"{argv[2]}\n{text}"
    body = json.loads(written)
    if name == "own":
        assert body["severity"] in SEVERITIES and body["P"] in (3, 4, 5) and isinstance(body["all"], list)
        assert body["on"] == f"gpu-1, {AT}"
    if name == "ntfy":
        assert body["topic"] == "gpus" and body["priority"] in (3, 4, 5) and body["tags"][0].isidentifier()
    return "\n".join(texts(body))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_every_level_has_its_words() -> None:
    assert set(SIGNS) == set(LEVELS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [*LEVELS, "of another version"])
def test_each_is_written(level: str, kind: str) -> None:
    message = KINDS[kind](level)
    about = "1 alert was dropped" if kind == "how many were dropped" else "disk space"
    for name, channel in ALL.items():
        said = read(name, channel.write(legible(message)))
        assert about in said and "gpu-1" in said, name
        plain = read(name, channel.write_plainly(message))
        assert simple(message.title) in plain, name


@pytest.mark.parametrize("what", [NEW, WORSE, STILL, OVER])
@pytest.mark.parametrize("level", LEVELS)
def test_an_alert_is_never_of_a_level_that_is_none_of_an_alert(level: str, what: str) -> None:
    assert alert(what, level).level == (OK if level == SKIPPED else level)


STRANGE = 'a\udcff "quoted\\"\r\n<!channel> {text} {rows}\x00\x1b[31m\x7f é …'


@pytest.mark.parametrize("name", ALL)
def test_whatever_stands_in_the_words_it_can_be_sent(name: str) -> None:
    row = {"what": STRANGE, "name": STRANGE, "sentence": STRANGE}
    message = Message(f"gpu-1{STRANGE}", AT, STRANGE, f"gpu-1 {STRANGE}", STRANGE * 5000, (row, {}))
    for write in (ALL[name].write, ALL[name].write_plainly):
        written = write(legible(message))
        for part in [*written[0], written[1]] if name == "command" else [written.decode()]:
            assert part.encode("utf-8") and "\0" not in part and len(part.encode()) < 1 << 17
    said = ALL["webhook"].write(legible(message))
    assert "\n" not in json.loads(said)["title"] and not set("\x00\r\x1b\udcff") & set(json.loads(said)["text"])


def test_a_defect_in_the_making_of_an_alert_leaves_a_line_that_names_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_runbook.server.schedule.notify.message._told", lambda one: 1 // 0)
    message = alert(NEW, "critical")
    assert message.title == "gpu-1: an alert could not be written: ZeroDivisionError; see fab health; about disk space"
    assert message.level == "critical"


def test_a_channel_of_each_kind_is_there() -> None:
    assert set(ALL) == {*PRESETS, "own", "mail", "command"}
    assert all(isinstance(channel, Channel) for channel in ALL.values())
