"""Which model was chosen and which were before it; what was verified; what is said of it."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.commands import models as laptop
from gpu_runbook.laptop.commands import models_text
from gpu_runbook.laptop.commands.models import ModelTerms, ModelWish
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.rpc.call import ANSWER, DAY, Deadline
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import encoded
from gpu_runbook.protocol.models import (
    ALL,
    CHANGED,
    COPY,
    DAMAGED,
    PREVIOUS,
    WHOLE,
    Choice,
    Choices,
    InForce,
    ModelFile,
    Models,
    Verified,
)
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.models import choices
from gpu_runbook.server.run import recovery
from gpu_runbook.server.state import lock
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.verbs import model_use, models
from tests.unit.journals import add, begin, left
from tests.unit.server.models.test_model_files import WHOLE as BYTES
from tests.unit.server.models.test_model_files import model

AT = "2026-04-20T10:11:12.123Z"
FOLDER = "/azaion/models"
RUN = "20260420-101112-000"


def path(date: str) -> str:
    return f"{FOLDER}/{date}/best.pt"


def chosen(*dates: str, before: str = "") -> Choices:
    """After choices in this order."""
    known = Choices()
    for at, date in enumerate(dates):
        known = choices.with_choice(known, Choice(path(date), date, f"{RUN}{at}", "ann", AT), before)
    return known


def back(known: Choices, run: str = f"{RUN}f") -> Choices:
    target = choices.previous(known)
    assert target is not None
    return choices.gone_back(known, target.path, run)


def test_going_back_goes_further_back_each_time_and_never_to_what_was_left() -> None:
    known = chosen("a", "b", "c")
    assert known.path == path("c")
    known = back(known, f"{RUN}d")
    assert known.path == path("b")
    known = back(known, f"{RUN}e")
    assert (known.path, choices.previous(known)) == (path("a"), None)
    assert [(one.date, one.left) for one in known.choices] == [("c", f"{RUN}d"), ("b", f"{RUN}e"), ("a", "")]
    known = choices.with_choice(known, Choice(path("d"), "d", f"{RUN}d", "ann", AT), "")
    assert back(known).path == path("a")
    known = choices.with_choice(known, Choice(path("c"), "c", f"{RUN}c", "ann", AT), "")
    assert [(one.date, one.left) for one in known.choices] == [("c", ""), ("d", ""), ("b", f"{RUN}e"), ("a", "")]


def test_the_first_choice_remembers_what_the_config_said_before() -> None:
    known = chosen("a", "b", before=path("current"))
    assert [(one.path, one.run) for one in known.choices] == [
        (path("b"), f"{RUN}1"),
        (path("a"), f"{RUN}0"),
        (path("current"), ""),
    ]
    assert back(back(known)).path == path("current")
    assert len(chosen("a", before=path("a")).choices) == 1
    assert len(chosen(*(f"d-{at}" for at in range(50))).choices) == choices.MOST
    assert choices.previous(Choices()) is None


def test_choices_are_read_back_and_a_damaged_file_is_named(store: Store) -> None:
    assert choices.load(store) == Choices()
    known = dataclasses.replace(
        chosen("a", "b"), verified={path("a"): Verified("0" * 64, 1, 1_700_000_000_123_456_789, AT)}
    )
    choices.save(store, known)
    assert choices.load(store) == known
    for content in ("{", "[]", '{"path": 7}', '{"more": 1}', "[" * 9999):
        Path(store.model).write_text(content)
        with pytest.raises(Refusal, match=r"model\.json is damaged"):
            choices.load(store)


FILE = ModelFile("a", path("a"), WHOLE, "whole", 10, 77, sha256="11")


@pytest.mark.parametrize(
    ("noted", "found", "state", "said"),
    [
        (None, FILE, WHOLE, "whole"),
        (Verified("11", 10, 77, AT), FILE, WHOLE, "whole"),
        (Verified("11", 10, 76, AT), FILE, WHOLE, "whole"),
        (Verified("22", 10, 77, AT), FILE, DAMAGED, "its bytes are not those that were verified"),
        (Verified("22", 10, 76, AT), FILE, CHANGED, "it was written again since it was verified"),
        (Verified("22", 10, 76, AT), dataclasses.replace(FILE, promised="11"), WHOLE, "whole"),
        (Verified("11", 10, 77, AT), dataclasses.replace(FILE, sha256=""), WHOLE, "whole"),
        (Verified("11", 10, 76, AT), dataclasses.replace(FILE, sha256=""), WHOLE, "whole; it was written again since"),
        (Verified("22", 10, 77, AT), dataclasses.replace(FILE, state=DAMAGED, sentence="x"), DAMAGED, "x"),
    ],
)
def test_a_model_is_held_against_what_was_noted_of_it(
    noted: Verified | None, found: ModelFile, state: str, said: str
) -> None:
    known = Choices(verified={path("a"): noted} if noted else {})
    compared = choices.compared(known, found)
    assert (compared.state, compared.sentence.startswith(said)) == (state, True), compared


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"model: {path('a')}\n", path("a")),
        (f'model: "{path("a")}"\n', path("a")),
        ("model: hunter2\n", ""),
        ("model: /etc/passwd\n", ""),
        ("other: 1\n", None),
        (None, None),
    ],
)
def test_only_a_path_of_a_model_is_told_of_a_config(tmp_path: Path, text: str | None, expected: str | None) -> None:
    place = tmp_path / "config.yaml"
    if text is not None:
        place.write_text(text)
    assert choices.named(ConfigFile(str(place), model_key="model"), FOLDER) == expected


def listed(store: Store, verify: str = "") -> Models:
    config = encode(ConfigFile(f"{store.root}/config.yaml", model_key="model"))
    request = {
        "root": store.root,
        "state": f"{store.root}/state",
        "folder": f"{store.root}/models",
        "files": ["best.pt"],
        "configs": {"q": config},
    }
    return decode(Models, json.loads(json.dumps(models.answer({**request, "verify": verify}, print))), "models")


@pytest.fixture(autouse=True)
def as_nice_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb has a process of its own that it may slow down; here it is the tests' own."""
    monkeypatch.setattr(os, "nice", lambda more: more)


