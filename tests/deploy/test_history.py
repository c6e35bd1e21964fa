"""fab history and fab show: what was done, by whom, from which image to which, and how it ended."""

from __future__ import annotations

import pytest

from gpu_runbook.laptop.errors import BadInput
from sandbox import run_inside
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import watched
from tests.real import STATE, published

pytestmark = pytest.mark.real


def recorded(laptop: Laptop) -> dict[str, str]:
    """The image, by digest, of each tag that the record knows."""
    releases = laptop.fab("status", "--json").json["servers"][0]["releases"]
    return {release["services"][QUEUE]["tag"]: release["services"][QUEUE]["image"] for release in releases}


def test_a_deploy_a_bad_one_and_a_rollback_are_told_newest_first(laptop: Laptop) -> None:
    watched(laptop, settle=1, window=2)
    published(laptop.sandbox, 100)
    laptop.deployed("--tag", "1.0")
    laptop.deployed("--tag", "1.1")
    watched(laptop, settle=1, window=60)  # it may take its time until it ends
    assert laptop.fab("deploy", "--service", QUEUE, "--tag", "bad-exits").status == 13
    watched(laptop, settle=1, window=2)
    assert laptop.fab("rollback").status == 0

    said = laptop.fab("history", "--json")
    assert said.status == 0, said.all
    back, bad, second, first = said.json["servers"][0]["runs"]
    assert [run["outcome"] for run in (first, second, bad, back)] == ["done", "done", "rolled-back", "done"]
    assert [run["action"] for run in (first, back)] == ["deploy", "rollback"]
    images = recorded(laptop)
    assert all("@sha256:" in image for image in images.values())
    (change,) = second["changes"]
    assert (change["tag_before"], change["tag"]) == ("1.0", "1.1")
    assert (change["image_before"], change["image"]) == (images["1.0"], images["1.1"])
    (change,) = back["changes"]
    assert (change["tag_before"], change["tag"], change["image"]) == ("1.1", "1.0", images["1.0"])
    assert first["outage"] is None
    assert 0 < second["outage"] < second["seconds"]

    shown = laptop.fab("show", "--run", second["run"])
    assert shown.status == 0, shown.all
    assert f"1.0 ({change['image'].partition('@')[2][:19]})" in shown.out
    assert "$ docker stop" in shown.out
    assert second["sentence"] in shown.out
    assert laptop.fab("show", "--json").json["servers"][0]["journal"][-1]["event"] == "end"


def test_a_damaged_journal_hides_no_other_run(laptop: Laptop) -> None:
    published(laptop.sandbox, 10)
    laptop.deployed("--tag", "1.0")
    laptop.deployed("--tag", "1.1")
    script = f"cd {STATE}/runs && set -- *.jsonl && echo 'by hand' >>$1"
    run_inside(laptop.sandbox, ["sh", "-ec", script])
    said = laptop.fab("history")
    assert said.status == 0, said.all
    assert said.out.count("1 line of its journal cannot be read") == 1
    assert said.out.count("done in ") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("history", "--limit", "0"), "--limit 0 is no whole number from 1 up"),
        (("show", "--run", "yesterday"), "--run 'yesterday' is no run"),
        (("show",), "gpu-1: there has been no run on this server yet"),
    ],
)
def test_bad_input_is_one_sentence(laptop: Laptop, words: tuple[str, ...], sentence: str) -> None:
    said = laptop.fab(*words)
    assert (said.status, said.err.splitlines()[0]) == (BadInput.exit_code, sentence)


def test_a_server_without_a_run_says_so(laptop: Laptop) -> None:
    said = laptop.fab("history")
    assert (said.status, said.out) == (0, "gpu-1: there has been no run yet\n")
