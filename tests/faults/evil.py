"""Rounds with an evil consumer, broker, registry or server: a trick, a command, and what must not have happened."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from gpu_runbook.laptop.sanitize import clean
from sandbox import Sandbox, run_inside
from sandbox.gpu_server import give_tree
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.faults import liars
from tests.faults.evil_consumer import TRICKS
from tests.faults.helpers import JUDGED, history
from tests.faults.kept import Outcome
from tests.faults.servers import BARE, Case, Track
from tests.faults.story import Stage
from tests.real import ROOT, STATE, docker, fire
from tests.unit.nasty import rows

ROUNDS = 100
OF_LIARS = 30  # of them
DEADLINE = 75.0  # seconds, beyond which nobody waits for whatever is in the way
SOURCE = Path(__file__).with_name("evil_consumer.py").read_text()
CANARY = "canary-4711"
# Files with a mark in them, outside of every mount: mode, owner, path. The login may read them, or owns them.
CANARIES = {
    "/home/deploy/secret.yaml": ("600", "deploy:deploy"),
    "/etc/secret.yaml": ("640", "root:deploy"),
    f"{Path(STATE).parent}/secret.yaml": ("600", "deploy:deploy"),
}
FORGED = "annotation-queue CI"  # the row that every forged line claims to be; nothing of this name is checked here

PAGE = "page.html"
MODEL = "models/azaion-2026-04-20"
TARGETS = ("config.yaml", "offset.yaml", f"{MODEL}/weights/best.pt", MODEL, "models/azaion.pt")
ROUND = ("a round",)
CHANGES = (
    ("deploy", "--service", QUEUE, "--force", "--tag", "1.0"),
    *(("rollback",), ("rollback", "--replay"), ("restart", QUEUE), ("stop", QUEUE)),
    *(("models.use", "2026-03-02", "--force"), ("setup",), ("prune", "--keep", "1"), ("schedule.install",)),
)
LOOKS = (
    *(("status",), ("status", "--json"), ("health",), ("health", "--json"), ("preflight",), ("diff",), ("models",)),
    *(("logs",), ("history",), ("show",), ("training.command",), ("schedule.show",), ("report", "--out", PAGE)),
    *(("health", "--since", "1h"), ROUND),
)
VERBS = (*CHANGES, *LOOKS)
ASK_BROKER = (("health",), ("status",), ("preflight",), ("deploy", "--service", QUEUE, "--force", "--tag", "1.1"))
ASK_REGISTRY = (("deploy", "--service", QUEUE, "--tag", "2.0"), ("preflight",), ("diff",))
ASK_SERVER = tuple(verb for verb in VERBS if verb != ROUND and "--out" not in verb)
SAID_NO = (10, 11, 12, 13, 14, 16)  # exit statuses with a sentence
UNKNOWN = 3  # of a round: also where a row could not be asked
BROKEN = 17  # an answer that the code did not expect: of a server that tells lies, and of nobody else

Verb = tuple[str, ...]


def tracks(seed: int) -> list[Track]:
    random = Random(f"evil {seed}")  # noqa: S311  cases, not secrets
    mixed = [(trick, target, verb) for trick in TRICKS for target in TARGETS for verb in VERBS]
    drawn = random.sample(mixed, ROUNDS - OF_LIARS)
    cases = [consumer(*one, seed=random.randrange(1 << 32)) for one in drawn]
    cases += [_of_liar(random) for _ in range(OF_LIARS)]
    return [Track([Case(f"{number}: {one.name}", one.row, one.play)], BARE) for number, one in enumerate(cases, 1)]


def _of_liar(random: Random) -> Case:
    kind, verbs = random.choice((("broker", ASK_BROKER), ("registry", ASK_REGISTRY), ("server", ASK_SERVER)))
    return liar(kind, random.choice(verbs), random.randrange(1 << 32))


def consumer(trick: str, target: str, verb: Verb, seed: int = 0) -> Case:
    """A consumer plays a trick on a name all the time that a command runs."""

    def played(stage: Stage) -> Outcome:
        laptop = stage.laptop
        _lay_canaries(stage.sandbox)
        with _as_it_was(laptop), _tree_as_it_was(stage.sandbox):
            laptop.queue["watch"] |= {"settle": 0, "window": 1}
            laptop.queue["stop_grace"] = 2
            laptop.save()
            laptop.deployed("--tag", "1.0")
            canary = Random(seed).choice(list(CANARIES))  # noqa: S311
            laptop.queue["command"] = ["python3", "-u", "-c", SOURCE, trick, f"{ROOT}/{target}", canary, str(seed)]
            laptop.save()
            laptop.deployed("--tag", "1.1")
            if verb == ROUND:
                said = laptop.fab("schedule.install")
                assert said.status == 0, said.all
            before = _running(stage.sandbox)
            run_inside(stage.sandbox, ["touch", f"{ROOT}/.begin"], user="deploy")
            wait_until(lambda: _there(stage.sandbox, f"{ROOT}/.begun"), 10, "trick")
            wrong = _round(stage) if verb == ROUND else _verb(laptop, verb, before)
            wrong += _touched(stage.sandbox)
        return Outcome(trick, "evil consumer", tuple(wrong))

    return Case(f"{target}: {trick}, while: {_named(verb)}", "evil consumer", played)


def liar(kind: str, verb: Verb, seed: int) -> Case:
    """A broker, a registry or a server that tells lies to a command."""

    def played(stage: Stage) -> Outcome:
        laptop, random = stage.laptop, Random(seed)  # noqa: S311
        _lay_canaries(stage.sandbox)
        with _as_it_was(laptop), contextlib.ExitStack() as stack:
            laptop.queue["watch"] |= {"settle": 0, "window": 2}
            laptop.save()
            laptop.deployed("--tag", "1.0")
            before = _running(stage.sandbox)
            if kind == "broker":
                port = stack.enter_context(liars.broker(random))
                laptop.variables.update({"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(port)})
            elif kind == "registry":
                laptop.hosts["registry"]["server"] = f"127.0.0.1:{stack.enter_context(liars.registry(random))}"
            else:
                laptop.host["python"] = _liar_on(stage.sandbox, liars.answers(random))
            laptop.save()
            wrong = _verb(laptop, verb, before, (BROKEN,) if kind == "server" else ())
        now = _running(stage.sandbox)
        if kind != "broker" and now != before:
            wrong.append(f"what runs has changed: {before}, {now}")
        return Outcome(kind, f"evil {kind}", tuple(wrong + _touched(stage.sandbox)))

    return Case(f"{kind} {seed}, while: {_named(verb)}", f"evil {kind}", played)


def _named(verb: Verb) -> str:
    return " ".join(verb)


@contextmanager
def _as_it_was(laptop: Laptop) -> Iterator[None]:
    """What a round changes of a laptop's files is undone after it."""
    hosts, variables = (laptop.folder / "hosts.yaml").read_text(), dict(laptop.variables)
    queue, host, registry = dict(laptop.queue), dict(laptop.host), dict(laptop.hosts["registry"])
    watch = dict(queue["watch"])
    laptop.hosts["schedule"] = {"alerts": {"ops": {"kind": "command", "command": ["cat"]}}}
    try:
        yield
    finally:
        for now, was in ((laptop.queue, queue), (laptop.host, host), (laptop.hosts["registry"], registry)):
            now.clear()
            now.update(was)
        laptop.queue["watch"] = watch
        del laptop.hosts["schedule"]
        laptop.variables.clear()
        laptop.variables.update(variables)
        laptop.save()
        assert (laptop.folder / "hosts.yaml").read_text() == hosts