@pytest.fixture
def trained(store: Store) -> Store:
    """With two models on its disk, and a config."""
    folder = Path(store.root, "models")
    folder.mkdir()
    model(folder, BYTES)
    (folder / "2026-03-02").mkdir()
    (folder / "2026-03-02/best.pt").write_bytes(BYTES[:90])
    os.utime(folder / "2026-03-02/best.pt", (1, 1))
    Path(store.root, "config.yaml").write_text(f"model: {folder}/current/best.pt\n")
    return store


def test_verifying_all_notes_what_was_found_to_be_right_unless_somebody_is_at_it(trained: Store) -> None:
    held = lock.acquire(trained, {"action": "deploy"})
    assert [one.state for one in listed(trained, ALL).models] == ["damaged", "whole"]
    os.close(held)
    assert listed(trained).choices.verified == {}
    first = listed(trained, ALL).models[1]
    assert listed(trained).models[1].verified == first.verified != ""
    flipped = bytearray(BYTES)
    flipped[BYTES.index(b"PK\x01\x02") + 4] ^= 1  # a byte that no checksum of the archive covers
    model(Path(trained.root, "models"), bytes(flipped))
    found = listed(trained, ALL).models[1]
    assert found.sentence.startswith("its bytes are not those that were verified")
    assert listed(trained).choices.verified[found.path].sha256 == first.sha256


def request(store: Store, found: Models, **more: object) -> dict[str, object]:
    assert found.target is not None
    given = {
        "root": store.root,
        "state": f"{store.root}/state",
        "docker_host": "",
        "folder": f"{store.root}/models",
        "model": encode(found.target),
        "back": False,
    }
    given |= {"configs": {"q": encode(ConfigFile(f"{store.root}/config.yaml", model_key="model"))}}
    return given | {"was": "", "who": "ann", "laptop": "l", "force": False, "dry_run": False, **more}


def test_a_choice_is_made_once_and_taken_back_to_what_was_there_before(trained: Store) -> None:
    found = listed(trained, "2026-04-20")
    answer = model_use.answer(request(trained, found), print)
    assert (answer["needed"], answer["run"] != "") == (True, True)
    config = Path(trained.root, "config.yaml")
    assert config.read_text() == f'model: "{answer["path"]}"\n'
    again = model_use.answer(request(trained, found, was=answer["path"]), print)
    assert (again["needed"], again["run"]) == (False, "")
    before = listed(trained, PREVIOUS)
    assert before.target is not None and before.target.path == f"{trained.root}/models/current/best.pt"
    assert before.target.state == "missing"
    assert before.run is not None and (before.run.action, before.run.state) == ("model", "ended")


