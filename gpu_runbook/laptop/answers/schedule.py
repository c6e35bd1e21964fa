"""What the commands of the scheduled check answer."""

from __future__ import annotations

from typing import Annotated

from gpu_runbook.laptop.answers.contract import Object, Row, ServerAnswer
from gpu_runbook.protocol.schedule import CheckTimer, InstalledCheck, PastEvent, Remembered


class InstallAnswer(ServerAnswer):
    """What was left on the server."""

    changed: list[str]  # what was written: `state`, `program`, `settings`, `crontab`, `timer`; empty for none
    crontab: str  # our block of the crontab
    running: bool | None  # whether a cron daemon runs; null where this login cannot see it
    moved: list[str]  # from where to where the state was moved, empty for most
    timer: Annotated[Object, CheckTimer] | None  # what starts it where there is no cron; `running` is told of it then


class RemoveAnswer(ServerAnswer):
    """What was taken away."""

    removed: list[str]  # what was taken away: `crontab` or `timer`, and files by name
    history: str  # where the history stays, empty without one


class ScheduleAnswer(ServerAnswer):
    """What is known of the check on a server. Nothing in it is a secret."""

    row: Row  # how the check does
    crontab: str  # our block of the crontab, empty without one
    problem: str  # why the crontab cannot be read, usually empty
    running: bool | None  # whether a cron daemon runs; null where this login cannot see it
    installed: Annotated[Object, InstalledCheck] | None  # what was left there
    there: bool  # whether its program is there
    state: Annotated[Object, Remembered] | None  # what its rounds remember
    told: list[Annotated[Object, PastEvent]]  # the newest actions and alerts, oldest first
    ours: bool  # whether its program is this laptop's
    timer: Annotated[Object, CheckTimer] | None  # what starts it where there is no cron; `running` is told of it then


class TrialAnswer(ServerAnswer):
    """Whether each channel takes an alert."""

    rows: list[Row]  # one for each channel
