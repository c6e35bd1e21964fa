"""What docker says of containers and images becomes values in one place: whatever it leaves out, and however it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.server.docker.engine import EngineError
from gpu_runbook.server.docker.inspected import ListedContainer, LocalImage, Mount
from tests.unit.docker_answers import IMAGE, NEVER, ONE, Answering, container, entry, image, inspected, listed, local

DATA = Path(__file__).parents[3] / "data/0.1.0"
STARTED, ENDED = "2026-04-20T10:11:12.123456789Z", "2026-04-20T12:00:00Z"
AT, END = 1776679872.123456789, 1776686400.0
RUNS: dict[str, Any] = {"Status": "running", "Running": True, "StartedAt": STARTED, "FinishedAt": NEVER}
ENDS: dict[str, Any] = {"Status": "exited", "Running": False, "StartedAt": STARTED, "FinishedAt": ENDED}
LOG = [{"Start": STARTED, "End": ENDED, "ExitCode": 1, "Output": "no"}]


@pytest.mark.parametrize(
    ("state", "flags", "times"),
    [
        ({"Status": "created", "Running": False, "StartedAt": NEVER}, (False, False, False), (0.0, 0.0)),
        (RUNS, (True, False, False), (AT, 0.0)),
        ({**RUNS, "FinishedAt": ENDED}, (True, False, False), (AT, END)),  # and was restarted
        ({**RUNS, "Status": "paused", "Paused": True}, (True, False, True), (AT, 0.0)),
        ({**RUNS, "Status": "restarting", "Restarting": True}, (True, True, False), (AT, 0.0)),
        (ENDS, (False, False, False), (AT, END)),
        ({**ENDS, "Status": "dead", "Dead": True}, (False, False, False), (AT, END)),
        ({**ENDS, "Status": "a later engine's"}, (False, False, False), (AT, END)),
        ({**RUNS, "Health": {"Status": "starting", "FailingStreak": 0, "Log": []}}, (True, False, False), (AT, 0.0)),
        ({**RUNS, "Health": {"Status": "healthy", "FailingStreak": 0, "Log": None}}, (True, False, False), (AT, 0.0)),
        ({**RUNS, "Health": {"Status": "unhealthy", "FailingStreak": 9, "Log": LOG}}, (True, False, False), (AT, 0.0)),
        ({**RUNS, "Health": None}, (True, False, False), (AT, 0.0)),
    ],
    ids=lambda one: one.get("Status") if isinstance(one, dict) else "",
)
def test_a_container_in_every_state(
    state: dict[str, Any], flags: tuple[bool, bool, bool], times: tuple[float, float]
) -> None:
    found = container(inspected(**state))
    assert found.state == state["Status"]
    assert (found.running, found.restarting, found.paused) == flags
    assert (found.started, found.finished) == pytest.approx(times, abs=1e-6)
    assert found.started_at == state["StartedAt"], "it is told as docker writes it, to the nanosecond"
    assert found.finished_at == state.get("FinishedAt", NEVER)


def test_what_docker_says_of_a_container_is_all_there() -> None:
    answer = inspected(ONE, "queue", {"team": "azaion"}, "team/queue:1", restarts=3, ExitCode=137, OOMKilled=True)
    answer["State"]["Error"] = "no such device"
    answer["Config"]["Tty"] = True
    found = container(answer)
    assert (found.id, found.name, found.names, found.labels) == (ONE, "queue", ("queue",), {"team": "azaion"})
    assert (found.image, found.image_id) == ("team/queue:1", IMAGE)
    assert (found.exit_code, found.out_of_memory, found.error) == (137, True, "no such device")
    assert (found.restarts, found.terminal) == (3, True)


NULL: dict[str, Any] = {"labels": {}, "image": "", "terminal": False, "paused": False, "error": "", "restart": "no"}


@pytest.mark.parametrize("gone", ["null", "left out"])
@pytest.mark.parametrize(
    ("part", "key", "field"),
    [
        ("Config", "Labels", "labels"),
        ("Config", "Image", "image"),
        ("Config", "Tty", "terminal"),
        ("State", "Paused", "paused"),
        ("State", "Error", "error"),
        ("State", "OOMKilled", "out_of_memory"),
    ],
)
def test_what_an_engine_does_not_say_is_nothing(part: str, key: str, field: str, gone: str) -> None:
    whole = container(inspected(labels={"team": "azaion"}, Paused=True, Error="x", OOMKilled=True))
    answer = inspected(labels={"team": "azaion"}, Paused=True, Error="x", OOMKilled=True)
    answer[part].pop(key)
    if gone == "null":
        answer[part][key] = None
    found = container(answer)
    assert getattr(found, field) == NULL.get(field, False)
    assert dataclasses.replace(found, **{field: getattr(whole, field)}) == whole, "and nothing else is another"


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("", "Id", "c1"),
        ("", "Name", None),
        ("", "Image", "team/queue"),
        ("", "RestartCount", "3"),
        ("", "HostConfig", {"RestartPolicy": None}),
        ("", "HostConfig", None),
        ("", "Config", None),
        ("", "State", []),
        ("Config", "Labels", {"team": 7}),
        ("State", "Status", None),
        ("State", "Running", "yes"),
        ("State", "ExitCode", None),
        ("State", "StartedAt", "a moment ago"),
        ("State", "StartedAt", ""),
        ("State", "FinishedAt", None),
        ("State", "FinishedAt", "2026-02-30T00:00:00Z"),
    ],
)
def test_what_has_to_be_known_of_a_container_is_never_guessed(part: str, key: str, value: Any) -> None:
    answer = inspected()
    (answer[part] if part else answer)[key] = value
    with pytest.raises(EngineError, match="gave an answer that cannot be read"):
        container(answer)
    (answer[part] if part else answer).pop(key)
    if key != "Labels":
        with pytest.raises(EngineError, match="gave an answer that cannot be read"):
            container(answer)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"Name": "unless-stopped", "MaximumRetryCount": 0}, "unless-stopped"),
        ({"Name": "on-failure", "MaximumRetryCount": 3}, "on-failure:3"),
        ({"Name": "on-failure", "MaximumRetryCount": None}, "on-failure"),
        ({"Name": "on-failure"}, "on-failure"),
        ({"Name": "", "MaximumRetryCount": 0}, "no"),
    ],
)
def test_a_restart_policy_is_said_as_docker_takes_it(policy: dict[str, Any], text: str) -> None:
    answer = inspected()
    answer["HostConfig"]["RestartPolicy"] = policy
    assert container(answer).restart == text


@pytest.mark.parametrize("place", sorted(DATA.glob("*/containers.json")), ids=lambda path: path.parent.name)
def test_what_a_real_docker_has_said_is_read(place: Path) -> None:
    for answer in json.loads(place.read_text()):
        found = container(answer)
        assert f"/{found.name}" == answer["Name"]
        assert (found.id, found.image_id, found.image) == (answer["Id"], answer["Image"], answer["Config"]["Image"])
        assert (found.labels, found.exit_code) == (answer["Config"]["Labels"], answer["State"]["ExitCode"])
        assert [at > 1.7e9 for at in (found.started, found.finished)] == [
            answer["State"][key] != NEVER for key in ("StartedAt", "FinishedAt")
        ]
        assert found.restart in ("no", "unless-stopped")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"Names": ["/queue", "/web/db"]}, {"names": ("queue", "web/db")}),
        ({"Names": ["queue"]}, {}),
        ({"Names": None}, {"names": ()}),
        ({"Labels": None}, {}),
        ({"Labels": {"team": "azaion"}}, {"labels": {"team": "azaion"}}),
        ({"State": "a later engine's"}, {"state": "a later engine's"}),
        ({"Image": None, "ImageID": None, "Created": None}, {"image": "", "image_id": "", "created": 0.0}),
        ({"Mounts": [{"Source": "/data", "RW": False}]}, {"mounts": (Mount("/data", False),)}),
        ({"Mounts": [{"Source": None}, {}]}, {"mounts": (Mount("", True), Mount("", True))}),
        ({"Mounts": None}, {}),
        ({"Ports": None, "HostConfig": {"NetworkMode": "host"}, "Status": 7}, {}),  # nobody reads that here
    ],
)
def test_an_entry_of_the_list(change: dict[str, Any], expected: dict[str, Any]) -> None:
    usual = ListedContainer(ONE, ("queue",), "running", {}, "team/queue", IMAGE, 1776679871.0)
    assert entry(listed(ONE, **change)) == dataclasses.replace(usual, **expected)


@pytest.mark.parametrize(
    "change",
    [
        *({"Id": "c1"}, {"Id": None}, {"Names": [None]}, {"Names": "queue"}, {"State": None}, {"Labels": []}),
        *({"Mounts": 7}, {"Mounts": [None]}, {"Mounts": [{"Source": 7}]}),
    ],
)
def test_a_list_with_an_entry_that_is_none_is_not_read(change: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="gave an answer that cannot be read"):
        entry(listed(**change))


def test_who_has_no_name_is_called_by_its_id() -> None:
    assert entry(listed(ONE, "queue", "web/db")).name == "queue"
    assert entry(listed(ONE, Names=None)).name == "c" * 12


def test_an_image_goes_by_tags_and_digests() -> None:
    found = local(image("team/queue:1", digests=("team/queue@sha256:00",), labels={"role": "queue"}))
    names = ("team/queue:1", "team/queue@sha256:00")
    assert found == LocalImage(IMAGE, names, {"role": "queue"}, ("python", "-m", "queue"), 1 << 20)
    assert local({"Id": IMAGE}) == LocalImage(IMAGE, ())
    assert local({"Id": IMAGE, "RepoTags": None, "RepoDigests": None, "Config": None}) == LocalImage(IMAGE, ())
    assert local({"Id": IMAGE, "Config": {"Labels": None, "Cmd": None}}) == LocalImage(IMAGE, ())
    with pytest.raises(EngineError, match="gave an answer that cannot be read"):
        local({**image(), "Id": "team/queue"})


class Knowing(Answering):
    """An engine with one container and its image."""

    def listing(self) -> list[dict[str, Any]]:
        return [listed()]

    def inspection(self, name_or_id: str) -> dict[str, Any] | None:
        return inspected() if name_or_id in (ONE, "queue") else None

    def made_from(self, name: str) -> dict[str, Any] | None:
        return image() if name in (IMAGE, "team/queue:1") else None


def test_an_engine_gives_values_and_none_of_what_is_not_there() -> None:
    engine = Knowing("unix:///nowhere")
    assert engine.containers() == [entry(listed())]
    assert engine.container("queue") == engine.container(ONE) == container(inspected())
    assert engine.image("team/queue:1") == local(image())
    assert (engine.container("other"), engine.image("other"), engine.full_spec("other")) == (None, None, None)
    assert (engine.full_spec(ONE) or {})["HostConfig"]["Privileged"] is False
