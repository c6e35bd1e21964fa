"""The number of the contract, what every answer has, and how a failure is told."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.journal import HandledOffsets

SCHEMA = 1  # raised when a field of an answer is taken away, or gets another type or meaning

# A frozen value as `codec.encode` makes it. An annotation names its class, and what is added beside its fields.
Object = dict[str, Any]
Row = Annotated[Object, Check]


class ServerAnswer(TypedDict):
    """What one server answers, in every command."""

    server: str  # its name in `hosts.yaml`


class Failure(TypedDict):
    """Why a command, or what it did to one server, failed."""

    outcome: str  # the kind of error, such as `cannot-connect` or `rolled-back`; one for each exit status from 10 up
    exit_status: int  # the exit status that stands for it
    sentence: str  # what is wrong; one line, or one for each of several mistakes
    hint: str  # what to do about it, empty where there is nothing to say


class RunDetails(TypedDict, total=False):
    """What is known of a run that failed."""

    log: list[str]  # the last lines of the log of what failed
    handled: list[HandledOffsets]  # which messages it had its hands on, one entry for each consumer
    release: str  # the release that was left in force, with `--no-rollback` or by a rollback that failed
    notes: list[str]  # a sentence for each thing to know
    reasons: dict[str, str]  # by service: what its watch said, of a release in force whose local tags did not move


class FailedRun(Failure, RunDetails):
    """An error, with what is known of the run that failed."""
