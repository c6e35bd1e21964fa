"""A docker command that is not there for the login, or that the engine refuses: nothing is begun, and 12 says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gpu_runbook.laptop.errors import Refused
from sandbox import Sandbox, run_inside
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop
from tests.deploy.standing import watched
from tests.real import inspected

pytestmark = pytest.mark.real

BARE = "/usr/local/bare"
ABSENT = "no docker command can be run (docker: No such file or directory; PATH is"
IS_THERE = "/usr/bin/docker is there: add /usr/bin to the PATH of this login"
WORDS = (
    ("deploy", "--force"),
    ("deploy", "--tag", f"{QUEUE}=1.1"),
    ("rollback",),
    ("restart", QUEUE),
    ("stop", QUEUE),
)


@contextmanager
def login(sandbox: Sandbox, line: str) -> Iterator[None]:
    """The login's shell reads this line before every command over ssh."""
    home = f"/home/{LOGIN_USER}"
    run_inside(sandbox, ["sh", "-c", f"mv {home}/.bashrc {home}/.bashrc.kept; echo '{line}' > {home}/.bashrc"])
    try:
        yield
    finally:
        run_inside(sandbox, ["sh", "-c", f"rm {home}/.bashrc; mv {home}/.bashrc.kept {home}/.bashrc || true"])


def test_without_the_docker_command_every_command_is_refused_and_the_consumer_runs_on(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    watched(laptop, settle=0, window=1)
    run_inside(sandbox, ["sh", "-c", f"mkdir -p {BARE}; ln -sf $(which python3 df nvidia-smi) {BARE}/"])
    laptop.deployed("--tag", "1.0")
    laptop.deployed("--tag", "1.1")
    before = inspected(sandbox, QUEUE)
    with login(sandbox, f"PATH={BARE}"):
        for words in WORDS:
            said = laptop.fab(*words)
            assert (said.status, ABSENT in said.all, IS_THERE in said.all) == (Refused.exit_code, True, True), said.all
        for question in ("preflight", "health"):
            said = laptop.fab(question)
            assert (said.status, said.out.count("  critical  "), ABSENT in said.out) == (2, 1, True), said.all
        setup = laptop.fab("setup")
        assert f"docker command: {ABSENT}" in setup.all and "the registry runs" not in setup.all, setup.all
    with login(sandbox, "export DOCKER_API_VERSION=1.99"):
        said = laptop.fab("rollback")
        assert said.status == Refused.exit_code, said.all
        assert 'docker refuses to work: "client version 1.99 is too new' in said.err
        assert "this login sets DOCKER_API_VERSION" in said.err
    after = inspected(sandbox, QUEUE)
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