def cut_off(store: Store) -> None:
    left(store, f"{RUN}9")


@pytest.mark.parametrize(
    ("breaks", "sentence"),
    [
        (lambda store: model(Path(store.root, "models"), BYTES, 7.0), "was written to after it was verified"),
        (lambda store: Path(store.root, "models/2026-04-20/best.pt").unlink(), "cannot be read any more"),
        (lambda store: Path(store.model).write_text("{"), "model.json is damaged"),
        (lambda store: choices.save(store, chosen("b")), f"somebody has chosen {path('b')} meanwhile"),
        (lambda store: Path(store.root, "config.yaml").write_text("a: 1\n"), "takes no model: it has no model"),
        (cut_off, f"run {RUN}9 was cut off and has to be finished first"),
        (lambda store: lock.acquire(store, {"who": "bob"}), "bob holds the lock of this server"),
    ],
)
def test_what_changed_since_the_look_is_refused_and_nothing_is_written(
    trained: Store, breaks: object, sentence: str
) -> None:
    asked = request(trained, listed(trained, "2026-04-20"))
    held = breaks(trained)  # type: ignore[operator]
    before = {
        one.name: one.read_bytes() for one in Path(trained.root).rglob("*") if one.is_file() and one.name != "lock"
    }
    with pytest.raises(Refusal, match=sentence):
        model_use.answer(asked, print)
    if sentence.startswith("bob"):  # everything else gives numbers that are no descriptors
        os.close(held)
    after = {
        one.name: one.read_bytes() for one in Path(trained.root).rglob("*") if one.is_file() and one.name != "lock"
    }
    assert after == before


NOTHING = Models((), (), Choices(), "", {})
TERMS = ModelTerms(FOLDER, ("best.pt",), {})


@pytest.mark.parametrize(
    ("found", "wish", "error", "sentence"),
    [
        (NOTHING, ModelWish("2026-04-20"), BadInput, "gpu-1: there is no model 2026-04-20 in /azaion/models"),
        (NOTHING, ModelWish(), Refused, "gpu-1: there is no earlier choice to go back to"),
        (dataclasses.replace(NOTHING, damaged="it is damaged"), ModelWish("a"), Refused, "gpu-1: it is damaged"),
        (
            dataclasses.replace(NOTHING, target=dataclasses.replace(FILE, state=DAMAGED, sentence="it is empty")),
            ModelWish("a", force=True),
            Refused,
            "gpu-1: a is not chosen: it is empty; nothing was changed",
        ),
        (
            dataclasses.replace(NOTHING, target=dataclasses.replace(FILE, state=CHANGED, sentence="it was")),
            ModelWish("a"),
            Refused,
            "gpu-1: a is not chosen: it was; nothing was changed",
        ),
    ],
)
def test_a_model_that_cannot_be_chosen_is_one_sentence(
    found: Models, wish: ModelWish, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        laptop._fit("gpu-1", TERMS, found, wish)
    assert str(caught.value) == sentence


def test_a_changed_model_is_chosen_by_force(tmp_path: Path) -> None:
    changed = dataclasses.replace(FILE, state=CHANGED)
    assert (
        laptop._fit("gpu-1", TERMS, dataclasses.replace(NOTHING, target=changed), ModelWish("a", force=True)) == changed
    )


PLACED = dataclasses.replace(TERMS, way=COPY, place=f"{FOLDER}/a.pt")


@pytest.mark.parametrize(
    ("known", "verify", "whole", "still"),
    [
        pytest.param(TERMS, "", ANSWER, math.inf, id="a list reads none"),
        pytest.param(TERMS, "all", DAY, laptop.STILL, id="all of them are read"),
        pytest.param(PLACED, "", DAY, laptop.STILL, id="a list reads the one in force, and what is as long"),
    ],
)
def test_what_is_read_as_a_whole_may_take_all_day_as_long_as_it_gets_on(
    monkeypatch: pytest.MonkeyPatch, known: ModelTerms, verify: str, whole: float, still: float
) -> None:
    given: list[Deadline] = []

    def look(session: object, verb: str, request: object, on_event: Any, deadline: Deadline) -> Any:
        given.append(deadline)
        return encode(NOTHING)

    monkeypatch.setattr(laptop, "look", look)
    session: Any = SimpleNamespace(host=SimpleNamespace(name="gpu-1"))
    laptop.listed(session, ("/azaion", ""), known, verify, print)
    assert [(one.whole, one.still) for one in given] == [(whole, still)]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "reading", "path": "/m", "done": 1 << 20, "total": 3 << 20}, "reading /m: 1.0 MiB of 3.0 MiB"),
        ({"event": "copying", "path": "/m", "done": 1 << 20, "total": 3 << 20}, "copying /m: 1.0 MiB of 3.0 MiB"),
        ({"event": "copying", "path": "/m", "done": "1", "total": 3}, "copying"),
        ({"event": {"a": 1}, "done": None}, "reading"),
    ],
)
def test_how_far_the_reading_or_copying_has_come_is_said(event: dict[str, Any], said: str) -> None:
    assert laptop._progress(event) == said


