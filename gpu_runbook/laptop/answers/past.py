"""What history, show and logs answer."""

from __future__ import annotations

from typing import Annotated, TypedDict

from gpu_runbook.laptop.answers.contract import Object, ServerAnswer
from gpu_runbook.protocol.history import PastRun
from gpu_runbook.protocol.values import dataclass


class HistoryAnswer(ServerAnswer):
    """What was done on a server."""

    runs: list[Annotated[Object, PastRun]]  # newest first; of `fab show` the one that is shown


class ShowAnswer(HistoryAnswer):
    """One run, step by step."""

    journal: list[Object]  # the lines of its journal as it holds them; their events are no part of this contract


DOCKER = "docker"  # the source of a line of docker's log


@dataclass(frozen=True)
class LogLine:
    """A line of a log; `text` shows no secret."""

    service: str  # the service that said it
    container: str  # the id of the container that said it; empty for a line of a file
    stream: str  # `stdout` or `stderr`; `file` for a line of a file
    at: str  # when: as the engine has it, with nanoseconds; as a line of a file says it, or as its file was written to
    text: str  # the line, without its end; secrets covered by •••
    source: str  # `docker`, or the path of the file on the server


@dataclass(frozen=True)
class UnreadLog:
    """A log that cannot be read."""

    service: str  # whose it is
    why: str  # what docker says of it, or which file cannot be read


class LogsAnswer(ServerAnswer):
    """The newest lines of some logs."""

    lines: list[
        Annotated[Object, LogLine]
    ]  # service after service, docker's log before files; of either the oldest first
    unread: list[Annotated[Object, UnreadLog]]  # those that cannot be read, or not to their end


class FollowedLine(TypedDict):
    """A line of a log as `--follow` prints it."""

    schema: int  # the number of the contract: each line may be read alone


FollowedObject = Annotated[Object, LogLine, FollowedLine]
