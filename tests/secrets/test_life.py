"""Wherever somebody might come to see it, no secret shows: the server's whole life is searched for every one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.laptop.inputs.secret import DOTS
from gpu_runbook.laptop.rpc.bundle import loader
from sandbox import Sandbox
from sandbox.roots import LOGIN_UID, SHARED_GID
from tests.deploy.laptop import QUEUE, new_laptop
from tests.real import ROOT, STATE, clean
from tests.secrets.life import Life
from tests.secrets.story import lived

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]  # the whole life is lived in the first one

# Where a secret may lie on the server; the second only while a run is under way or was cut off.
RESTS = (
    rf"{ROOT}/(config\.yaml|queue\.env)|/home/deploy/\.docker/config\.json|{re.escape(STATE)}/"
    rf"(releases/[\w-]+/{QUEUE}/(config|before)\.yaml|health/settings\.json|env/{QUEUE}\.previous)"
)
STAGED = rf"{ROOT}/\.config\.yaml\.[\w-]+(\.before)?"


@pytest.fixture(scope="module")
def life(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    clean(sandbox)
    folder = Path(tmp_path_factory.mktemp("laptop"))
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(folder / "tmp"))
        yield lived(new_laptop(folder, sandbox))


def test_no_command_says_a_secret(life: Life) -> None:
    assert {command: found for command, text in life.said.items() if (found := life.hunt.found(text))} == {}
    assert sum("Traceback" in text for text in life.said.values()) > 5  # --debug had something to say
    assert sum(f"amqp://azaion:{DOTS}@broker/" in text for text in life.said.values()) >= 4  # so had the chatty one


def test_no_argument_list_and_no_environment_holds_a_secret(life: Life) -> None:
    processes = life.shown["processes"]
    assert life.hunt.found(processes) == []
    assert life.hunt.found(life.shown["docker calls"]) == []
    for seen in (
        loader("zlib"),
        loader("bz2"),
        "docker\0stop\0",
        "fabric\0--search-root",
        "pipe.py",
        "DOCKER_HOST=",
        "TMPDIR=",
    ):
        assert seen in processes
    assert "create --name" in life.shown["docker calls"]


def test_the_scheduled_check_keeps_its_secrets_in_its_settings_alone(life: Life) -> None:
    assert life.hunt.found(life.shown["crontab"]) == []
    assert "check.pyz" in life.shown["crontab"] and "check.pyz" in life.shown["processes"]
    resting = [path for path in life.resting["looked after"] if "/health/" in path]
    assert resting == [f"{STATE}/health/settings.json"]
    assert not [path for path in life.resting["at the end"] if "/health/" in path]


def test_docker_shows_no_secret_of_a_container_an_image_or_an_event(life: Life) -> None:
    for what in ("containers", "images", "events"):
        assert life.hunt.found(life.shown[what]) == []
        assert QUEUE in life.shown[what]


@pytest.mark.parametrize(
    "when", ["after a rollback", "after the housekeeping", "looked after", "cut off", "at the end"]
)
def test_on_the_server_secrets_rest_in_configs_for_the_login_user_alone(life: Life, when: str) -> None:
    resting = {
        path: owned for path, (owned, _) in life.resting[when].items() if not any(one in path for one in life.chatty)
    }
    allowed = f"{RESTS}|{STAGED}" if when == "cut off" else RESTS
    assert [path for path in resting if not re.fullmatch(allowed, path)] == []
    in_root = {owned for path, owned in resting.items() if path.startswith(f"{ROOT}/")}
    assert in_root == {f"0640 {LOGIN_UID}:{SHARED_GID}"}  # which the consumer reads
    elsewhere = {owned for path, owned in resting.items() if not path.startswith(f"{ROOT}/")}
    assert elsewhere <= {f"0600 {LOGIN_UID}:{LOGIN_UID}"}
    assert f"{ROOT}/config.yaml" in resting
    assert any(re.fullmatch(STAGED, path) for path in resting) == (when == "cut off")


def test_the_laptop_keeps_secrets_in_its_env_file_alone(life: Life) -> None:
    assert set(life.hunt.in_folder(life.laptop.folder)) == {".env"}


@pytest.mark.parametrize(
    "when", ["first deploy", "deploy", "rollback", "adoption", "housekeeping", "looked after", "recovery"]
)
def test_what_is_ours_on_the_server_is_for_the_login_user_alone_under_any_umask(life: Life, when: str) -> None:
    listed = [line.split(" ", 3) for line in life.modes[when]]
    assert [entry for entry in listed if entry[1] != _mode(*entry) or entry[2] != str(LOGIN_UID)] == []
    paths = {path for _, _, _, path in listed}
    assert {f"{STATE}/{name}" for name in ("lock", "salt", "previous-tags.json")} <= paths
    for kind in (r"runs/[\w-]+\.jsonl", r"runs/[\w-]+\.decision", rf"releases/[\w-]+/{QUEUE}/config\.yaml"):
        assert any(re.fullmatch(f"{re.escape(STATE)}/{kind}", path) for path in paths)


def _mode(kind: str, mode: str, uid: str, path: str) -> str | None:
    """What a file or directory of ours has; the consumer reads its config by its group."""
    return "640" if path == f"{ROOT}/config.yaml" else {"d": "700", "f": "600"}.get(kind)
