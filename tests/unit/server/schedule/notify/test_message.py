"""The message of a round: what stands in it, in which order, and how it is put into what a channel takes."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from gpu_runbook.laptop.schedule.presets import PRESETS, with_topic
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.placeholders import strange_words
from gpu_runbook.server.schedule.notify.message import Message, compose, fill
from gpu_runbook.server.schedule.notify.policy import NEW, OVER, STILL, WORSE, News
from tests.unit.nasty import MARKUP

AT, SINCE = "2026-04-20T02:15:00Z", "2026-04-20T02:10:00Z"


def news(what: str, level: str, name: str, hint: str = "") -> News:
    return News(what, Check(name, level, f"{name} says so", {}, hint), SINCE)


def news_of(text: str) -> News:
    return News(NEW, Check("disk space", CRITICAL, text, {}, text), SINCE)


def test_the_worst_stands_first_and_what_is_over_last() -> None:
    found = [news(OVER, OK, "disk space"), news(NEW, WARNING, "GPU"), news(WORSE, CRITICAL, "broker", "look there")]
    message = compose("gpu-1", AT, found, ["annotation-queue was started again"])
    assert message.title == "gpu-1: now critical: broker; warning: GPU; over: disk space"
    assert message.level == CRITICAL
    assert message.text.splitlines() == [
        "annotation-queue was started again",
        "now critical: broker: broker says so (since 2026-04-20 02:10 UTC)",
        "  look there",
        "warning: GPU: GPU says so (since 2026-04-20 02:10 UTC)",
        "over: disk space: disk space says so (it was wrong since 2026-04-20 02:10 UTC)",
        "2026-04-20 02:15 UTC. fab health --hosts gpu-1 asks again, fab health --since 24h tells what was.",
    ]
    assert [row["what"] for row in message.rows] == ["worse", "new", "over"]


@pytest.mark.parametrize(
    ("found", "remarks", "level"),
    [
        ([news(OVER, OK, "a")], [], OK),
        ([news(STILL, UNKNOWN, "a")], [], UNKNOWN),
        ([], ["it was started again"], WARNING),
        ([news(OVER, OK, "a")], ["it was started again"], WARNING),
    ],
)
def test_the_level_is_that_of_the_worst_thing_told(found: list[News], remarks: list[str], level: str) -> None:
    assert compose("gpu-1", AT, found, remarks).level == level


def test_where_nothing_is_wrong_any_more_the_title_is_what_was_done() -> None:
    done = ["annotation-queue was\nstarted again", "more"]
    for found in ([], [news(OVER, OK, "a")]):
        assert compose("gpu-1", AT, found, done).title == "gpu-1: annotation-queue was started again"
    assert compose("gpu-1", AT, [news(NEW, WARNING, "a")], done).title == "gpu-1: warning: a"


HOSTILE = Message("gpu-1", AT, CRITICAL, 'a "title" {text}', "<!channel> & {title}\nnew\x00line", ({"name": "x"},))


def test_words_are_put_in_as_they_are_and_never_taken_for_words_again() -> None:
    body = {"a": "{title}|{text}", "b": ["{level}", 3, None, True], "{title}": "{nothing}"}
    assert fill(body, HOSTILE, 1000) == {
        "a": f"{HOSTILE.title}|{HOSTILE.text}",
        "b": ["critical", 3, None, True],
        "{title}": "{nothing}",
    }


def test_a_text_that_is_one_word_becomes_what_it_stands_for() -> None:
    assert fill({"rows": "{rows}", "priority": "{priority}"}, HOSTILE, 1000) == {"rows": [{"name": "x"}], "priority": 5}


def test_a_text_is_shortened_to_what_the_service_takes() -> None:
    long = Message("gpu-1", AT, OK, "t", "x" * 5000)
    text = fill("{text}", long, 100)
    assert len(text) == 100 and text.endswith("… (shortened)")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_json_and_knows_its_words(name: str) -> None:
    preset = PRESETS[name]
    assert strange_words(preset.body) == []
    said = json.dumps(fill(preset.body, HOSTILE, preset.limit))
    assert HOSTILE.title.split()[0] in said


def test_slack_cannot_be_made_to_call_the_whole_channel() -> None:
    text = fill(PRESETS["slack"].body, HOSTILE, 1000)["text"]
    assert "<!channel>" not in text and "&lt;!channel&gt; &amp;" in text


@pytest.mark.parametrize("text", MARKUP.values(), ids=MARKUP)
def test_no_service_finds_markup_in_what_others_say(text: str) -> None:
    said = compose("gpu-1", AT, [news_of(text)], [text])
    slack = fill(PRESETS["slack"].body, said, 3500)["text"].split("\n", 1)[1]
    assert not re.search(r"[<>`*]|(?<!\w)[@#~_](?=\w)|\]\(|(?<!\w):\w+:", slack), slack
    discord = fill(PRESETS["discord"].body, said, 1500)["content"].split("\n", 1)[1]
    assert not re.search(r"(?<!\\)[`*_~|<>\[\]()#@!]|[^\\]://", discord), discord
    assert discord.replace("\\", "") == said.text.replace("\\", "")
    body = fill(PRESETS["teams"].body, said, 3500)["attachments"][0]["content"]["body"]
    assert {block["type"] for block in body} == {"RichTextBlock"}, "a TextBlock takes Markdown"
    assert [run["text"] for block in body for run in block["inlines"]] == [said.title, *said.text.split("\n")]


def test_our_own_words_stay_as_they_are() -> None:
    hint = "set RABBITMQ_HOST and RABBITMQ_PORT; see journalctl -k | grep NVRM, 127.0.0.1:5552 at 2026-04-20 02:10"
    words = fill({"a": "{text_escaped}", "b": "{text_markdown}"}, dataclasses.replace(HOSTILE, text=hint), 1000)
    assert words["a"] == hint
    assert words["b"].replace("\\", "") == hint


def test_what_is_escaped_is_still_what_the_service_takes() -> None:
    text = fill("{text_markdown}", dataclasses.replace(HOSTILE, text="*" * 5000), 100)
    assert len(text) == 100 and text.endswith("*\n… (shortened)")


def test_ntfy_has_the_topic_of_its_address_in_its_body() -> None:
    url, body = with_topic("https://ntfy.lan/folder/gpu-alerts", PRESETS["ntfy"].body)
    assert (url, body["topic"], body["priority"]) == ("https://ntfy.lan/folder/", "gpu-alerts", "{priority}")


def test_strange_words_are_found_wherever_they_stand() -> None:
    assert strange_words({"a": ["{title}", {"b": "{tittle}"}], "c": 1}) == ["tittle"]
