"""The `docker` commands that change something, none of them a batch run, and the states they are to lead to.

Each `ensure_…` leads one container to a state, whatever state it is in: a command that fails is held against what the
engine says afterwards, and an engine that goes away in the middle, or answers and cannot act, is waited for. So every
one may be repeated.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Optional, Sequence, Set, TypeVar

from gpu_runbook.common.command import Ended, run
from gpu_runbook.common.container import create_command
from gpu_runbook.protocol.deadlines import PATIENCE, QUICK
from gpu_runbook.protocol.journal import Command
from gpu_runbook.protocol.plan import BatchMarks, Spec
from gpu_runbook.protocol.values import dataclass, field
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.containers import lives
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import Container, LocalImage
from gpu_runbook.server.state.journal import Journal

PAUSE, LONGEST_PAUSE = 0.25, 4.0  # seconds between two tries of a command, doubled from one to the next
HARMLESS = ("create", "tag", "rmi")  # commands that touch no container which is there

T = TypeVar("T")


class StepFailed(Exception):
    """A container could not be led to its state; the text says which and why."""


class Final(StepFailed):
    """It was seen how the container is, and that trying again at once would change nothing."""


class LeftAlone(Final):
    """A container is a run of a batch service, and nothing was done to it."""


class AtFault(Final):
    """The engine can act, and cannot do this to this container."""


class StillRuns(Final):
    """A container was told to stop, then killed, and has not ended: it may do so at any moment."""


@dataclass(frozen=True)
class Docker:
    """Changes containers of one engine on behalf of one run; `lock` is inherited by every child.

    `batches`: the services of whose runs none is ever changed. `unobeyed`: ids of containers that were told to stop and
    have not been seen to: they may end at any moment, and the engine then leaves them so.
    """

    engine: Engine
    journal: Journal
    lock: int
    batches: Sequence[BatchMarks]
    unobeyed: Set[str] = field(default_factory=set, compare=False)
    _spared: Set[str] = field(default_factory=set, init=False, compare=False)  # ids that may be changed

    def change(self, argv: List[str], deadline: float, sync: bool = True) -> Ended:
        """Run one `docker` command and note it, as it was run, in the journal.

        Raises LeftAlone where it is for a run of a batch service, and StepFailed where that cannot be asked: nothing
        was run.
        """
        if argv[1] not in HARMLESS:
            self.refuse_run(argv[2] if argv[1] == "rename" else argv[-1])
        ended = run(argv, deadline, keep=(self.lock,), env=self.engine.environment)
        said = None if ended.ok else ended.complaint
        self.journal.write(Command(tuple(argv), ended.status, round(ended.seconds, 3), said), sync)
        return ended

    def refuse_run(self, container: str) -> None:
        """Raise LeftAlone for the id of a container that is a run of a batch service, in whatever state.

        Each id is asked about once: labels and image stay, and so nothing is asked between a stop and a start. Raises
        StepFailed when the engine cannot be asked, and for a name: it may be another container's a moment later.
        """
        found = None if container in self._spared else self.inspect(container)
        if found is None:  # or there is none that could be changed
            return
        known = recognised(self.batches, found, self.image(found.image_id))
        if known:
            raise LeftAlone(f"the container {found.name} ({found.id[:12]}) is {known}: it is left alone")
        if found.id != container:
            raise StepFailed(f"{container} is the id of no container")
        self._spared.add(container)

    def inspect(self, container: str) -> Optional[Container]:
        """What the engine says of a container, None when there is none; waits for an engine that went away.

        Raises StepFailed when it does not come back.
        """
        return self._asked(lambda: self.engine.container(container))

    def present(self, container: str) -> Container:
        """The same of one that has to be there. Raises Final."""
        found = self.inspect(container)
        if found is None:
            raise Final(f"the container {container[:12]} was removed meanwhile")
        return found

    def image(self, image: str) -> Optional[LocalImage]:
        """The same of an image."""
        return self._asked(lambda: self.engine.image(image))

    def _asked(self, ask: Callable[[], T]) -> T:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except EngineError as error:
                if time.monotonic() > until:
                    raise StepFailed(error.message) from error
                time.sleep(0.5)

    def create(self, spec: Spec, name: str, image: str, extra: Dict[str, str]) -> Container:
        """Create a container that does not run yet. One of that name left by an earlier try is used."""
        command = create_command(spec, name, image, extra)
        self._lead(name, command, lambda found: found is not None, QUICK, failed=f"{name} could not be created")
        found = self.inspect(name)
        if found is None:
            raise StepFailed(f"{name} was created, and is gone")
        return found

    def ensure_restart(self, container: str, policy: str, sync: bool = True) -> None:
        command = ["docker", "update", "--restart", policy, container]
        self._lead(container, command, lambda found: found is not None and found.restart == policy, QUICK, sync)

    def ensure_name(self, container: str, name: str) -> None:
        def named(found: Optional[Container]) -> bool:
            return found is not None and found.name == name

        if not named(self.inspect(container)):
            self._lead(container, ["docker", "rename", container, name], named, QUICK)

    def ensure_stopped(self, container: str, grace: int, sync: bool = True) -> None:
        """Stop a container with its grace period, and be sure that it is. One that is gone counts as stopped.

        Raises StillRuns when it has not ended after all patience.
        """
        command, until = ["docker", "stop", "-t", str(grace), container], time.monotonic() + PATIENCE
        self.unobeyed.add(container)
        try:
            self._lead(container, command, lambda found: not lives(found), grace + QUICK, sync)
        except AtFault as error:
            while lives(self.inspect(container)):
                if time.monotonic() > until:
                    raise StillRuns(f"{error}; it still runs, and may end at any moment") from error
                time.sleep(PAUSE)
        self.unobeyed.discard(container)

    def ensure_started(self, container: str, sync: bool = True) -> None:
        """Start a container. What becomes of it then is for the watch to judge."""
        self._lead(container, ["docker", "start", container], lives, QUICK, sync)

    def ensure_gone(self, container: str) -> None:
        """Remove a container that does not run; the engine refuses to remove a running one."""
        self._lead(container, ["docker", "rm", container], lambda found: found is None, QUICK)

    def _lead(
        self,
        container: str,
        command: List[str],
        there: Callable[[Optional[Container]], bool],
        deadline: float,
        sync: bool = True,
        failed: str = "",
    ) -> None:
        """Run a command until the container is where it is to be.

        What fails twice though the engine can act is the container's own fault: AtFault is raised at once, since a
        consumer may be down. Whatever else fails is tried again until all patience is spent.
        """
        until, pause, faults = time.monotonic() + PATIENCE, PAUSE, 0
        while True:
            ended = self.change(command, deadline, sync)
            if ended.ok or there(self.inspect(container)):
                return
            said = f"{failed or f'docker {command[1]} failed'}: {ended.complaint}"
            faults = faults + 1 if ended.status is not None and self.engine.acts() else 0
            if faults > 1:
                raise AtFault(said)
            if not faults and time.monotonic() > until:
                raise StepFailed(said)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