HOSTS = """
hosts: {gpu-1: {address: gpu-1.lan, root: /azaion}}
services:
  queue:
    kind: consumer
    image: queue
    mounts: [/azaion:/azaion]
    config: {template: t, path: /azaion/c}
"""


@pytest.mark.parametrize(
    ("more", "date", "sentence"),
    [
        ("", "2026-04-20", "does not say where the models are"),
        ("models: {folder: /azaion/models}\n", "2026-04-20", "does not say which key of a config names the model"),
        ("models: {folder: /azaion/models}\n", "2026-4-2", "2026-4-2 is no date such as 2026-04-20 or 2026-04-20-b"),
        ("models: {folder: /azaion/models}\n", "../..", "../.. is no date such as 2026-04-20 or 2026-04-20-b"),
    ],
)
def test_hosts_yaml_and_the_command_line_are_checked_first(tmp_path: Path, more: str, date: str, sentence: str) -> None:
    (tmp_path / "hosts.yaml").write_text(HOSTS + more)
    (tmp_path / "t").write_text("")
    with pytest.raises(BadInput, match=sentence.replace(".", r"\.")) as caught:
        laptop.checked(load_inventory(tmp_path / "hosts.yaml"), date)
    assert caught.value.hint


def test_the_list_says_what_is_chosen_used_and_wrong() -> None:
    old = dataclasses.replace(FILE, date="2026-03-02", path=path("2026-03-02"), size=3 << 20, modified=AT, verified=AT)
    bad = ModelFile("2026-04-20-b", path("2026-04-20-b"), DAMAGED, "it is empty", 0, 1, AT)
    known = back(chosen("2026-04-20-b", before=path("current")))
    known = choices.with_choice(known, Choice(path("2026-03-02"), "2026-03-02", f"{RUN}1", "bob", AT), "")
    points = {"q": path("2026-03-02"), "p": "", "n": None}
    found = Models((old, bad), ("current",), known, "", dict(points))
    out = io.StringIO()
    screen = Screen(out=out)
    for text, style in models_text.lines("gpu-1", FOLDER, found):
        screen.say(text, style)
    assert out.getvalue().splitlines() == [
        "gpu-1: 2 models in /azaion/models; chosen: 2026-03-02 by bob at 2026-04-20 10:11",
        "  * 2026-03-02     3.0 MiB  2026-04-20 10:11  whole, verified 2026-04-20 10:11  ← q",
        "    2026-04-20-b            2026-04-20 10:11  damaged: it is empty",
        "  p: its config names another model, which is none of these",
        "  n: its config is not in place yet, or names no model",
        '  names that are no dates: "current"',
        "  chosen before: 2026-04-20-b by ann at 2026-04-20 10:11, gone back from",
        "  chosen before: /azaion/models/current/best.pt (before the first choice)",
    ]
    result = models_text.as_result("gpu-1", FOLDER, found)
    assert [(one["date"], one["chosen"], one["named_by"]) for one in result["models"]] == [
        ("2026-03-02", True, ["q"]),
        ("2026-04-20-b", False, []),
    ]
    assert (result["chosen"], result["not_dates"], result["configs"]) == (path("2026-03-02"), ["current"], points)


