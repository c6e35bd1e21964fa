"""env: {server: …}: the variables stand on the server, are read there, and never come to rest on the laptop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from sandbox import run_inside
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import watched
from tests.real import ROOT, server_snapshot
from tests.secrets.hunt import hunt_for

pytestmark = pytest.mark.real

FOLDER = "/etc/azaion"
PATH = f"{FOLDER}/.env"
SECRET = "kfh28Hskwq3Z-in-the-middle-s7dkWmz0qLpX"


@pytest.fixture
def laptop(laptop: Laptop) -> Iterator[Laptop]:
    """With no .env: its server has one of its own, or is to have one."""
    watched(laptop, settle=0, window=1)
    laptop.variables["AZAION_API_PASSWORD"] = SECRET
    laptop.host["env"] = {"server": PATH}
    save(laptop)
    yield laptop
    run_inside(laptop.sandbox, ["rm", "-rf", FOLDER])


def save(laptop: Laptop) -> None:
    laptop.save()
    (laptop.folder / ".env").unlink()


def put(laptop: Laptop, mode: str = "600", owner: str = "deploy", **changes: str | None) -> None:
    """Somebody writes the file on the server; None leaves a variable out."""
    variables = {name: value for name, value in {**laptop.variables, **changes}.items() if value is not None}
    text = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    script = f"mkdir -p {FOLDER} && cat >{PATH} && chown {owner} {PATH} && chmod {mode} {PATH}"
    run_inside(laptop.sandbox, ["sh", "-ec", script], input=text)


def refused(laptop: Laptop, status: int, words: str) -> None:
    """In one sentence, and nothing is changed."""
    before = server_snapshot(laptop.sandbox)
    said = laptop.fab("deploy", "--service", QUEUE, "--debug")
    assert (said.status, words in said.err) == (status, True), said.all
    assert SECRET not in said.all
    assert server_snapshot(laptop.sandbox) == before


def test_it_is_deployed_from_and_nothing_of_it_stays_on_the_laptop(laptop: Laptop) -> None:
    refused(laptop, 10, f"gpu-1: {PATH} does not exist")
    put(laptop, RABBITMQ_HOST=None)
    refused(laptop, 10, f"gpu-1:{PATH}: RABBITMQ_HOST is not set; needed by ")
    row = laptop.fab("preflight", "--service", QUEUE, "--json").json["servers"][0]["rows"]
    assert [(one["level"], one["sentence"].partition(";")[0]) for one in row if one["name"] == ".env"] == [
        ("critical", f"gpu-1:{PATH}: RABBITMQ_HOST is not set")
    ]
    put(laptop)
    laptop.deployed("--json", "--debug")
    config = run_inside(laptop.sandbox, ["cat", f"{ROOT}/config.yaml"]).stdout
    assert yaml.safe_load(config)["api"]["password"] == SECRET

    put(laptop, AZAION_API_PASSWORD=SECRET[::-1])
    for words in ("diff", "preflight", "status", "health", "logs"):
        said = laptop.fab(words, "--json", "--debug")
        assert said.status < 4 and SECRET not in said.all and SECRET[::-1] not in said.all, said.all
        if words == "preflight":
            assert "AZAION_API_PASSWORD differs from what" in said.out and f"take it over into gpu-1:{PATH}" in said.out
    hunt = hunt_for({"now": SECRET[::-1], "before": SECRET})
    assert hunt.in_folder(laptop.folder) == {}
    assert [path for path in hunt.on_the_server(laptop.sandbox) if path.startswith(FOLDER)] == [PATH]


def test_one_that_is_not_for_its_owner_alone_is_refused(laptop: Laptop) -> None:
    put(laptop, mode="644")
    refused(laptop, 12, f"gpu-1: {PATH} is not for its owner alone (mode 0644)")
    put(laptop, owner="4321")
    refused(laptop, 12, f"gpu-1: {PATH} belongs to user 4321")
    put(laptop, owner="root")
    refused(laptop, 12, f"gpu-1: {PATH} cannot be read by this login: Permission denied")
    run_inside(laptop.sandbox, ["sh", "-ec", f"mv {PATH} {FOLDER}/real && ln -s real {PATH}"])
    refused(laptop, 12, f"gpu-1: {PATH} is a link or lies behind one, which leads to {FOLDER}/real")
    run_inside(laptop.sandbox, ["sh", "-ec", f"rm {PATH} && mkfifo -m 600 {PATH} && chown deploy {PATH}"])
    refused(laptop, 10, f"gpu-1: {PATH} is no regular file")
    assert laptop.fab("history").status == 0  # which asks for none of it


def test_it_is_brought_to_the_laptop_in_names_and_the_old_file_is_kept(laptop: Laptop) -> None:
    env = laptop.folder / ".env"
    put(laptop)
    said = laptop.fab("env.import", "--json", "--debug")
    assert (said.status, env.stat().st_mode & 0o777) == (0, 0o600), said.all
    (answer,) = said.json["servers"]
    assert (answer["outcome"], answer["source"], answer["added"]) == ("done", PATH, list(laptop.variables))

    laptop.host["env"] = {"file": ".env"}
    (laptop.folder / "hosts.yaml").write_text(yaml.safe_dump(laptop.hosts, sort_keys=False))
    assert laptop.fab("env.import", "--from", PATH).out.endswith("has the same variables, nothing was written\n")
    put(laptop, AZAION_API_PASSWORD=SECRET[::-1], REGISTRY_PASSWORD=None)
    before = env.read_bytes()
    refused = laptop.fab("env.import", "--from", PATH, "--debug")
    lost = "the values of AZAION_API_PASSWORD and what it has alone (REGISTRY_PASSWORD)"
    assert (refused.status, f"would lose {lost}; nothing was changed" in refused.err) == (12, True), refused.all
    assert env.read_bytes() == before
    done = laptop.fab("env.import", "--from", PATH, "--yes", "--debug")
    assert done.status == 0 and "REGISTRY_PASSWORD" not in env.read_text(), done.all
    hunt = hunt_for({"now": SECRET[::-1], "before": SECRET})
    (kept,) = laptop.folder.glob(".env.before-*")
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (before, 0o600)
    assert set(hunt.in_folder(laptop.folder)) == {".env", kept.name}
    assert all(hunt.found(one.all) == [] for one in (said, refused, done))