def _verb(laptop: Laptop, verb: Verb, before: list[str], also: tuple[int, ...] = ()) -> list[str]:
    """A command to its end; what is wrong with what it said, or with what it has done."""
    begun = time.monotonic()
    said = laptop.fab(*verb, seconds=DEADLINE)
    taken = time.monotonic() - begun
    wrong = _shown(said.all)
    page = laptop.folder / PAGE
    if page.exists():
        wrong += [f"{CANARY!r} is on the page"] if CANARY in page.read_text() else []
        page.unlink()
    fit = ((0, 1, 2, 3) if verb in LOOKS else (0,)) + SAID_NO + also
    if said.status not in fit or re.search("^Traceback", said.all, re.MULTILINE):  # a consumer's stands behind a bar
        wrong.append(f"{_named(verb)} ended with {said.status} after {taken:.0f} s: {said.all[-300:]}")
    elif said.status >= 10 and not said.err.strip():
        wrong.append(f"{_named(verb)} ended with {said.status} and no sentence")
    return wrong + _done(laptop.sandbox, verb, said, before)


def _done(sandbox: Sandbox, verb: Verb, said: Said, before: list[str]) -> list[str]:
    """It did its work, or said that it did not, and what stands is so."""
    now = _running(sandbox)
    if len(now) > 1:
        return [f"{len(now)} consumers run"]
    if verb[0] in ("deploy", "rollback", "restart") and said.status == 0 and len(now) != 1:
        return [f"{verb[0]} ended with 0, and no consumer runs"]
    if verb[0] == "stop" and said.status == 0 and now:
        return ["stop ended with 0, and the consumer runs"]
    if said.status in (10, 11, 12) and now != before:
        return [f"nothing was changed, it is said; and another consumer runs: {said.err.strip()}"]
    if said.status == 13 and len(now) != 1:
        return [f"the server is as before, it is said; and no consumer runs: {said.err.strip()}"]
    if verb in LOOKS and now != before:
        return [f"{_named(verb)} has changed what runs"]
    return []


