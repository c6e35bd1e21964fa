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


@dataclass(frozen=True)
class LogLine:
    """A line of a log; `text` shows no secret."""

    service: str  # the service whose container said it
    container: str  # the container's id
    stream: str  # `stdout` or `stderr`
    at: str  # when it was said, as the engine has it, with nanoseconds
    text: str  # the line, without its end; secrets covered by •••


@dataclass(frozen=True)
class UnreadLog:
    """A log that cannot be read."""

    service: str  # whose it is
    why: str  # what docker says of it


class LogsAnswer(ServerAnswer):
    """The newest lines of some logs."""

    lines: list[Annotated[Object, LogLine]]  # service after service; of each the oldest first
    unread: list[Annotated[Object, UnreadLog]]  # those that cannot be read, or not to their end


class FollowedLine(TypedDict):
    """A line of a log as `--follow` prints it."""

    schema: int  # the number of the contract: each line may be read alone


FollowedObject = Annotated[Object, LogLine, FollowedLine]
