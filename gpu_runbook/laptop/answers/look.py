"""What the commands answer that look at a server and change nothing: preflight, diff, status, health."""

from __future__ import annotations

from typing import Annotated, TypedDict

from gpu_runbook.laptop.answers.contract import Object, Row, ServerAnswer
from gpu_runbook.protocol.pause import IntendedStop, Pause
from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.protocol.snapshot import BatchState
from gpu_runbook.protocol.values import dataclass

SLIM = "what is empty is left out"


class PreflightAnswer(ServerAnswer):
    """The checklist before a deploy."""

    level: str  # the worst of its rows: `ok`, `warning`, `critical` or `unknown`; what was skipped is no trouble
    rows: list[Row]  # the checklist, in the order in which it is shown


@dataclass(frozen=True)
class Version:
    """An image as people and as docker know it."""

    tag: str  # the tag it was deployed by
    image: str  # repository@sha256:…


@dataclass(frozen=True)
class Effect:
    """What a deploy would do to one service."""

    service: str  # its name in `hosts.yaml`
    change: str  # `none`, `place`, `replace`, `tag`, `refused` or `unknown`
    reason: str  # why, in words; empty where nothing changes
    before: Version | None  # what the release in force has put there
    after: Version | None  # what a deploy would put there; null where that is not known
    moved: bool = False  # whether both have one tag, which names another image since it was deployed


@dataclass(frozen=True)
class Drift:
    """One thing that is not as the record has it."""

    service: str  # the service it is about
    kind: str  # gone, renamed, stopped, stray, restart-policy, config, local-tag, image-gone or unlisted
    sentence: str  # what is not as it was recorded
    hint: str = ""  # what to do about it, empty where there is nothing to say


class DiffAnswer(ServerAnswer):
    """What is not as `hosts.yaml` and `.env` want it, and what is not as the record has it."""

    at: str  # when it was looked at, by the server's clock
    release: str  # the release in force, empty for none
    changes: list[Annotated[Object, Effect]]  # what a deploy would do, service by service
    variables: list[str]  # a sentence for each variable that is not as in the release in force
    drift: list[Annotated[Object, Drift]]  # what is not as the record has it
    notes: list[str]  # what makes the comparison uncertain
    same: bool  # whether there is no difference at all


class ConsumerStatus(TypedDict):
    """A consumer as it is now."""

    containers: list[Annotated[Object, Occupant]]  # the containers that hold its place: one when all is well
    stopped: Annotated[Object, IntendedStop] | None  # who stopped it on purpose; null where it runs, or nobody did


class ImageOrigin(TypedDict):
    """Where a local image comes from."""

    tag: str  # the tag under which a release brought it
    image: str  # repository@sha256:…


class BatchStatus(TypedDict):
    """A batch service as it is now."""

    images: dict[str, ImageOrigin]  # by image id: where the images of `next_image` and `runs` come from


BatchObject = Annotated[Object, BatchState, BatchStatus]


class PlacedImage(ImageOrigin):
    """One service of a release."""

    container: str  # the id of the container that it put there; empty for a batch service


class ReleaseEntry(TypedDict):
    """A release that is kept."""

    id: str  # the id of the run that made it; before it `adopted-` for what was there before us
    at: str  # when it came into force, by the server's clock
    who: str  # who deployed it
    outcome: str  # `proven`, `unproven` or `adopted`
    left: str  # the id of the run that rolled back from it, empty while it is good
    services: dict[str, PlacedImage]  # by service: what it put there


class StatusAnswer(ServerAnswer):
    """What runs, and how it does."""

    at: str  # when it was looked at, by the server's clock
    release: str  # the release in force, empty for none
    services: dict[str, ConsumerStatus | BatchObject]  # by name: each service of `hosts.yaml`
    model: str  # the path of the model that was chosen, empty for none
    run: Annotated[Object, RunState] | None  # the last run, or one before it that was cut off
    pause: Annotated[Object, Pause] | None  # the pause in force
    releases: list[ReleaseEntry]  # the releases that are kept, newest first
    rows: list[Row]  # how the services and the ground below them do


class HealthOfServer(ServerAnswer):
    """How one server is."""

    at: str  # when it was asked, by the server's clock; by the laptop's where the server could not be reached
    level: str  # the worst of its checks: `ok`, `warning`, `critical` or `unknown`; what was skipped is no trouble
    checks: list[Row]  # one for each question, in the order asked


class HealthAnswer(TypedDict):
    """How all servers are."""

    level: str  # the worst of all servers, as the exit status says it: 0, 1, 2 or 3
    servers: list[HealthOfServer]  # one for each server


class RoundsAnswer(ServerAnswer):
    """What the scheduled check has seen."""

    at: str  # when it was asked, by the server's clock
    every: int  # seconds from one round to the next; 0 where none are made
    damaged: int  # lines of the history that cannot be read
    rounds: list[Annotated[Object, Round, SLIM]]  # the rounds, oldest first; what is empty in one is left out
