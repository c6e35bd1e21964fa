"""What a run of a batch service is recognised by: one table, whoever asks, and however the container is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.rpc.requests import batch_marks
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.requests import RecoverRequest
from gpu_runbook.server.docker.batch_containers import is_listed_run, recognised
from tests.unit.docker_answers import IMAGE, ONE, Answering, container, entry, inspected, listed, local
from tests.unit.docker_answers import image as made_from

REPOSITORY = "registry.lan:5000/azaion/ai-training"
TRAINING = BatchMarks("training", "training", "job=train", REPOSITORY, f"{REPOSITORY}:current")
SWEEP = BatchMarks("sweep", "sweep")
OURS = {"gpu-runbook.service": "queue", "gpu-runbook.release": "20260101-120000-ab12"}
BY_NAME, BY_LABEL = "a run of training, by its name", "a run of training, by its label job=train"
BY_IMAGE = f"a run of training, by its image {REPOSITORY}"
QUEUE = "registry.lan:5000/azaion/queue:1.0"


PLAIN = made_from(QUEUE)
BARE = {"Id": IMAGE, "RepoTags": None, "RepoDigests": None, "Config": None}


@pytest.mark.parametrize(
    ("names", "labels", "reference", "image", "known"),
    [
        (["/training"], None, QUEUE, PLAIN, BY_NAME),
        (["training"], None, QUEUE, PLAIN, BY_NAME),
        (["/web/db", "/training"], None, QUEUE, PLAIN, BY_NAME),
        (["/training"], OURS, QUEUE, PLAIN, BY_NAME),  # dressed up as a consumer
        (["/web/training"], None, QUEUE, PLAIN, ""),  # what another container calls it is not its name
        (["/training-2"], None, QUEUE, PLAIN, ""),
        (["/Training"], None, QUEUE, PLAIN, ""),
        ([], None, QUEUE, PLAIN, ""),
        (["/queue"], {"job": "train"}, QUEUE, PLAIN, BY_LABEL),
        (["/queue"], {**OURS, "job": "train"}, QUEUE, PLAIN, BY_LABEL),
        (
            ["/queue"],
            {"job": "other"},
            QUEUE,
            made_from(labels={"job": "train"}),
            BY_LABEL,
        ),  # its own hides the image's
        (["/queue"], None, QUEUE, made_from(labels={"job": "train"}), BY_LABEL),
        (["/queue"], {"job": "trainer", "training": "", "": ""}, QUEUE, PLAIN, ""),
        (["/queue"], OURS, f"{REPOSITORY}:current", None, BY_IMAGE),
        (["/queue"], OURS, REPOSITORY, None, BY_IMAGE),
        (["/queue"], OURS, f"{REPOSITORY}@sha256:00", None, BY_IMAGE),
        (["/queue"], OURS, IMAGE, made_from(f"{REPOSITORY}:current"), BY_IMAGE),
        (["/queue"], OURS, "team/other:1", made_from("team/other:1", f"{REPOSITORY}:2.0"), BY_IMAGE),
        (["/queue"], OURS, IMAGE, made_from(digests=(f"{REPOSITORY}@sha256:00",)), BY_IMAGE),
        (["/queue"], OURS, IMAGE, None, ""),
        (["/queue"], OURS, "azaion/ai-training:current", made_from("azaion/ai-training:current"), ""),
        (["/queue"], OURS, f"{REPOSITORY}-2:current", made_from(f"{REPOSITORY}-2:current"), ""),
        (["/queue"], OURS, QUEUE, BARE, ""),
        (["/sweep"], None, QUEUE, PLAIN, "a run of sweep, by its name"),
        (["/sweep-2"], {"": ""}, "", PLAIN, ""),  # nobody is recognised by what hosts.yaml does not say
    ],
)
@pytest.mark.parametrize("state", ["created", "running", "paused", "restarting", "removing", "exited", "dead"])
def test_a_run_is_recognised_in_every_state_however_it_is_seen(
    names: list[str], labels: dict[str, str] | None, reference: str, image: Any, known: str, state: str
) -> None:
    from_image = local(image) if image else None
    found = entry(listed(labels=labels, Names=names, Image=reference, State=state))
    assert recognised((TRAINING, SWEEP), found, from_image) == known
    if len(names) == 1:
        seen = container({**inspected(labels=labels, image=reference, Status=state), "Name": names[0]})
        assert recognised((TRAINING, SWEEP), seen, from_image) == known


class Known(Answering):
    """An engine of which the list no longer says by which name a container was started."""

    def inspection(self, name_or_id: str) -> dict[str, Any]:
        return inspected(name_or_id, "x", image=f"{REPOSITORY}:current")

    def made_from(self, name: str) -> dict[str, Any]:
        return made_from(digests=(f"{REPOSITORY}@sha256:00",) if name == "sha256:pulled" else ())


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"Names": ["/training"]}, True),
        ({"Image": "sha256:old", "ImageID": "sha256:old"}, True),  # the name has moved on, and the container knows it
        ({"Image": "other", "ImageID": "sha256:pulled"}, True),
        ({"Image": "other", "ImageID": "sha256:old"}, False),
        ({}, False),
    ],
)
def test_of_a_listed_container_what_the_list_does_not_say_is_asked(change: dict[str, Any], known: bool) -> None:
    found = entry(listed(ONE, "x", **change))
    assert is_listed_run(Known("unix:///x"), [TRAINING], found) == known


HOSTS = """
hosts: {gpu-1: {address: gpu-1.lan, root: /azaion}}
registry: {server: "registry.lan:5000"}
services:
  queue: {kind: consumer, image: azaion/queue}
  training: {kind: batch, image: azaion/ai-training, container: training, label: job=train}
  sweep: {kind: batch, image: azaion/queue, container: sweep}
"""


def test_hosts_yaml_says_what_runs_are_recognised_by_and_a_shared_image_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    marks = batch_marks(load_inventory(tmp_path / "hosts.yaml"))
    assert marks == (TRAINING, BatchMarks("sweep", "sweep", local_tag="registry.lan:5000/azaion/queue:current"))
    asked = {"root": "/azaion", "state": "", "docker_host": "", "who": "ann"}
    assert (
        decode(RecoverRequest, {**asked, "batches": [encode(one) for one in marks]}, "recoverrequest").batches == marks
    )
    with pytest.raises(Malformed, match=r"batches\[0\]\.container: missing"):
        decode(RecoverRequest, {**asked, "batches": [{"service": "training"}]}, "recoverrequest")
