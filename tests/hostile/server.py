"""Answers of a server that is broken or means harm, heard over a real connection by what the tasks are made of."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gpu_runbook.laptop.commands import (
    env,
    env_import,
    health,
    health_text,
    history,
    logs,
    models,
    models_text,
    pause,
    prune,
    setup,
    status,
    training_command,
)
from gpu_runbook.laptop.deploy import origin, recovery, run, snapshot, state_move, workflow
from gpu_runbook.laptop.deploy.workflow import Job
from gpu_runbook.laptop.errors import Defect, RunbookError
from gpu_runbook.laptop.rpc.requests import request_for
from gpu_runbook.laptop.sanitize import clean
from gpu_runbook.laptop.schedule import client, timeline
from gpu_runbook.laptop.schedule import text as showing
from gpu_runbook.laptop.schedule.settings import settings_for
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal import spool
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.env_file import Compared, Difference
from gpu_runbook.protocol.history import PastRun, ServiceChange
from gpu_runbook.protocol.models import Choice, Choices, InForce, ModelFile, Models
from gpu_runbook.protocol.pause import Pause
from gpu_runbook.protocol.prune import Pruned, Thing
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.requests import ModelUseRequest, PruneRequest
from gpu_runbook.protocol.rounds import Gpu, Queue, Round
from gpu_runbook.protocol.schedule import Alarm, Installation, InstalledCheck, PastEvent, Remembered, Removed, Shown
from gpu_runbook.protocol.setup import Done
from gpu_runbook.protocol.snapshot import Snapshot
from gpu_runbook.protocol.state_move import Moved
from gpu_runbook.protocol.training import Checkpoint, NextRun
from tests.hostile.conduct import LONGEST_LINE
from tests.hostile.damage import as_json, damaged, sometimes_torn
from tests.hostile.forms import ONE, RUN
from tests.hostile.kept import IMAGE, LINES
from tests.hostile.properties import Ground, Property
from tests.unit.scene import Scene, deployed, order

Hears = Callable[[Session, Scene, Screen], Any]
Message = dict[str, Any]

PLACE = ("/azaion", "")

CHECKS = [
    Check("disk space", "ok", "12 % full", {"/": {"size": 7}}),
    Check("GPU available", "critical", "none", {}, "look"),
]
REPORT = {"host": "gpu-1", "at": "2026-04-20T10:11:12Z", "checks": [encode(check) for check in CHECKS]}
FETCHING: list[Message] = [
    {"event": {"event": "pulling", "image": IMAGE, "done": 5, "total": 10}},
    {"event": {"event": "fetched", "image": IMAGE}},
    {"beat": 1},
    {"answer": {"images": {IMAGE: {"id": f"sha256:{ONE}", "revision": "abcdef0"}}}},
]


def looks(session: Session, scene: Scene, screen: Screen) -> Any:
    found = snapshot.look(session, scene.inventory, scene.resolved, scene.services, order().tags)
    for text, style in status.lines("gpu-1", found, scene.services):
        screen.say(text, style)
    return status.as_result("gpu-1", found, scene.services)


def deploys(session: Session, scene: Scene, screen: Screen) -> Any:
    return workflow.deploy(session, _job(scene), screen)


def tells_origins(session: Session, scene: Scene, screen: Screen) -> Any:
    rows = tuple(Check(f"{name} image", "ok", "it is there") for name in scene.look.digests)
    look = dataclasses.replace(scene.look, digests=dict.fromkeys(scene.look.digests, IMAGE), rows=rows)
    found = origin.told(session, scene.resolved, look, order().tags)
    screen.rows(found.rows)
    return [encode(row) for row in found.rows]


def rolls_back(session: Session, scene: Scene, screen: Screen) -> Any:
    return workflow.rollback(session, _job(scene), screen)


def _job(scene: Scene) -> Job:
    return Job(scene.inventory, scene.resolved, scene.services, order(), dry_run=True)


def is_well(session: Session, scene: Scene, screen: Screen) -> Any:
    asked = request_for(scene.inventory, scene.resolved.host, scene.services, scene.resolved)
    report = health.of_server(session, asked)
    health_text.show_report(report, screen)
    return health_text.as_result(report)


def follows(session: Session, scene: Scene, screen: Screen) -> Any:
    ended = run.follow(session, PLACE, RUN, workflow.teller(screen, screen.say))
    screen.say(ended.sentence)
    return dataclasses.asdict(ended)


def fetches(session: Session, scene: Scene, screen: Screen) -> Any:
    return workflow._fetch(session, _job(scene), [IMAGE], screen)


def recovers(session: Session, scene: Scene, screen: Screen) -> Any:
    for sentence in recovery.recovered(session, scene.inventory, scene.resolved.host, "ann", RUN):
        screen.say(sentence)


def lists(session: Session, scene: Scene, screen: Screen) -> Any:
    found = models.listed(session, PLACE, models.ModelTerms("/azaion/models", ("best.pt",), {}), "", screen.say)
    for text, style in models_text.lines("gpu-1", "/azaion/models", found):
        screen.say(text, style)
    return models_text.as_result("gpu-1", "/azaion/models", found)


def chooses(session: Session, scene: Scene, screen: Screen) -> Any:
    answer = models._ask(session, USE, screen.say)
    for text, style in models_text.told("gpu-1", MODEL, answer, dry_run=False):
        screen.say(text, style)
    return encode(answer)


def prunes(session: Session, scene: Scene, screen: Screen) -> Any:
    return prune.prune(session, scene.inventory, scene.resolved.host, 3, True, screen)


def removes(session: Session, scene: Scene, screen: Screen) -> Any:
    return encode(prune._removed(session, PruneRequest(*PLACE, "", 3, (), ())))


def tells_what_was(session: Session, scene: Scene, screen: Screen) -> Any:
    pasts = history.of_server(session, PLACE, 10)
    for text, style in history.lines("gpu-1", pasts):
        screen.say(text, style)
    return history.as_result("gpu-1", pasts)


def shows_a_run(session: Session, scene: Scene, screen: Screen) -> Any:
    past, journal = history.of_run(session, PLACE, RUN)
    for text, style in history.shown(past, journal):
        screen.say(text, style)
    return [line.written for line in journal]


def reads_logs(session: Session, scene: Scene, screen: Screen) -> Any:
    wish = logs.LogWish(scene.services, 10, 0, False)
    shown = logs.ShowJson(screen.say, scene.services, False)
    logs.of_server(session, scene.inventory, scene.resolved, wish, logs.Hearer("gpu-1", (), shown))
    return json.loads("".join(spool.pieces({"lines": shown.found})))


def starts_training(session: Session, scene: Scene, screen: Screen) -> Any:
    service = training_command.chosen(scene.inventory, scene.services)
    found = training_command.of_server(session, scene.inventory, scene.resolved.host, service)
    launch = training_command.launch(scene.inventory, scene.resolved.host, service, found, None)
    assert shlex.split(launch.line) == list(launch.command)
    return training_command.as_result(launch)


def sets_up(session: Session, scene: Scene, screen: Screen) -> Any:
    return setup.set_up(session, scene.inventory, scene.resolved, False, screen)


def moves_the_state(session: Session, scene: Scene, screen: Screen) -> Any:
    return state_move.move(session, scene.inventory, scene.resolved, state_move.OTHER, False, screen)


def compares_files(session: Session, scene: Scene, screen: Screen) -> Any:
    found = env.compared(session, scene.resolved.host, [])
    for text, style in env.lines("gpu-1", found, []):
        screen.say(text, style)
    return env.as_result("gpu-1", found)


def reads_variables(session: Session, scene: Scene, screen: Screen) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / ".env"
        target.write_text("A=1\n")
        asked = env_import.wish(
            scene.inventory, [scene.resolved.host], "/etc/azaion/.env", str(target), yes=True, dry_run=False
        )
        answer = env_import.brought(session, asked, screen)
        return {**answer, "file": "", "kept": ""}


def pauses(session: Session, scene: Scene, screen: Screen) -> Any:
    found, before = pause.pause(session, scene.resolved.host, 60, "")
    screen.say(pause.told(found, before))
    return pause.as_result("gpu-1", found, before)


def shows_the_schedule(session: Session, scene: Scene, screen: Screen) -> Any:
    found = client.show(session, scene.inventory, scene.resolved)
    screen.rows(showing.rows(found))
    for text in showing.told(found):
        screen.say(text)
    return client.shown_as_result("gpu-1", found)


def schedules(session: Session, scene: Scene, screen: Screen) -> Any:
    answer = client.install(session, settings_for(scene.inventory, scene.resolved))
    for text, style in showing.installed(answer, 0):
        screen.say(text, style)
    return client.installed_as_result("gpu-1", answer)


def unschedules(session: Session, scene: Scene, screen: Screen) -> Any:
    answer = client.remove(session, PLACE)
    screen.say(showing.removed(answer))
    return client.removed_as_result("gpu-1", answer)


def tries_alerts(session: Session, scene: Scene, screen: Screen) -> Any:
    rows = client.trial(session, settings_for(scene.inventory, scene.resolved))
    screen.rows(rows)
    return client.trial_as_result("gpu-1", rows)


def tells_the_week(session: Session, scene: Scene, screen: Screen) -> Any:
    seen = client.seen(session, PLACE, 3600, 5)
    for text, style in timeline.lines("gpu-1", seen, 3600):
        screen.say(text, style)
    return timeline.as_result("gpu-1", seen)


def a_look() -> Any:
    """What the scene's server answers to a look, with ids as a server has them in the place of the scene's names."""
    with tempfile.TemporaryDirectory() as folder:
        said = json.dumps(encode(deployed(Path(folder), "r2", "r1").look))
    said = re.sub(r'"(annotation|second)-queue-r\d"', lambda name: f'"{_hex(name[0])}"', said)
    said = re.sub(r'sha256:(\d|i|[a-z]+-r\d)(?=")', lambda name: f"sha256:{_hex(name[0])}", said)
    said = re.sub(r'"r(\d)"', r'"2026042\1-101112-abcd"', said).replace('"aaaa"', f'"{"a" * 16}"')
    return json.loads(said)


def a_look_at_known_images() -> Any:
    """The same of a server that has the images already, so that the registry need not be asked about them."""
    found = a_look()
    return {**found, "identities": {image: {"id": f"sha256:{ONE}"} for image in found["digests"].values()}}


def _hex(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


MODEL = ModelFile("2026-04-20", "/azaion/models/2026-04-20/best.pt", "whole", "whole", 7, 8, "2026-04-20T10:11:12Z")
USE = ModelUseRequest(*PLACE, "", "/azaion/models", {}, MODEL, False, "", "ann", "laptop", False, False)
IN_FORCE = InForce(
    "/azaion/models/azaion.pt", "link", MODEL, MODEL.path, MODEL.date, ("a.onnx",), ("b.trt",), MODEL.path
)
CHOSEN = Choices(MODEL.path, (Choice(MODEL.path, MODEL.date, RUN, "ann", "2026-04-20T10:11:12Z"),))
MODELS = Models(
    (MODEL,), ("current",), CHOSEN, "", {"annotation-queue": MODEL.path, "second-queue": None}, MODEL, in_force=IN_FORCE
)
CHOICE = {
    "path": MODEL.path,
    "before": {"/azaion/config.yaml": ""},
    "absent": ["/azaion/b"],
    "needed": True,
    "run": RUN,
}
AT = "2026-04-20T10:11:12Z"
CHANGED = ServiceChange("annotation-queue", "", "", "1.0", IMAGE)
PAST = PastRun(
    RUN, "ended", "deploy", "ann", "laptop", AT, "done", "it is in force", 12.5, 0.3, (CHANGED,), {"disk": "no"}
)
GPU, READ = Gpu(0, 50, 1 << 30, 1 << 33, 60), Queue(7, 9, 1, 0)
ROUND = Round(AT, 1.5, "", {"disk space": "ok"}, {}, {"/": 12}, (GPU,), {"annotation-queue": READ}, ("a",), ("b",))
SCHEDULE = Shown(
    *(CHECKS[0], "# begin\n*/5 * * * * python3 check.pyz\n# end\n", "", True),
    InstalledCheck("0.1.0", "0123456789ab", AT, "ann", "laptop", 300, ("slack",), True),
    True,
    Remembered(AT, "ok", "", 7, {"disk space": Alarm(2, AT, "warning", 1.0)}, {"annotation-queue": (AT,)}, ()),
    (PastEvent(AT, "action", "annotation-queue was started again"),),
)
NEXT = encode(NextRun(decode(Snapshot, a_look(), "snapshot"), ("python",), Checkpoint("epoch-7", 60.0)))
SEEN = {"at": AT, "every": 300, "damaged": 0, "runs": [encode(PAST)]}
LINE = ["2026-04-20T10:11:12.000000001Z", "stdout", "it says", False]
STATE = {"Status": "running", "ExitCode": 0, "StartedAt": AT, "FinishedAt": "0001-01-01T00:00:00Z"}
ABOUT = {"container": ONE, "name": "annotation-queue", "state": STATE, "whole": True}
CONTAINER = {"service": "annotation-queue", "at": AT, **ABOUT}
LOGS: list[Message] = [
    {"event": {"event": "container", **CONTAINER}},
    {"event": {"event": "lines", "service": "annotation-queue", "container": ONE, "lines": [LINE, LINE]}},
    {"event": {"event": "none", "service": "second-queue"}},
    {"answer": {}},
]
DONE = Done(("install -d -m 0755 /azaion",), (), tuple(CHECKS))
MOVED = Moved("/home/ann/.local/state/gpu-runbook/azaion@0123abcd", "/azaion/.deploy", RUN, ("notes.txt",))
COMPARED = Compared(
    (Difference("annotation-queue", "/azaion/queue.env", "there", ("A",), ("B",)),), RunState(RUN, "ended")
)
THING = Thing("container", ONE, "annotation-queue.r1", 7, "of no release that is kept")
PAUSED = Pause("ann", "laptop", AT, "2026-04-20T11:11:12Z")
VARIABLES = base64.b64encode(b"A='two words'\nB=2 # more\nexport C\n").decode()
OTHER = f"azaion/other@sha256:{ONE}"
DESCRIBED = {"id": f"sha256:{ONE}", "revision": "abcdef0", "built": AT, "platform": "linux/amd64"}
LOOK: list[Message] = [{"answer": a_look()}]
TOLD: list[Message] = [{"event": {"event": "journal", "line": line}} for line in LINES]
SAID: dict[str, tuple[Hears, list[Message]]] = {
    "status": (looks, LOOK),
    "deploy": (deploys, [{"answer": a_look_at_known_images()}]),
    "origin": (tells_origins, [{"answer": {"images": {IMAGE: DESCRIBED}, "untold": {OTHER: "it wants a login"}}}]),
    "rollback": (rolls_back, LOOK),
    "health": (is_well, [*({"event": {"event": "check", **encode(check)}} for check in CHECKS), {"answer": REPORT}]),
    "follow": (follows, [*TOLD, {"answer": {"run": RUN, "end": LINES[-1]}}]),
    "fetch": (fetches, FETCHING),
    "models": (lists, [{"event": {"event": "reading", "done": 1, "total": 2}}, {"answer": encode(MODELS)}]),
    "choose": (chooses, [{"answer": CHOICE}]),
    "recover": (recovers, [{"answer": {"recovered": ["run 1 was undone"]}}]),
    "prune": (prunes, [{"answer": {"things": [encode(THING)], "run": encode(RunState(RUN, "ended"))}}]),
    "remove": (removes, [{"answer": encode(Pruned(RUN, (("container", ONE),), 7, ("one stays",)))}]),
    "history": (tells_what_was, [{"answer": {"runs": [encode(PAST), encode(PAST)]}}]),
    "show": (shows_a_run, [*TOLD, {"answer": {"runs": [encode(PAST)]}}]),
    "logs": (reads_logs, LOGS),
    "nextrun": (starts_training, [{"answer": NEXT}]),
    "move": (moves_the_state, [{"answer": encode(MOVED)}]),
    "setup": (sets_up, [{"answer": encode(DONE)}]),
    "env": (compares_files, [{"answer": encode(COMPARED)}]),
    "variables": (reads_variables, [{"answer": {"content": VARIABLES}}]),
    "pause": (pauses, [{"answer": {"pause": encode(PAUSED), "before": None}}]),
    "schedule": (shows_the_schedule, [{"answer": encode(SCHEDULE)}]),
    "install": (schedules, [{"answer": encode(Installation(("program",), "# begin\n* * * * * x\n", None))}]),
    "uninstall": (unschedules, [{"answer": encode(Removed(("crontab",), "/azaion/.deploy/health/history.jsonl"))}]),
    "trial": (tries_alerts, [{"answer": {"rows": [encode(check) for check in CHECKS], "at": AT}}]),
    "past": (tells_the_week, [{"event": {"event": "rounds", "rounds": [encode(ROUND)]}}, {"answer": SEEN}]),
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
