"""fab env.diff and env.push: a file of variables on the server, told in names, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sandbox import Sandbox, run_inside
from sandbox.machine import wait_until
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import watched
from tests.real import ROOT, STATE, Snapshot, server_snapshot

pytestmark = pytest.mark.real

PATH = f"{ROOT}/queue.env"
PREVIOUS = f"{STATE}/env/{QUEUE}.previous"
NAMES = ["RABBITMQ_HOST", "RABBITMQ_PASSWORD", "TOKEN"]


@pytest.fixture
def laptop(laptop: Laptop) -> Laptop:
    """With a consumer that reads a file of three variables."""
    laptop.queue["env_file"] = {"path": PATH, "variables": NAMES, "owner": "1000:2000", "mode": "0640"}
    laptop.variables["TOKEN"] = "plain"
    watched(laptop, settle=0, window=1)
    return laptop


def odd(laptop: Laptop) -> None:
    """A value that takes quotes, in .env and so in the file."""
    env = laptop.folder / ".env"
    env.write_text(env.read_text().replace("TOKEN='plain'", 'TOKEN="it\'s ${odd} # and long"'))


def on_server(sandbox: Sandbox, path: str = PATH) -> str:
    return run_inside(sandbox, ["cat", path], check=False).stdout


def put(sandbox: Sandbox, text: str, mode: str = "640") -> None:
    """Somebody has edited the file at the server."""
    run_inside(sandbox, ["tee", PATH], user="deploy", input=text)
    run_inside(sandbox, ["chmod", mode, PATH])


def state(laptop: Laptop) -> dict[str, Any]:
    said = laptop.fab("env.diff", "--json")
    assert said.status == 0, said.all
    (server,) = said.json["servers"]
    (file,) = server["files"]
    return dict(file)


def row(laptop: Laptop) -> tuple[str, str]:
    said = laptop.fab("preflight", "--service", QUEUE, "--json")
    found = {one["name"]: one for one in said.json["servers"][0]["rows"]}[f"{QUEUE} env file"]
    return found["level"], found["sentence"]


def test_a_file_is_written_whole_told_in_names_and_its_previous_one_is_kept(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    before = server_snapshot(sandbox)
    assert (state(laptop)["state"], state(laptop)["missing"]) == ("missing", NAMES)
    assert row(laptop) == ("critical", f"{PATH} is not there")
    refused = laptop.fab("deploy", "--service", QUEUE)
    assert (refused.status, f"{QUEUE} env file: {PATH} is not there" in refused.err) == (12, True), refused.all
    dry = laptop.fab("env.push", "--dry-run")
    assert (dry.status, f"{PATH} would be written; nothing was changed" in dry.out) == (0, True), dry.all
    assert server_snapshot(sandbox) == before

    pushed = laptop.fab("env.push")
    assert pushed.status == 0, pushed.all
    assert f"the next start of {QUEUE} reads it" in pushed.out and "the old one" not in pushed.out
    assert server_snapshot(sandbox).tree[PATH][:3] == ["-rw-r-----", 1000, 2000]
    assert [line.partition("=")[0] for line in on_server(sandbox).splitlines()] == NAMES
    assert row(laptop)[0] == "ok" and state(laptop)["up_to_date"]
    first = on_server(sandbox)

    odd(laptop)
    assert (state(laptop)["differs"], row(laptop)[0]) == (["TOKEN"], "warning")
    again = laptop.fab("env.push")
    assert "warning: a shell, and python-dotenv before 1.2, may read otherwise:" in again.out, again.all
    assert f"what runs has read the old one: fab restart {QUEUE}" in again.out
    assert on_server(sandbox, PREVIOUS) == first != on_server(sandbox)
    assert server_snapshot(sandbox).tree[PREVIOUS][0] == "-rw-------"
    written = server_snapshot(sandbox)
    nothing = laptop.fab("env.push")
    assert (nothing.status, "up to date, nothing was written" in nothing.out) == (0, True), nothing.all
    assert server_snapshot(sandbox) == written

    history = laptop.fab("history", "--json").json["servers"][0]["runs"]
    assert [(run["action"], run["outcome"]) for run in history] == [("env", "done")] * 2
    assert history[0]["sentence"] == f"{QUEUE}: {PATH}: changed TOKEN"
    password = laptop.variables["RABBITMQ_PASSWORD"]
    journals = run_inside(sandbox, ["sh", "-c", f"cat {STATE}/runs/*"]).stdout
    for said in (pushed.all, again.all, journals, laptop.fab("show").all, laptop.fab("env.diff", "--json").all):
        assert password not in said and "plain" not in said and "${odd}" not in said


def test_what_a_person_has_done_to_the_file_is_told_and_put_in_order(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    assert laptop.fab("env.push").status == 0
    edited = on_server(sandbox).replace("TOKEN=", "export EXTRA=1\nTOKEN='open\nTOKEN=") + "TOKEN=s3cret-value\n"
    put(sandbox, edited, "644")
    found = state(laptop)
    assert (found["same"], found["differs"], found["unknown"]) == (NAMES[:2], ["TOKEN"], ["EXTRA"])
    assert found["problems"][0] == "its mode is 0644 instead of 0640"
    assert found["problems"][1].startswith("line 4 cannot be read")
    assert found["problems"][2] == "line 6: TOKEN stands twice, first in line 5"
    assert "s3cret-value" not in laptop.fab("env.diff").all
    assert laptop.fab("env.push").status == 0
    assert state(laptop)["up_to_date"] and on_server(sandbox, PREVIOUS) == edited


def test_what_cannot_be_written_is_one_sentence_and_changes_nothing(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    assert laptop.fab("env.push").status == 0
    laptop.variables["TOKEN"] = "other"
    before = without_lock(sandbox)

    def refused(status: int, words: str) -> None:
        laptop.save()
        said = laptop.fab("env.push")
        assert (said.status, words in said.err) == (status, True), said.all
        assert without_lock(sandbox) == before

    laptop.queue["env_file"]["owner"] = "1234:1234"
    refused(12, f"this login cannot give {PATH} to 1234:1234; nothing was changed")
    laptop.queue["env_file"] |= {"owner": "1000:2000", "path": f"{ROOT}/none/queue.env"}
    refused(12, f"{ROOT}/none/queue.env cannot be written: No such file or directory; nothing was changed")
    laptop.queue["env_file"] |= {"path": PATH, "variables": [*NAMES, "NOT_SET"]}
    laptop.host["port"], port = 1, laptop.host["port"]  # nobody is asked
    refused(10, f".env: no value for NOT_SET; needed by services.{QUEUE}.env_file")
    del laptop.queue["env_file"]
    refused(10, "gives none of these services an env_file")
    laptop.host["port"] = port
    laptop.queue["env_file"] = {"path": PATH, "variables": NAMES, "owner": "1000:2000", "mode": "0640"}
    with held(sandbox):
        refused(12, "holds the lock of this server")


def without_lock(sandbox: Sandbox) -> Snapshot:
    """The server, but for who held the lock last."""
    found = server_snapshot(sandbox)
    del found.tree[f"{STATE}/lock"]
    return found


@contextmanager
def held(sandbox: Sandbox) -> Iterator[None]:
    """Somebody else is at it."""
    script = f"exec flock {STATE}/lock sh -c 'touch /tmp/held; while [ -e /tmp/held ]; do sleep 0.1; done'"
    run_inside(sandbox, ["sh", "-c", f'setsid sh -c "{script}" >/dev/null 2>&1 </dev/null &'], user="deploy")
    wait_until(lambda: run_inside(sandbox, ["test", "-e", "/tmp/held"], check=False).returncode == 0, 10, "lock")
    try:
        yield
    finally:
        run_inside(sandbox, ["rm", "/tmp/held"])
