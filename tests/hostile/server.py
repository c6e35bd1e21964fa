"""Answers of a server that is broken or means harm, heard over a real connection by what the tasks are made of."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from remote.looks import Look
from remote.modelchoice import Choice, Choices
from remote.modelfile import ModelFile
from remote.models import Models
from remote.words import Check, encode
from runbook import health, jobs, looking, mending, models, running, show_health, show_models, status
from runbook.door import Door
from runbook.errors import Defect, RunbookError
from runbook.jobs import Job
from runbook.plain import clean
from runbook.screen import Screen
from tests.hostile.conduct import LONGEST_LINE
from tests.hostile.damage import as_json, damaged, sometimes_torn
from tests.hostile.kept import LINES, RUN
from tests.hostile.properties import Ground, Property
from tests.unit.scene import Scene, deployed, order

Hears = Callable[[Door, Scene, Screen], Any]
Message = dict[str, Any]

CHECKS = [
    Check("disk space", "ok", "12 % full", {"/": {"size": 7}}),
    Check("GPU available", "critical", "none", {}, "look"),
]
REPORT = {"host": "gpu-1", "at": "2026-04-20T10:11:12Z", "checks": [encode(check) for check in CHECKS]}
FETCHING: list[Message] = [
    {"event": {"event": "pulling", "image": "team/queue@sha256:00", "done": 5, "total": 10}},
    {"event": {"event": "fetched", "image": "team/queue@sha256:00"}},
    {"beat": 1},
    {"answer": {"images": {"team/queue@sha256:00": "sha256:ff"}, "revisions": {"team/queue@sha256:00": "abc"}}},
]


def looks(door: Door, scene: Scene, screen: Screen) -> Any:
    found = looking.look(door, scene.inventory, scene.resolved, scene.services, order().tags)
    for text, style in status.lines("gpu-1", found, scene.services):
        screen.say(text, style)
    return status.as_result("gpu-1", found, scene.services)


def deploys(door: Door, scene: Scene, screen: Screen) -> Any:
    return jobs.deploy(door, _job(scene), screen)


def rolls_back(door: Door, scene: Scene, screen: Screen) -> Any:
    return jobs.rollback(door, _job(scene), screen)


def _job(scene: Scene) -> Job:
    return Job(scene.inventory, scene.resolved, scene.services, order(), dry_run=True)


def is_well(door: Door, scene: Scene, screen: Screen) -> Any:
    asked = health.request_for(scene.inventory, scene.resolved.host, scene.services, scene.resolved)
    report = health.of_server(door, asked)
    show_health.show_report(report, screen)
    return json.loads(show_health.as_json([report]))


def follows(door: Door, scene: Scene, screen: Screen) -> Any:
    ended = running.follow(door, {"root": "/azaion", "state": ""}, RUN, jobs.teller(screen, screen.say, "gpu-1"))
    screen.say(ended.sentence)
    return dataclasses.asdict(ended)


def fetches(door: Door, scene: Scene, screen: Screen) -> Any:
    return jobs._fetch(door, _job(scene), ["team/queue@sha256:00"], screen)


def mends(door: Door, scene: Scene, screen: Screen) -> Any:
    for sentence in mending.mended(door, scene.inventory, scene.resolved.host, "ann", RUN):
        screen.say(sentence)


def lists(door: Door, scene: Scene, screen: Screen) -> Any:
    found = models.listed(
        door, {"root": "/azaion", "state": ""}, models.Terms("/azaion/models", "best.pt", {}), "", screen.say
    )
    for text, style in show_models.lines("gpu-1", "/azaion/models", found):
        screen.say(text, style)
    return show_models.as_result("gpu-1", "/azaion/models", found)


def chooses(door: Door, scene: Scene, screen: Screen) -> Any:
    answer = models._ask(door, {})
    for text, style in show_models.told("gpu-1", MODEL, answer, dry_run=False):
        screen.say(text, style)
    return answer


def a_look() -> Look:
    """What the scene's server answers to a look."""
    with tempfile.TemporaryDirectory() as folder:
        return deployed(Path(folder), "r2", "r1").look