def _shown(screen: str) -> list[str]:
    """What is on a screen and may not be: the mark, what steers a terminal, a row that is none of ours."""
    wrong = [f"{CANARY!r} is on the screen"] if CANARY in screen else []
    wrong += [] if screen == clean(screen) else ["the screen was steered"]
    forged = [line for line in rows(screen) if line.split(maxsplit=1)[1].startswith(FORGED)]
    return wrong + [f"a forged row: {line}" for line in forged]


def _round(stage: Stage) -> list[str]:
    """A round has looked, and has written down what it saw; it ends as unknown where it could not read something."""
    known, begun = len(history(stage.sandbox)), time.monotonic()
    (ended,) = fire(stage.sandbox)
    taken = time.monotonic() - begun
    wrong = [f"a round took {taken:.0f} s"] if taken > DEADLINE else []
    if ended.returncode not in (*JUDGED, UNKNOWN) or len(history(stage.sandbox)) != known + 1:
        wrong.append(f"a round ended with {ended.returncode}, and has written nothing down")
    return wrong + _shown(ended.stdout + ended.stderr)


def _running(sandbox: Sandbox) -> list[str]:
    return docker(sandbox, "ps", "--quiet", "--filter=label=gpu-runbook.service").split()


def _there(sandbox: Sandbox, path: str) -> bool:
    return run_inside(sandbox, ["test", "-e", path], check=False).returncode == 0


def _lay_canaries(sandbox: Sandbox) -> None:
    script = ""
    for path, (mode, owner) in CANARIES.items():
        place = shlex.quote(path)
        script += f"install -D -m {mode} -o {owner.split(':')[0]} -g {owner.split(':')[1]} /dev/stdin {place} <<'END'\n"
        script += f"model: {CANARY}\noffset: {CANARY}\nEND\n"
    script += "chown -R deploy:deploy /home/deploy/.local"
    run_inside(sandbox, ["sh", "-ec", script])


def _touched(sandbox: Sandbox) -> list[str]:
    """Whether a mark has come into a container's reach or a kept file, or its file is another; what was run.

    The tricks are over then: one could put a link in the place of what is looked at.
    """
    _end_tricks(sandbox)
    places = f"{ROOT} /home/deploy /etc /tmp"
    search = f"find {places} -type f -size -1024k -print0 | xargs -0 grep -lsFZ {CANARY}"
    found = set(run_inside(sandbox, ["sh", "-c", search], check=False).stdout.split("\0")) - {"", *CANARIES}
    wrong = [f"the mark is in {path!r}" for path in sorted(found)]
    for path, (mode, owner) in CANARIES.items():
        state = run_inside(sandbox, ["stat", "-c", "%a %U:%G %h %s", path], check=False).stdout.strip()
        size = len(f"model: {CANARY}\noffset: {CANARY}\n")
        wrong += [] if state == f"{mode} {owner} 1 {size}" else [f"{path} is {state}"]
    ran = run_inside(sandbox, ["find", "/home", "/tmp", "/root", ROOT, "-name", "ran"], check=False).stdout.split()
    return wrong + [f"{path} was made" for path in ran]


def _end_tricks(sandbox: Sandbox) -> None:
    kill = "docker ps --quiet --filter label=gpu-runbook.service | xargs --no-run-if-empty docker kill"
    run_inside(sandbox, ["sh", "-c", kill])


@contextmanager
def _tree_as_it_was(sandbox: Sandbox) -> Iterator[None]:
    """Below the root stands in the end what stood there when the sandbox came up, whatever was put in its place."""
    try:
        yield
    finally:
        _end_tricks(sandbox)
        run_inside(sandbox, ["find", ROOT, "-mindepth", "1", "-delete"])
        give_tree(sandbox)


def _liar_on(sandbox: Sandbox, said: bytes) -> str:
    """A python that hears nothing and says this; its path on the server."""
    path = "/usr/local/bin/python-liar"
    (sandbox.server.local / "bin/python-said").write_bytes(said)
    run_inside(sandbox, ["tee", path], input="#!/bin/sh\nexec cat /usr/local/bin/python-said\n")
    run_inside(sandbox, ["chmod", "755", path])
    return path
