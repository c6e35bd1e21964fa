"""A server that is looked after: the check is left there by `fab`, and its rounds are fired when a test wants one."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from sandbox import Sandbox, run_inside, stop
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests import real
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.real import docker, fire, inspected
from tests.schedule.receivers import HttpReceiver

FOLDER = f"{real.STATE}/health"
STATE, HISTORY, SETTINGS, PROGRAM = (
    f"{FOLDER}/{name}" for name in ("state.json", "history.jsonl", "settings.json", "check.pyz")
)
EVERY = 300  # seconds between two rounds, as hosts.yaml has it
OK, WARNING, CRITICAL, UNKNOWN = range(4)  # exit statuses of a round


@dataclass(frozen=True)
class Told:
    """An alert as the webhook got it."""

    title: str
    level: str
    text: str


@dataclass
class Watchman:
    """The check on one server, and the receiver of its alerts. Cron itself is stopped: a test fires the rounds."""

    laptop: Laptop
    hook: HttpReceiver

    @property
    def sandbox(self) -> Sandbox:
        return self.laptop.sandbox

    def install(self, **schedule: Any) -> Said:
        """Leave the check there; `schedule` are keys of that entry."""
        alerts = {"ops": {"kind": "webhook", "url_variable": "HOOK_URL"}}
        self.laptop.hosts["schedule"] = {"alerts": alerts, **schedule}
        self.laptop.variables["HOOK_URL"] = self.hook.url("/hook/verysecretpart1234")
        self.laptop.save()
        said = self.laptop.fab("schedule.install")
        assert said.status == 0, said.all
        return said

    def kill_consumer(self) -> None:
        """Let it be dead as after an engine that died: it does not run, has an exit status, nobody stopped it."""
        docker(self.sandbox, "update", "--restart=no", QUEUE)
        docker(self.sandbox, "kill", "--signal=KILL", QUEUE)
        wait_until(lambda: not self.consumer["Running"], 10, "consumer (its end)")
        assert self.consumer["ExitCode"] == 137

    def round(self, later: float = EVERY) -> int:
        """Fire one round as cron does, so many seconds after the last one by what that has written down."""
        self.pass_time(later)
        (ended,) = fire(self.sandbox)
        assert (ended.stdout, ended.stderr) == ("", ""), "cron would send a mail"
        return ended.returncode

    def pass_time(self, seconds: float) -> None:
        """Let the last round have been so long ago."""
        state = self.state
        if state.get("at"):
            state["at"] = self.stamp(-seconds)
            self.write(STATE, json.dumps(state))

    def stamp(self, seconds: float = 0.0) -> str:
        """A moment from now, as the check writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

    @property
    def state(self) -> dict[str, Any]:
        text = self.read(STATE)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read(HISTORY).splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.history[-1]

    @property
    def told(self) -> list[Told]:
        """The alerts that have come, oldest first."""
        bodies = [json.loads(request.body) for request in self.hook.requests if request.method == "POST"]
        return [Told(body["title"], body["level"], body["text"]) for body in bodies]

    @property
    def consumer(self) -> dict[str, Any]:
        """The state of the consumer's container."""
        found: dict[str, Any] = inspected(self.sandbox, QUEUE)["State"]
        return found

    def read(self, path: str) -> str:
        return run_inside(self.sandbox, ["cat", path], check=False).stdout

    def write(self, path: str, text: str) -> None:
        run_inside(self.sandbox, ["tee", path], user=LOGIN_USER, input=text)

    def crontab(self) -> str:
        return run_inside(self.sandbox, ["crontab", "-l"], user=LOGIN_USER, check=False).stdout

    def save_crontab(self, text: str) -> None:
        run_inside(self.sandbox, ["crontab", "-"], user=LOGIN_USER, input=text)

    def stop_cron(self) -> None:
        stop(self.sandbox, "cron")
