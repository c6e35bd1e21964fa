"""A laptop of the tests' own: a folder with hosts.yaml, .env and templates, and the real `fab` run in it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox import Sandbox
from sandbox.passwords import read
from sandbox.place import CHECKOUT, STREAM, TRAINING_REPOSITORY
from sandbox.preloaded import Preloaded
from tests import real
from tests.answers import misfits
from tests.real import BY_BATCHES

FABRIC = [sys.executable, "-m", "fabric", "--search-root"]
FAB = [*FABRIC, str(CHECKOUT)]
QUEUE = "annotation-queue"
OTHERS = ("fabric.main", "paramiko", "yaml", "jinja2.sandbox", "dotenv")
OWN = tuple(
    f"gpu_runbook.laptop.{module}"
    for module in (
        "deploy.workflow",
        "deploy.restart",
        "commands.status",
        "commands.health",
        "commands.setup",
        "report.page",
    )
)


@dataclass(frozen=True)
class Said:
    """How a `fab` ended: exit status, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Laptop:
    """Somebody's laptop; `hosts` is the content of its hosts.yaml, `variables` that of its .env.

    `source`: where the tool is that it runs; this checkout, or an older version unpacked somewhere.
    """

    folder: Path
    sandbox: Sandbox
    hosts: dict[str, Any]
    variables: dict[str, str]
    source: Path = CHECKOUT

    @property
    def queue(self) -> dict[str, Any]:
        """The annotation queue's entry in hosts.yaml, to be changed before `save`."""
        entry: dict[str, Any] = self.hosts["services"][QUEUE]
        return entry

    @property
    def host(self) -> dict[str, Any]:
        """The server's entry in hosts.yaml."""
        entry: dict[str, Any] = self.hosts["hosts"]["gpu-1"]
        return entry

    def save(self) -> None:
        """Write hosts.yaml and .env as they are now."""
        (self.folder / "hosts.yaml").write_text(yaml.safe_dump(self.hosts, sort_keys=False))
        env = self.folder / ".env"
        env.write_text("".join(f"{name}='{value}'\n" for name, value in self.variables.items()))
        env.chmod(0o600)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a `fab` and do not wait for it."""
        return subprocess.Popen(
            [*FABRIC, str(self.source), *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    @property
    def environment(self) -> dict[str, str]:
        """Python keeps what it compiles, as it does for a user: some images of it forbid that."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "PYTHONPATH": str(self.source), "HOME": str(self.folder)}

    def fab(self, *words: str, seconds: float = 120) -> Said:
        """Run a `fab` to its end. Of what it imports, most was imported before; `start` is as a user's."""
        given = ["--search-root", str(self.source), *words]
        try:
            ended = _preloaded(self.source).run(given, self.folder, self.environment, seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise _late(seconds, f"{error.stdout!r}{error.stderr!r}") from None
        return _said(str(self.source), words, ended.returncode, ended.stdout, ended.stderr)

    def deployed(self, *words: str) -> Said:
        """A deploy that has to go well."""
        said = self.fab("deploy", "--service", QUEUE, *words)
        assert said.status == 0, said.all
        return said


@cache
def _preloaded(source: Path) -> Preloaded:
    """Another version has modules of its own."""
    return Preloaded("fabric", OTHERS + (OWN if source == CHECKOUT else ()), str(source))


def finished(process: subprocess.Popen[str], seconds: float = 120) -> Said:
    """Wait for a `fab` that was started; one that outlives its time is ended and fails the test."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        raise _late(seconds, f"{out}{err}") from None
    assert isinstance(process.args, list)
    source, *words = map(str, process.args[len(FABRIC) :])
    return _said(source, words, process.returncode, out, err)


def _late(seconds: float, said: str) -> AssertionError:
    return AssertionError(f"fab took longer than {seconds} s:\n{said}")


def _said(source: str, words: Sequence[str], status: int, out: str, err: str) -> Said:
    """What it said, once its answer was held against docs/json.md."""
    ended = status >= 0  # one that was killed may have got half its answer out
    if ended and "--json" in words and source == str(CHECKOUT):  # an older version has made no promise
        assert misfits(tuple(words), out, status) == [], out
    return Said(status, out, err)


def older_laptop(folder: Path, laptop: Laptop, source: Path) -> Laptop:
    """A laptop with an older version in front of the same server, which is as that version had it.

    The other one has the same services and directories from now on: who upgrades has not changed them.
    """
    older = new_laptop(folder, laptop.sandbox, source)
    for key in ("services", "tree"):
        laptop.hosts[key] = copy.deepcopy(older.hosts[key])
    shutil.copytree(older.folder / "templates", laptop.folder / "templates", dirs_exist_ok=True)
    laptop.variables["RABBITMQ_STREAM"] = STREAM
    laptop.save()
    real.as_it_was(laptop.sandbox)
    return older


def new_laptop(folder: Path, sandbox: Sandbox, source: Path = CHECKOUT) -> Laptop:
    """The project's own hosts.yaml, made impatient and pointed at the tests' sandbox; `source` as a Laptop has it.

    Its consumer saves by batches, and says on standard output what it has to say; the training is a container, which
    takes the GPU at once; a key of the config can name a model.
    """
    hosts = yaml.safe_load((source / "hosts.yaml").read_text())
    entry = hosts["hosts"].pop("gpu-sandbox")
    entry |= {"port": sandbox.ssh_port, "key": str(sandbox.key_file), "known_hosts": str(sandbox.known_hosts)}
    hosts["hosts"]["gpu-1"] = entry | ({"env": {"file": ".env"}} if "env" in entry else {"env_file": ".env"})
    hosts["registry"]["server"] = sandbox.registry
    queue = hosts["services"][QUEUE]
    queue |= {"stop_grace": 4, "watch": {**queue["watch"], "settle": 1, "window": 6}}
    for entry, key in (
        (queue, "log_files"),
        (queue["watch"], "failure_level"),
        (hosts["services"]["training"], "process"),
    ):
        entry.pop(key, None)
    queue |= {"environment": BY_BATCHES, "offset": {**queue["offset"], "saved_every": int(BY_BATCHES["SAVE_EVERY"])}}
    shutil.copytree(source / "templates", folder / "templates")
    training, variables = hosts["services"]["training"], dict(read(sandbox.env_file))
    if source == CHECKOUT:
        training["environment"] = {"AUGMENTATION": "0"}
        with (folder / "templates/config.yaml.j2").open("a") as template:
            template.write('model: {{ root ~ "/models/current/best.pt" }}\n')
    else:
        training["image"], variables["RABBITMQ_STREAM"] = TRAINING_REPOSITORY, STREAM
    laptop = Laptop(folder, sandbox, hosts, variables, source)
    laptop.save()
    return laptop
