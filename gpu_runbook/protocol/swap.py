"""What a run exchanges: the containers, the config and the offset file, as its journal has it for whoever undoes it.

It is acted on, and so read to the letter: nothing in it may be unknown.
"""

from __future__ import annotations

from typing import Optional

from gpu_runbook.protocol.forms import ContainerId, ContainerName, Count, Grace, Mode, Path, Restart, ServiceName
from gpu_runbook.protocol.values import dataclass

NEVER_RESTART = "no"


@dataclass(frozen=True)
class ConfigSwap:
    """A config file staged beside its place, and what was in that place before: a kept copy, or nothing.

    What was there stands aside as well, where it can: `guarded.aside(staged)`.
    """

    path: Path
    staged: Path
    before: Path = ""  # the kept copy, empty when there was no config
    mode: Mode = 0o600
    uid: Count = 0
    gid: Count = 0


@dataclass(frozen=True)
class Swap:
    """What is exchanged. Names: the service's own, and the one each container has while it is not in force."""

    service: ServiceName
    name: ContainerName
    new: ContainerId
    new_parked: ContainerName
    new_restart: Restart
    old: ContainerId = ""
    old_name: ContainerName = ""
    old_parked: ContainerName = ""
    old_restart: Restart = NEVER_RESTART
    grace: Grace = 30  # seconds
    old_ran: bool = False
    config: Optional[ConfigSwap] = None
    offset: Path = ""  # the consumer's offset file, empty when it has none
    offset_kept: Path = ""  # where its copy at the swap goes
    offset_left: Path = ""  # where its copy goes when the new container has been stopped again
    replay: Path = ""  # an offset file staged beside its place, from which the new one is to begin
