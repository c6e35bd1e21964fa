"""The page of `fab report` as a parser reads it: hostile text stays text, nothing is fetched, no critical is lost."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from gpu_runbook.laptop.report import clock, page, timeline
from gpu_runbook.laptop.report.downsample import MOST_POINTS
from gpu_runbook.laptop.report.plots import figures
from gpu_runbook.laptop.report.values import Course, ServerReport, course
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, WARNING, Check
from gpu_runbook.protocol.history import ServiceChange
from gpu_runbook.protocol.rounds import Round
from tests.report import made

ROW, STEP, MONTH = "disk space", 300, 8640
EVIL = "</script><img src=x onerror=alert(1)>"
HOSTILE = f"{EVIL}<!-- ' \" onload=alert(2) javascript:alert(3) &lt; \u202e\u2066 ]]> {{{{ 7*7 }}}}"


class Elements(HTMLParser):
    """Every element with its attributes, and the text in each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inner: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self._within = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._within = tag
        if tag in self.inner:
            self.inner[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in self.inner:
            self.inner[self._within][-1] += data
        else:
            self.text += data

    def attributes(self, *names: str) -> list[str]:
        return [value or "" for _, held in self.found for name, value in held.items() if name in names]


def hostile() -> ServerReport:
    """A server that says the same wherever it may say anything."""
    calm = made.week(HOSTILE)
    changed: dict[str, Any] = {
        "silent": HOSTILE,
        "actions": (HOSTILE,),
        "alerts": (HOSTILE,),
        "said": {HOSTILE: HOSTILE},
        "levels": {HOSTILE: CRITICAL, ROW: HOSTILE},
        "disk": {HOSTILE: 5},
        "queues": {HOSTILE: calm.rounds[0].queues["annotation-queue"]},
    }
    rounds = tuple(dataclasses.replace(one, **changed) for one in calm.rounds[-50:])
    change = ServiceChange(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    words: dict[str, Any] = dict.fromkeys(("state", "action", "who", "laptop", "outcome", "sentence"), HOSTILE)
    run = dataclasses.replace(calm.runs[0], changes=(change,), **words)
    check = Check(HOSTILE, HOSTILE, HOSTILE, {}, HOSTILE)
    return dataclasses.replace(calm, checks=(check,), rounds=rounds, runs=(run, *calm.runs[1:]))


@pytest.fixture(scope="module")
def calm() -> Elements:
    return Elements(page.page((made.week(), made.fresh(), made.unreachable()), made.AT))


@pytest.fixture(scope="module")
def evil() -> tuple[str, Elements]:
    unreachable = dataclasses.replace(made.unreachable(HOSTILE), error=HOSTILE)
    text = page.page((hostile(), unreachable, dataclasses.replace(hostile(), at=HOSTILE)), HOSTILE)
    return text, Elements(text)


def test_hostile_texts_make_no_element_and_no_attribute(calm: Elements, evil: tuple[str, Elements]) -> None:
    _, found = evil
    assert {tag for tag, _ in found.found} <= {tag for tag, _ in calm.found}
    pairs = {(tag, name) for tag, held in calm.found for name in held}
    assert {(tag, name) for tag, held in found.found for name in held} <= pairs
    assert not any(name.startswith("on") for _, held in found.found for name in held)


def test_hostile_texts_are_shown_as_they_are_without_what_turns_text(evil: tuple[str, Elements]) -> None:
    text, found = evil
    assert not any(sign in text for sign in ("<img", "\u202e", "\u2066"))
    assert found.text.count(EVIL) > 10
    assert "{{ 7*7 }}" in found.text


def test_hostile_words_name_no_class(evil: tuple[str, Elements]) -> None:
    names = {name for text in evil[1].attributes("class") for name in text.split()}
    assert {name for name in names if not re.fullmatch(r"[a-z-]+", name)} == set()
    assert "onload=alert(2)" not in names


def test_there_is_nothing_to_fetch(calm: Elements, evil: tuple[str, Elements]) -> None:
    for found in (calm, evil[1]):
        tags = {tag for tag, _ in found.found}
        assert not tags & {"link", "base", "img", "iframe", "object", "embed", "form", "source", "svg", "video"}
        assert found.attributes("src", "srcset", "action", "background", "data", "poster", "xlink:href", "ping") == []
        assert [link for link in found.attributes("href") if not re.fullmatch(r"#[a-z0-9-]+", link)] == []
        styles = [*found.inner["style"], *found.attributes("style")]
        assert not any(re.search(r"url\(|@import|image-set|https?:", text, re.IGNORECASE) for text in styles)


def test_scripts_ask_nobody_for_anything(calm: Elements) -> None:
    asking = r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource|importScripts|\bimport\(|\beval\("
    assert not any(re.search(asking, script) for script in calm.inner["script"])


def test_links_lead_to_what_is_there_and_no_name_is_given_twice(calm: Elements) -> None:
    ids = calm.attributes("id")
    assert {link[1:] for link in calm.attributes("href")} <= set(ids)
    assert len(ids) == len(set(ids))


def test_every_vendored_file_is_listed_with_its_hash_and_none_else() -> None:
    folder = page.TEMPLATES / "vendor"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\S+) \| ([0-9a-f]{64}) \|$", readme, re.MULTILINE))
    there = {path.name for path in folder.iterdir()} - {"README.md", "LICENSE"}
    assert listed == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in there}


@pytest.fixture(scope="module")
def calm_month() -> tuple[ServerReport, Course]:
    """One without a critical round, and its axis, which holds every round of it."""
    times = [made.END - STEP * (MONTH - number) for number in range(MONTH)]
    levels = itertools.cycle((OK, WARNING, SKIPPED))
    rounds = tuple(Round(clock.iso(when), levels={ROW: level}) for when, level in zip(times, levels, strict=False))
    held = ServerReport("gpu-1", made.AT, (), rounds, (), STEP, 30 * 86400, 0)
    axis = course(held)
    assert axis.rounds == tuple(zip(times, rounds, strict=True))
    return held, axis


@pytest.mark.parametrize("where", [0, 1, 4444, MONTH - 2, MONTH - 1])
def test_a_single_critical_round_of_thirty_days_is_never_lost(
    where: int, calm_month: tuple[ServerReport, Course]
) -> None:
    held, axis = calm_month
    rounds, times = [*axis.rounds], [at for at, _ in axis.rounds]
    rounds[where] = (times[where], Round(held.rounds[where].at, levels={ROW: CRITICAL}))
    (strip,), trouble, _ = timeline.strips(held, dataclasses.replace(axis, rounds=tuple(rounds)))
    drawn = [one for one in strip.stretches if one.level == CRITICAL]
    assert [one.start <= times[where] < one.end for one in drawn] == [True]
    assert len(strip.stretches) <= 2 * timeline.FINEST + 1
    assert [(one.start, one.seconds) for _, one in trouble if one.level == CRITICAL] == [(times[where], STEP)]
    assert strip.text.startswith("critical for 5 min (1 time)")


def test_every_line_of_a_month_has_a_value_for_every_time() -> None:
    found = figures(course(made.month()))
    assert {len(line.values) for plot in found.plots for line in plot.lines} == {len(found.times)}
    assert 1000 < len(found.times) <= MOST_POINTS
