"""The `docker` commands that change something, and the states they are to lead to.

Each `ensure_…` leads one container to a state, whatever state it is in: a command that fails is held against what the
engine says afterwards, and an engine that goes away in the middle is waited for. So every one may be repeated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from remote.command import Ended, run
from remote.engine import Engine, EngineError
from remote.journal import Journal
from remote.occupants import lives, policy_of
from remote.plans import Spec
from remote.words import LABEL

PATIENCE = 90.0  # seconds an engine that went away is waited for
KILLED = 137  # the exit status of a container whose grace period ran out
QUICK = 60.0  # deadline of commands that only change the engine's own notes


class StepFailed(Exception):
    """A container could not be led to its state; the text says which and why."""


def create_command(spec: Spec, name: str, image: str, labels: Dict[str, str]) -> List[str]:
    """The `docker create` for a spec. The restart policy is set once the container is in its place, never before."""
    command = ["docker", "create", "--name", name, "--restart", "no", "--pull", "never"]
    for key, value in sorted({**spec.labels, **labels}.items()):
        command += ["--label", f"{key}={value}"]
    for key, value in sorted(spec.environment.items()):
        command += ["--env", f"{key}={value}"]
    for mount in spec.mounts:
        command += ["--volume", mount]
    options = {
        "--user": spec.user,
        "--network": spec.network,
        "--gpus": f'"{spec.gpus}"' if "," in spec.gpus else spec.gpus,  # docker reads it as a line of CSV
        "--memory": spec.memory,
        "--stop-signal": spec.stop_signal,
        "--stop-timeout": str(spec.stop_grace),
    }
    for option, given in options.items():
        if given:
            command += [option, given]
    command += [
        "--log-driver",
        "json-file",
        "--log-opt",
        f"max-size={spec.log_size}",
        "--log-opt",
        f"max-file={spec.log_files}",
    ]
    return [*command, image, *spec.command]


def labels(service: str, release: str, spec: str, config: str, state: str) -> Dict[str, str]:
    """What our containers say of themselves. `state`: the folder that knows them; it gives no right, see checks.state.

    Without one while that folder is still in the root: it is to move.
    """
    where = {f"{LABEL}.state": state} if state else {}
    return {
        f"{LABEL}.service": service,
        f"{LABEL}.release": release,
        f"{LABEL}.spec": spec,
        f"{LABEL}.config": config,
        **where,
    }


@dataclass(frozen=True)
class Docker:
    """Changes containers of one engine on behalf of one run; `lock` is inherited by every child."""

    engine: Engine
    journal: Journal
    lock: int

    def change(self, argv: List[str], deadline: float, sync: bool = True) -> Ended:
        """Run one `docker` command and note it, as it was run, in the journal."""
        ended = run(argv, deadline, keep=(self.lock,), env=self.engine.environment)
        note = {} if ended.ok else {"said": ended.complaint}
        self.journal.write("command", sync, argv=argv, status=ended.status, seconds=round(ended.seconds, 3), **note)
        return ended

    def inspect(self, container: str) -> Optional[Dict[str, Any]]:
        """What the engine says of a container, None when there is none; waits for an engine that went away.

        Raises StepFailed when it does not come back.
        """
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.engine.container(container)
            except EngineError as error:
                if time.monotonic() > until:
                    raise StepFailed(error.message) from error
                time.sleep(0.5)

    def create(self, spec: Spec, name: str, image: str, extra: Dict[str, str]) -> str:
        """Create a container that does not run yet; give its id. One of that name left by an earlier try is used."""
        ended = self.change(create_command(spec, name, image, extra), QUICK)
        found = self.inspect(name)
        if found is None:
            raise StepFailed(f"{name} could not be created: {ended.complaint}")
        return str(found["Id"])

    def ensure_restart(self, container: str, policy: str, sync: bool = True) -> None:
        command = ["docker", "update", "--restart", policy, container]
        self._lead(container, command, lambda found: found is not None and policy_of(found) == policy, QUICK, sync)

    def ensure_name(self, container: str, name: str) -> None:
        def named(found: Optional[Dict[str, Any]]) -> bool:
            return found is not None and found["Name"].lstrip("/") == name

        if not named(self.inspect(container)):
            self._lead(container, ["docker", "rename", container, name], named, QUICK)

    def ensure_stopped(self, container: str, grace: int, sync: bool = True) -> None:
        """Stop a container with its grace period, and be sure that it is. One that is gone counts as stopped."""
        command = ["docker", "stop", "-t", str(grace), container]
        self._lead(container, command, lambda found: not lives(found), grace + QUICK, sync)

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
        there: Callable[[Optional[Dict[str, Any]]], bool],
        deadline: float,
        sync: bool = True,
    ) -> None:
        """Run a command until the container is where it is to be: twice at most, since the engine may go away."""
        for last in (False, True):
            ended = self.change(command, deadline, sync)
            if ended.ok or there(self.inspect(container)):
                return
            if last:
                raise StepFailed(f"docker {command[1]} failed: {ended.complaint}")
