"""What deploy, rollback, restart and stop answer."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from gpu_runbook.laptop.answers.contract import Object, Row, ServerAnswer
from gpu_runbook.protocol.plan import Plan

PlanObject = Annotated[Object, Plan]


class DeployEnd(TypedDict, total=False):
    """How a deploy or a rollback ended."""

    release: str  # the release that is in force now; missing after a dry run
    verdict: str  # `proven`, `unproven`, or empty when nothing had to be watched; only when `done`
    sentence: str  # how it ended, in words; only when `done`
    after: list[Row]  # container, log, offset and disk as they were at its end; only when `done`


class DeployAnswer(ServerAnswer, DeployEnd):
    """A deploy or a rollback."""

    plan: PlanObject  # what the run does; where nothing is to be done, what it would be
    rows: list[Row]  # the preflight: what was seen before anything was changed
    outcome: Literal["done", "up-to-date", "dry-run"]  # what became of it


class OperateEnd(TypedDict, total=False):
    """How a restart or a stop ended."""

    run: str  # the id of the run; only when `done`
    verdict: str  # `proven`, `unproven`, or empty when nothing had to be watched; only when `done`
    sentence: str  # how it ended, in words; only when `done`
    notes: list[str]  # a sentence for each thing to know; only when `done`


class OperateAnswer(ServerAnswer, OperateEnd):
    """A restart or a stop."""

    plan: PlanObject  # what the run does; where nothing is to be done, what it would be
    outcome: Literal["done", "up-to-date"]  # `up-to-date`: it is stopped already
