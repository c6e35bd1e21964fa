"""What an older version left on a server is read to the last file, and understood as that version understood it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from gpu_runbook.protocol import journal as protocol
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.journal import Begin, BeginOfChoice, BeginOfPlan, Swapping
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.models import choices as modelchoice
from gpu_runbook.server.schedule import history
from gpu_runbook.server.schedule import state as states
from gpu_runbook.server.state import journal, jsonfile, pause, record, stopped
from gpu_runbook.server.state.schedule_files import HISTORY, SETTINGS, STATE, place
from gpu_runbook.server.state.store import Store, in_root
from gpu_runbook.server.system import crontab
from tests.data import old
from tests.secrets.hunt import hunt_for

QUEUE = "annotation-queue"
STEPS = {old.BEFORE: "staging", old.IN: "swap", old.AFTER: "watching"}  # at which the run was killed
SECRETS = ("PASSWORD", "URL")  # as the names of variables end; an address of the API is none
SECRET_FILES = ("config.yaml", "before.yaml", "settings.json", "env")


@pytest.fixture(params=old.SCENES)
def name(request: pytest.FixtureRequest) -> str:
    scene: str = request.param
    return scene


@pytest.fixture
def store(name: str, tmp_path: Path) -> Store:
    return in_root(str(old.placed(name, tmp_path)))


@pytest.fixture
def settled(tmp_path: Path) -> Store:
    return in_root(str(old.placed(old.SETTLED, tmp_path)))


def told(name: str) -> Any:
    """What that version's `fab status --json` said of the server."""
    (server,) = old.said(name, "status")["servers"]
    return server


def runs(name: str) -> Any:
    """What that version's `fab history --json` said of its runs."""
    (server,) = old.said(name, "history")["servers"]
    return server["runs"]


def test_a_scene_is_laid_out_as_it_stood_on_the_server(name: str, store: Store) -> None:
    root = Path(store.root)
    entries = old.listing(name)
    assert {str(path.relative_to(root)) for path in root.rglob("*")} == set(entries)
    for path, entry in entries.items():
        found = (root / path).stat()
        size = 0 if entry.directory else found.st_size
        assert (found.st_mode & 0o7777, size) == (entry.mode, entry.size), path


def test_the_record_is_whole_and_says_what_it_said(name: str, store: Store) -> None:
    known, problems = record.load(store)
    assert problems == ()
    assert known.current == told(name)["release"] != ""
    for entry, before in zip(known.releases, told(name)["releases"], strict=True):
        found = encode(entry)
        services = before.pop("services")
        assert found == found | before
        assert set(found["services"]) == set(services)
        for service, placed in services.items():
            assert found["services"][service] == found["services"][service] | placed


def test_every_run_is_in_the_state_in_which_it_was(name: str, store: Store) -> None:
    found = {run: encode(journal.state(store, run)) for run in journal.runs(store)}
    assert set(found) == {run["run"] for run in runs(name)}
    for before in runs(name):
        for key in ("state", "action", "who", "outcome", "sentence"):
            assert found[before["run"]][key] == before[key], before["run"]
    last = journal.last(store)
    assert last and encode(last) == encode(last) | told(name)["run"]


def test_every_line_of_every_journal_is_whole_and_understood(store: Store) -> None:
    for run in journal.runs(store):
        lines = journal.read(store.journal(run))
        assert len(lines) == Path(store.journal(run)).read_bytes().count(b"\n")
        assert [line.word for line in lines if line.event is None or not line.at or line.t is None] == []
        assert [begin.run for begin in protocol.told(lines, Begin)] == [run]
        planned = protocol.told(lines, BeginOfPlan, BeginOfChoice)
        assert len(planned) == 1
        assert {one.swap.service for one in protocol.told(lines, Swapping)} <= {QUEUE}


def test_the_run_that_was_killed_is_cut_off_where_it_was_and_all_others_ended(name: str, store: Store) -> None:
    found = [journal.state(store, run) for run in journal.runs(store)]
    cut = old.said(name, "scene")["cut"]
    expected = [(cut["run"], STEPS[name])] if cut else []
    assert [(run.id, run.step) for run in found if run.state == "cut-off"] == expected
    assert {run.state for run in found} <= {"ended", "cut-off"}


def test_of_the_settled_server_every_kind_of_release_is_known(settled: Store) -> None:
    known, _ = record.load(settled)
    newest, left, before, adopted = known.releases
    assert newest.id == known.current
    assert set(newest.services) == {QUEUE, "training"}
    assert left.left in journal.runs(settled)
    assert (before.outcome, before.left) == ("proven", "")
    assert (adopted.outcome, adopted.services[QUEUE].spec) == ("adopted", None)
    (failed,) = Path(settled.releases).glob("*/failed.json")
    assert "failed its watch" in json.loads(failed.read_text())["reason"]
    assert known.find(failed.parent.name) is None


def test_of_the_settled_server_a_chosen_model_and_a_pause_and_a_stop_are_known(settled: Store) -> None:
    choices = modelchoice.load(settled)
    current, previous = choices.current(), modelchoice.previous(choices)
    assert current and previous and (current.date, previous.date) == ("2026-04-20", "2026-03-02")
    assert set(choices.verified) == {current.path, previous.path}
    found, problem = pause.load(settled, time.time())
    assert (problem, encode(found)) == ("", told(old.SETTLED)["pause"])
    stops, problem = stopped.load(settled)
    assert (problem, encode(stops[QUEUE])) == ("", told(old.SETTLED)["services"][QUEUE]["stopped"])


def test_of_the_settled_server_the_scheduled_check_goes_on_where_it_was(settled: Store) -> None:
    installed, problem = jsonfile.load(Installed, place(settled, SETTINGS))
    assert installed and (problem, installed.version, installed.who) == ("", old.VERSION, "ann")
    assert installed.settings.channels.names == ("ops", "mail", "log")
    state, damage = states.load(place(settled, STATE))
    assert state and damage == ""
    rounds = [found for found, _ in history.read(place(settled, HISTORY), "")]
    assert len(rounds) == state.rounds
    assert rounds[-1] and rounds[-1].at == state.at
    assert {owed.channel for owed in state.pending} == {"ops", "mail"}
    assert [alarm.told for alarm in state.alarms.values()] == ["critical"]
    assert list(state.restarts) == [QUEUE]
    text, root = (old.scene(old.SETTLED) / "crontab").read_text(), old.said(old.SETTLED, "scene")["root"]
    block = crontab.found(text, root)
    assert block and f"{root}/.deploy/health/check.pyz" in block
    assert crontab.with_block(text, root, "") == text.replace(block, "") != ""


def test_secrets_are_where_they_may_rest_and_nowhere_else(name: str) -> None:
    variables = dotenv_values(old.scene(name) / "env", interpolate=False)
    secrets = {
        key: (value or "").rpartition("/")[2] if key.endswith("_URL") else value or ""
        for key, value in variables.items()
        if key.endswith(SECRETS) and key != "AZAION_API_URL"
    }
    found = hunt_for(secrets).in_folder(old.scene(name))
    assert f"{old.ROOT}/config.yaml" in found
    assert [path for path in found if not Path(path).name.lstrip(".").startswith(SECRET_FILES)] == []