BEST = ModelFile("r-2026-04-20", path("r-2026-04-20"), WHOLE, "whole", 7, 8, AT)
PLACE = f"{FOLDER}/azaion.pt"


@pytest.mark.parametrize(
    ("kind", "file", "more", "said"),
    [
        ("file", BEST, {"model": BEST.path, "date": BEST.date}, f"{PLACE} is r-2026-04-20"),
        (
            "link",
            BEST,
            {"model": BEST.path, "date": BEST.date},
            f"{PLACE} (a link to {BEST.path}) is r-2026-04-20",
        ),
        ("file", BEST, {}, f"{PLACE} is none of these"),
        ("", dataclasses.replace(BEST, state="missing"), {}, f"{PLACE} is not there: no model is in force"),
        (
            "file",
            dataclasses.replace(BEST, state=DAMAGED, sentence="it is empty"),
            {},
            f"{PLACE} is damaged: it is empty",
        ),
        (
            "file",
            BEST,
            {"was": path("a"), "older": ("a.onnx",)},
            f"{PLACE} is none of these\n  it was {path('a')} before, and no run of ours replaced it\n"
            '  "a.onnx" beside it is older than the model: it may be of another one',
        ),
    ],
)
def test_the_list_says_what_a_copy_or_a_link_is(kind: str, file: ModelFile, more: dict[str, Any], said: str) -> None:
    found = dataclasses.replace(NOTHING, models=(BEST,), in_force=InForce(PLACE, kind, file, **more))
    lines = [text for text, _ in models_text.lines("gpu-1", FOLDER, found)]
    assert "\n".join(lines[1:]).startswith(f"  {said}\n"), lines
    assert (lines[-1][2] == "*") is bool(more.get("model"))


@pytest.mark.parametrize(
    ("date", "directory"),
    [("2026-04-20", "r-2026-04-20"), ("2026-04-20-b", "r-2026-04-20-b"), ("r-2026-04-20", "r-2026-04-20")],
)
def test_the_date_is_enough_of_a_name(tmp_path: Path, date: str, directory: str) -> None:
    named = "models: {folder: /azaion/models, name: r-DATE, in_force: copy, current: a.pt}\n"
    (tmp_path / "hosts.yaml").write_text(HOSTS + named)
    known = laptop.checked(load_inventory(tmp_path / "hosts.yaml"), date)
    assert (known.directory(date), known.place) == (directory, "/azaion/models/a.pt")
    with pytest.raises(BadInput, match="s-2026-04-20 is no date such as 2026-04-20 or r-2026-04-20"):
        laptop.checked(load_inventory(tmp_path / "hosts.yaml"), "s-2026-04-20")


def recovered(store: Store) -> list[str]:
    """By the next command; no engine is asked."""
    return recovery.cut_off_runs(store, Engine(f"unix://{store.root}/none.sock"), -1, ())


def test_a_choice_that_was_cut_off_is_finished_by_the_next_command(trained: Store) -> None:
    config = ConfigFile(f"{trained.root}/config.yaml", model_key="model")

    def cut(run: str, configs: object) -> None:
        add(trained, run, encoded(begin(run, "model")) | {"configs": {"q": configs}, "model": path("a")})
        Path(trained.root, f".config.yaml.{run}").write_text("left behind in the middle of writing it")

    cut(f"{RUN}9", encode(config))
    assert recovered(trained) == [f"run {RUN}9 was cut off; the model in force is as it was"]
    assert Path(config.path).read_text() == f"model: {trained.root}/models/current/best.pt\n"
    choices.save(trained, chosen("a"))
    cut(f"{RUN}8", encode(config))
    assert recovered(trained) == [f"run {RUN}8 was cut off; the model in force is {path('a')}"]
    assert Path(config.path).read_text() == f'model: "{path("a")}"\n'
    assert [one.name for one in Path(trained.root).glob(".config*")] == []
    cut(f"{RUN}7", 7)
    assert recovered(trained) == [
        f"the journal of run {RUN}7 is damaged: {RUN}7.configs.q: a mapping was expected, not int"
    ]
