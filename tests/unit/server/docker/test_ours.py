"""Which containers are ours: by the ids of record and journals, narrowed by labels that no image has handed down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.protocol.forms import ReleaseId, has
from gpu_runbook.protocol.journal import Restarted, Staged, encoded
from gpu_runbook.protocol.plan import BatchMarks, Spec
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.docker.containers import occupants
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.docker.ours import MadeByUs, Named, Ours, is_made, journalled, judge, recorded
from gpu_runbook.server.state.store import Store
from tests.unit import docker_answers
from tests.unit.docker_answers import Answering, entry, inspected, listed
from tests.unit.journals import add, left

R0, R1, R2 = (f"2026010{day}-120000-ab12" for day in range(3))
ADOPTED = f"adopted-{R1}"
MINE, OTHER, FOREIGN = "a" * 64, "b" * 64, "f" * 64
HERE, SPEC = Named("queue", R1), "5bec5bec5bec"


def marked(release: Any = R1, service: str = "queue", spec: Any = SPEC) -> dict[str, Any]:
    return {"gpu-runbook.service": service, "gpu-runbook.release": release, "gpu-runbook.spec": spec}


@pytest.mark.parametrize(
    ("named", "labels", "image", "ours"),
    [
        ([HERE], marked(), None, Ours(R1, SPEC)),
        ([HERE], marked(), {"role": "queue"}, Ours(R1, SPEC)),
        ([HERE], marked(), marked(R0), Ours(R1, SPEC)),  # its image is a commit of an earlier consumer
        ([Named("queue", R2), HERE], marked(), None, Ours(R1, SPEC)),  # a later release has taken it along
        ([], marked(), None, None),  # a label alone gives no right
        ([HERE], marked(), marked(), None),  # handed down
        ([HERE], None, None, None),
        ([HERE], marked(service="other"), None, None),
        ([Named("other", R1)], marked(), None, None),
        ([HERE], {"gpu-runbook.service": "queue"}, None, None),
        ([HERE], marked("../../etc"), None, None),
        ([HERE], marked("7"), None, None),
        ([HERE], marked(spec="-rf"), None, Ours(R1)),
        ([Named("queue", ADOPTED, adopted=True)], None, None, Ours(ADOPTED, made=False)),
        ([Named("queue", ADOPTED, adopted=True)], marked(), marked(), Ours(ADOPTED, made=False)),
        ([Named("queue", R2), Named("queue", ADOPTED, adopted=True)], None, None, Ours(ADOPTED, made=False)),
        ([Named("other", ADOPTED, adopted=True)], None, None, None),
        ([Named("queue", "../x", adopted=True)], None, None, None),
    ],
)
def test_a_container_is_ours_by_its_id_and_by_labels_of_its_own(
    named: list[Named], labels: Any, image: Any, ours: Ours | None
) -> None:
    found = docker_answers.container(inspected(MINE, labels=labels))
    from_image = None if image is None else docker_answers.local(docker_answers.image(labels=image))
    assert judge("queue", named, found, from_image) == ours
    assert is_made(named, found, from_image) == (ours is not None and ours.made)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (R1, True),
        (f"{R1}-cd34-00ff", True),  # it began while the newest one lay ahead
        (ADOPTED, True),
        (f"adopted-{R1}-cd34", True),
        ("20260101-120000", False),
        (f"{R1}-", False),
        (f"{R1}\n", False),
        (f"../{R1}", False),
        (f"{R1}/..", False),
        ("adopted-adopted-20260101-120000-ab12", False),
        ("２0260101-120000-ab12", False),
        (R1 + 60 * "-ab12", False),  # longer than a file name may be
        ("", False),
        (None, False),
    ],
)
def test_what_becomes_a_part_of_a_path_has_the_form_of_an_id(text: Any, is_one: bool) -> None:
    assert has(ReleaseId, text) == is_one


def release(name: str, container: str, adopted: bool = False) -> Release:
    placed = Placed("consumer", "1", "i", container=container, spec=None if adopted else Spec("i"))
    return Release(name, "", "ann", "proven", {"queue": placed, "training": Placed("batch", "1", "i")})


def test_the_record_names_containers_with_the_release_in_force_first() -> None:
    record = Record(R1, (release(R2, OTHER), release(R1, MINE), release(R0, OTHER), release(ADOPTED, MINE, True)))
    assert recorded(record) == {
        MINE: [Named("queue", R1), Named("queue", ADOPTED, adopted=True)],
        OTHER: [Named("queue", R2), Named("queue", R0)],
    }


def test_a_journal_names_what_its_run_has_made_ready_and_nothing_else_that_it_tells_of(store: Store) -> None:
    left(store, R0, Staged("queue", MINE))
    left(store, R1, Staged("queue", OTHER))
    left(store, R2, Restarted("queue", MINE))
    add(store, R2, encoded(Staged("queue", OTHER)) | {"before": MINE})
    Path(store.journal("20990101-120000-ab12")).write_text(f'{{"event": "staged", "container": "{MINE}"')  # torn
    assert journalled(store, MINE) == [Named("queue", R0)]
    assert journalled(store, FOREIGN) == []


def seen(container: str, name: str, state: str = "running", **labels: Any) -> ListedContainer:
    return entry(listed(container, name, labels=labels or None, State=state))


class Seeing(Answering):
    """An engine whose containers all bear labels of ours, which no image has handed down."""

    def inspection(self, name_or_id: str) -> dict[str, Any]:
        return inspected(name_or_id, labels=marked())

    def made_from(self, name: str) -> dict[str, Any]:
        return docker_answers.image()


@pytest.mark.parametrize(
    ("one", "holds", "ours"),
    [
        (seen(MINE, "queue"), True, True),
        (seen(MINE, "queue", "exited"), True, True),
        (seen(MINE, "elsewhere"), True, True),  # named by the record, and at work
        (seen(MINE, "elsewhere", "paused"), True, True),
        (seen(MINE, f"queue.{R1}", "exited"), False, False),  # parked
        (seen(OTHER, f"queue.{R2}", **marked()), True, True),  # named by a journal alone
        (seen(OTHER, f"queue.{R2}", "created", **marked()), False, False),
        (seen(OTHER, f"queue.{R2}"), False, False),  # its labels are seen before journals are searched
        (seen(FOREIGN, "queue", **marked()), True, False),
        (seen(FOREIGN, "trains", **marked()), False, False),  # a label alone holds no place
    ],
)
def test_a_place_is_held_by_its_name_or_by_what_record_and_journals_name(
    store: Store, one: ListedContainer, holds: bool, ours: bool
) -> None:
    left(store, R2, Staged("queue", OTHER))
    found = occupants(Seeing("unix:///x"), MadeByUs(store, Record(R1, (release(R1, MINE),))), "queue", [one])
    assert [(held.container, held.ours, held.batch) for held in found] == ([(one.id, ours, "")] if holds else [])


def test_a_run_of_a_batch_service_in_a_place_is_told_as_what_it_is(store: Store) -> None:
    marks = (BatchMarks("training", "training", image="team/queue"),)
    (found,) = occupants(Seeing("unix:///x"), MadeByUs(store, Record()), "queue", [seen(MINE, "queue")], marks)
    assert found.batch == "a run of training, by its image team/queue"
