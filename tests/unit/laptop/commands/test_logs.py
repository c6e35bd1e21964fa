"""How the lines of logs are shown: names, colours, times, and only those with a text."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gpu_runbook.laptop.answers.past import LogLine
from gpu_runbook.laptop.commands import logs
from gpu_runbook.laptop.commands.logs import AS_IT_IS, COLOURS, FOUND, LogView, LogWish, Show, ShowJson
from tests.unit.scene import QUEUE, SECOND, TRAINING, Scene, bare

STAMP = "2026-04-20T10:11:12.345678901Z"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return bare(tmp_path)


def line(text: str, service: str = QUEUE, at: str = STAMP, source: str = "docker") -> LogLine:
    return LogLine(service, "c" * 64, "stdout", at, text, source)


def shown(
    scene: Scene, *lines: LogLine, view: LogView = AS_IT_IS, out: io.StringIO | None = None, services: str = QUEUE
) -> str:
    out = out or io.StringIO()
    Show(print, scene.only(*services.split()), True, out, view).lines(lines)
    return out.getvalue()


def test_each_service_has_its_own_colour_whichever_are_asked_for(scene: Scene) -> None:
    view = LogView(services=(QUEUE, SECOND, TRAINING))
    lines = [line("one"), line("two", TRAINING)]
    told = shown(scene, *lines, view=view, out=Terminal(), services=f"{QUEUE} {TRAINING}")
    first, second = (f"\x1b[{COLOURS[at]}m" for at in (0, 2))
    assert told == f"{first}{QUEUE} |\x1b[0m one\n{second}{TRAINING:{len(QUEUE)}} |\x1b[0m two\n"
    assert len({*COLOURS}) == len(COLOURS)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colours_gets_none(scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    view = LogView(grep="on")
    assert "\x1b" in shown(scene, line("one"), view=view, out=Terminal(), services=f"{QUEUE} {TRAINING}")
    monkeypatch.setenv(name, value)
    told = shown(scene, line("one"), view=view, out=Terminal(), services=f"{QUEUE} {TRAINING}")
    assert told == f"{QUEUE} | one\n"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (STAMP, "2026-04-20T10:11:12.345Z"),
        ("2026-04-20T10:11:12Z", "2026-04-20T10:11:12.000Z"),
        ("2026-04-20T10:11:12.5Z", "2026-04-20T10:11:12.500Z"),
        ("now\nforged line that goes on", "?                       "),
    ],
    ids=["engine", "seconds", "tenths", "no-time"],
)
def test_times_are_of_one_width_and_with_their_zone(scene: Scene, at: str, said: str) -> None:
    assert shown(scene, line("one", at=at), view=LogView(timestamps=True)) == f"{said} one\n"


def test_the_name_is_before_the_time_and_the_file_behind_it(scene: Scene) -> None:
    told = shown(
        scene,
        line("one", source="/azaion/logs/queue.log"),
        view=LogView(timestamps=True),
        services=f"{QUEUE} {TRAINING}",
    )
    assert told == f"{QUEUE} | 2026-04-20T10:11:12.345Z queue.log | one\n"


LINES = [line("fine"), line("an error (a+)+$"), line("Error"), line("[error]", source="/azaion/logs/queue.log")]


@pytest.mark.parametrize(
    ("sought", "texts"),
    [
        ("error", ["an error (a+)+$", "[error]"]),
        ("(a+)+$", ["an error (a+)+$"]),
        (".", []),
        ("queue.log", []),  # the name of a file is not in the line
        ("[", ["[error]"]),
    ],
)
def test_a_text_is_looked_for_as_it_stands(scene: Scene, sought: str, texts: list[str]) -> None:
    told = shown(scene, *LINES, view=LogView(grep=sought))
    assert [one.removeprefix("queue.log | ") for one in told.splitlines()] == texts


@pytest.mark.parametrize("follow", [False, True], ids=["once", "followed"])
def test_a_script_gets_those_lines_too(scene: Scene, follow: bool) -> None:
    out = io.StringIO()
    show = ShowJson(print, scene.only(QUEUE), follow, out, LogView(grep="error", timestamps=True))
    show.lines(LINES)
    told = out.getvalue().splitlines() if follow else list(show.found)
    assert [json.loads(one)["text"] for one in told] == ["an error (a+)+$", "[error]"]
    assert {json.loads(one)["at"] for one in told} == {STAMP}  # as the contract has it


def test_what_was_found_stands_out_on_a_terminal_alone(scene: Scene) -> None:
    view = LogView(grep="rr")
    assert shown(scene, line("an error"), view=view, out=Terminal()) == f"an e{FOUND}rr\x1b[0mor\n"
    assert shown(scene, line("an error"), view=view) == "an error\n"


@pytest.mark.parametrize(
    ("tail", "further"), [(100, "; --tail and --since reach further back"), (0, "")], ids=["tail", "all"]
)
def test_it_is_told_how_many_lines_were_looked_through(scene: Scene, tail: int, further: str) -> None:
    wish = LogWish(scene.only(QUEUE), tail, 0, False)
    show = Show(print, wish.services, False, io.StringIO(), LogView(grep="error"))
    show.lines(LINES[:2])
    show.lines(LINES[2:])
    assert logs.counted(show, wish) == f"2 of 4 lines with that text{further}"
