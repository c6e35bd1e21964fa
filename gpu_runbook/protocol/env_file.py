"""A file of variables that a service reads: how it is to be, and how it is."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from gpu_runbook.protocol.forms import Annotated, EnvName, Mode, Owner, Path, ServiceName, text
from gpu_runbook.protocol.record import RunState
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Compared:
    """How the files were before anything was written, `run` being the last one; and the run that wrote, if one did."""

    files: Tuple[Difference, ...]
    run: Optional[RunState] = None
    written: str = ""


THERE, MISSING, UNREADABLE = "there", "missing", "unreadable"
FileState = Annotated[str, text("the state of a file", "there|missing|unreadable")]


@dataclass(frozen=True)
class EnvFile:
    """What a service's file is to hold. `unset` are names that belong into it and have no value on the laptop."""

    service: ServiceName
    path: Path
    variables: Dict[EnvName, str] = field(repr=False)
    owner: Owner = ""  # uid:gid, empty for the login user
    unset: Tuple[str, ...] = ()
    mode: Mode = 0o600
    user: Owner = ""  # who the container runs as, empty where hosts.yaml gives no numbers


@dataclass(frozen=True)
class Difference:
    """How a file is and how it should be, in names. `state` is there, missing or unreadable."""

    service: ServiceName  # the service that reads it
    path: Path  # where it is on the server
    state: FileState  # `there`, `missing` or `unreadable`
    same: Tuple[str, ...] = ()  # variables that are as `.env` has them
    differs: Tuple[str, ...] = ()  # variables with another value
    missing: Tuple[str, ...] = ()  # variables that are not in it
    unknown: Tuple[str, ...] = ()  # variables in the file that `hosts.yaml` does not name
    problems: Tuple[str, ...] = ()  # what is wrong with its lines, mode or owner, or why it is unreadable

    @property
    def fine(self) -> bool:
        return self.state == THERE and not (self.differs or self.missing or self.unknown or self.problems)


def sentences(found: Difference) -> List[str]:
    """What is not as it should be in a file that is there."""
    names = {"missing": found.missing, "different from .env": found.differs, "not in hosts.yaml": found.unknown}
    return [*(f"{what}: {', '.join(listed)}" for what, listed in names.items() if listed), *found.problems]