MODEL = ModelFile("2026-04-20", "/azaion/models/2026-04-20/best.pt", "whole", "whole", 7, 8, "2026-04-20T10:11:12Z")
CHOSEN = Choices(MODEL.path, (Choice(MODEL.path, MODEL.date, RUN, "ann", "2026-04-20T10:11:12Z"),))
MODELS = Models((MODEL,), ("current",), CHOSEN, "", {"annotation-queue": MODEL.path, "second-queue": None}, MODEL)
CHOICE = {
    "path": MODEL.path,
    "before": {"/azaion/config.yaml": ""},
    "absent": ["/azaion/b"],
    "needed": True,
    "run": RUN,
}
LOOK: list[Message] = [{"answer": json.loads(json.dumps(encode(a_look())))}]
TOLD: list[Message] = [{"event": {"event": "journal", "line": line}} for line in LINES]
SAID: dict[str, tuple[Hears, list[Message]]] = {
    "status": (looks, LOOK),
    "deploy": (deploys, LOOK),
    "rollback": (rolls_back, LOOK),
    "health": (is_well, [*({"event": {"event": "check", **encode(check)}} for check in CHECKS), {"answer": REPORT}]),
    "follow": (follows, [*TOLD, {"answer": {"run": RUN, "end": LINES[-1]}}]),
    "fetch": (fetches, FETCHING),
    "models": (lists, [{"event": {"event": "reading", "done": 1, "total": 2}}, {"answer": encode(MODELS)}]),
    "choose": (chooses, [{"answer": CHOICE}]),
    "mend": (mends, [{"answer": {"mended": ["run 1 was undone"]}}]),
}
ERROR: Message = {"error": {"kind": "refused", "message": "no", "hint": "", "debug": "Traceback"}}


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, bytes]:
    """What is asked, and what comes back: messages with damage to their entries, their order or their bytes."""
    asked = draw(st.sampled_from(list(SAID)))
    heard = draw(damaged(SAID[asked][1]))
    if draw(st.integers(0, 9)) == 0:
        heard = [*heard, *draw(damaged([ERROR]))]
    noise = draw(st.sampled_from([b"", b"Welcome\n", b"\x1b[2J", b"\x1e"]))
    return asked, draw(sometimes_torn(noise + b"".join(b"\x1e" + as_json(message) + b"\n" for message in heard)))


def a_task_understands_or_says_so(case: tuple[str, bytes], ground: Ground) -> None:
    """Whatever a server answers, a task says it in words of its own, names the server, and prints JSON that is JSON."""
    asked, said = case
    shown = io.StringIO()
    try:
        result = SAID[asked][0](ground.speaks(said), ground.scene, Screen(out=shown))
    except RunbookError as error:
        assert "gpu-1" in error.message
        assert error.exit_code in (10, 11, 12, 13, 14, 15, 16, 17)
        assert (error.message, error.hint) == (clean(error.message), clean(error.hint))
        if isinstance(error, Defect):
            assert len(error.message) < LONGEST_LINE and "\n" not in error.message
        result = error.as_result()
        assert (result["exit_status"], result["sentence"]) == (error.exit_code, error.message)
    json.dumps(result, allow_nan=False)
    assert shown.getvalue() == clean(shown.getvalue())


def a_server_that_says_yes_is_believed(asked: str, ground: Ground) -> None:
    """The undamaged answers are understood: else every damaged one could be refused for a reason of its own."""
    said = b"".join(b"\x1e" + as_json(message) + b"\n" for message in SAID[asked][1])
    SAID[asked][0](ground.speaks(said), ground.scene, Screen(out=io.StringIO()))


PROPERTIES = (
    Property("a server's answers, damaged", answers(), a_task_understands_or_says_so),
    Property("a server's answers, sound", st.sampled_from(list(SAID)), a_server_that_says_yes_is_believed),
)
