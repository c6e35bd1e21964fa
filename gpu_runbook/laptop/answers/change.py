"""What the smaller changes of a server answer: a pause, pruning, setting up, env files, models, the next training."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from gpu_runbook.laptop.answers.contract import Object, Row, ServerAnswer
from gpu_runbook.protocol.env_file import Difference
from gpu_runbook.protocol.models import Choice, InForce, ModelFile
from gpu_runbook.protocol.pause import Pause
from gpu_runbook.protocol.prune import DiskLeft
from gpu_runbook.protocol.setup import NotDone


class PauseAnswer(ServerAnswer):
    """A pause, or its end."""

    pause: Annotated[Object, Pause] | None  # the pause in force now
    before: Annotated[Object, Pause] | None  # the one that was in force before, which this replaced or ended


class PrunedThing(TypedDict):
    """One thing that nothing needs any more."""

    kind: str  # `folder`, `container`, `image`, `journal`, `file` or `release`
    id: str  # a release, a container, an image by digest, a run or a path
    name: str  # what people know it by
    bytes: int  # its size; layers that an image shares with others count too, and stay
    why: str  # why nothing needs it
    removed: bool  # whether it is gone now


class PruneAnswer(ServerAnswer):
    """What was removed."""

    outcome: Literal["done", "up-to-date", "dry-run"]  # what became of it; `up-to-date`: there was nothing to remove
    run: str  # the id of the run that removed it, empty where there was none
    things: list[PrunedThing]  # everything that nothing needs any more
    freed: int  # bytes that became free
    notes: list[str]  # a sentence for each thing that stays after all
    disk: (
        Annotated[Object, DiskLeft] | None
    )  # how full the disk of docker's images is then; null where none was removed


class SetupAnswer(ServerAnswer):
    """What a setup did."""

    outcome: Literal["done", "up-to-date", "dry-run"]  # what became of it
    done: list[str]  # what was done, or would be on a dry run, in words
    left: list[Annotated[Object, NotDone]]  # what this login could not do; on a dry run alone, else it is an error
    rows: list[Row]  # how the server is now


class SetupDetails(TypedDict, total=False):
    """What is known of a setup that needs a person: the error has it beside its own fields."""

    server: str  # its name in `hosts.yaml`
    done: list[str]  # what was done, in words
    left: list[Annotated[Object, NotDone]]  # what this login could not do
    rows: list[Row]  # how the server is now


class StateMoveAnswer(ServerAnswer):
    """Where the state is now: with `--move-state` and `--forget-state`."""

    folder: str  # where it lies now
    was: str  # where it lay before, or what was given up; empty for nothing
    left: list[str]  # names of what was not taken along, since it is none of ours
    run: str  # the id of the run that moved it, empty for none


class ComparedFile(TypedDict):
    """How an env file is, and how it should be: names, never values."""

    up_to_date: bool  # whether it is there, and exactly as it should be


class EnvAnswer(ServerAnswer):
    """How the env files are; names, never values."""

    files: list[Annotated[Object, Difference, ComparedFile]]  # one for each; of `env.push` as it was before


class EnvPushAnswer(EnvAnswer):
    """Which env files were written."""

    outcome: Literal["done", "up-to-date", "dry-run"]  # what became of it
    run: str  # the id of the run that wrote them, empty where nothing was written


class EnvImportAnswer(ServerAnswer):
    """How the file of variables here differed from the one on the server; names, never values."""

    outcome: Literal["done", "up-to-date", "dry-run"]  # what became of it
    source: str  # the file on the server
    file: str  # the file here
    added: list[str]  # variables that only the server's had
    changed: list[str]  # variables that had another value here
    removed: list[str]  # variables that only the file here had
    same: list[str]  # variables that had the same value in both
    kept: str  # where the file that was here before is now, empty where none was replaced


class ListedModel(TypedDict):
    """What is known of one model, and who uses it."""

    chosen: bool  # whether it is the one in force
    named_by: list[str]  # the services whose config names it


class ModelsAnswer(ServerAnswer):
    """The models of a server."""

    folder: str  # where they are, as `hosts.yaml` says
    models: list[Annotated[Object, ModelFile, ListedModel]]  # those in dated directories, oldest first
    not_dates: list[str]  # names of directories that are no dates
    chosen: str  # the path of the one in force, empty for none
    choices: list[Annotated[Object, Choice]]  # every model that was chosen once, the newest choice first
    damaged: str  # what is wrong with the choices, usually empty
    configs: dict[str, str | None]  # by service: the path that its config names; empty for none, null without a key
    in_force: Annotated[Object, InForce] | None  # the copy or link that is in force; null where configs name the model


class ModelUseAnswer(ServerAnswer):
    """A model that was chosen."""

    outcome: Literal["done", "up-to-date", "dry-run"]  # what became of it
    run: str  # the id of the run that chose it, empty where nothing was written
    model: Annotated[Object, ModelFile]  # the one that is in force now, or would be
    configs: dict[str, str]  # by path of a config: the path that it named before, empty for none


class LaunchAnswer(ServerAnswer):
    """The command that starts the next training run."""

    service: str  # the batch service
    command: list[str]  # the command, word by word
    resumes: bool  # whether it goes on from the last checkpoint
    notes: list[str]  # what to know before it is run
    line: str  # the command as a line for a shell
