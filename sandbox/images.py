"""The images of the sandbox, built here without any hub: this very Python, busybox, the consumer's packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from gpu_runbook.laptop.errors import Defect
from sandbox.machine import run_inside
from sandbox.place import CONSUMER_REPOSITORY, TRAINING_REPOSITORY, Sandbox
from sandbox.registry import tags
from sandbox.rootfs import pack
from sandbox.say import Say
from sandbox.services import REGISTRY_USER

REQUIREMENTS = Path(__file__).with_name("requirements-image.lock")
BASE = "sandbox-base:latest"
LOGIN_DIRECTORY = "/run/docker-login"

CONSUMERS = {
    "1.0": "good",
    "1.1": "good",
    "2.0": "good",
    "bad-exits": "exits",
    "bad-crashes": "crashes",
    "bad-idle": "idle",
    "bad-stubborn": "stubborn",
    "bad-drops": "drops",
    "bad-labels": "mislabels",
    "bad-idle-stubborn": "idle,stubborn",
}
TRAININGS = ("1.0", "2.0")
ALL_TAGS = {CONSUMER_REPOSITORY: set(CONSUMERS), TRAINING_REPOSITORY: set(TRAININGS)}


def provide(sandbox: Sandbox, password: str, say: Say) -> None:
    """Build and push every image, unless the registry holds them all."""
    if tags(sandbox, password) == ALL_TAGS:
        return
    say("building the images: Python, busybox and the consumer's packages")
    install_libraries(sandbox)
    build(sandbox)
    say("pushing the images to the registry")
    push(sandbox, password)


def install_libraries(sandbox: Sandbox) -> None:
    """Install the consumer's packages; wheels fit the image, since its Python is this one."""
    if sandbox.libraries.exists():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--root-user-action=ignore", "--require-hashes", f"--requirement={REQUIREMENTS}"]
    command += [f"--target={sandbox.libraries}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(sandbox.libraries, ignore_errors=True)
        raise Defect(f"pip could not install the consumer's packages: {' '.join(done.stderr.split())[-300:]}")


def build(sandbox: Sandbox) -> None:
    """Bring every image into the server's engine, tagged for the registry.

    One container is made from the base and committed once per tag with other settings: versions differ in their
    digest as real ones do, share all their bytes, and no builder is needed, whatever the engine's version.
    """
    _import_base(sandbox)
    container = _docker(sandbox, "create", BASE, "none").strip()
    for tag, behaviour in CONSUMERS.items():
        changes = ["USER 2000:2000", f"ENV BEHAVIOUR={behaviour}", 'CMD ["python3", "-u", "/app/consumer.py"]']
        _commit(sandbox, container, CONSUMER_REPOSITORY, tag, changes)
    for tag in TRAININGS:
        changes = ["USER 2000:2000", 'CMD ["python3", "-u", "/app/training.py"]']
        _commit(sandbox, container, TRAINING_REPOSITORY, tag, changes)
    _docker(sandbox, "rm", container)


def push(sandbox: Sandbox, password: str) -> None:
    """Push every tag, and clear the engine: a deploy has to fetch what it starts."""
    login = ("--config", LOGIN_DIRECTORY)
    _docker(sandbox, *login, "login", sandbox.registry, "-u", REGISTRY_USER, "--password-stdin", input=password)
    for repository in (CONSUMER_REPOSITORY, TRAINING_REPOSITORY):
        _docker(sandbox, *login, "push", "--quiet", "--all-tags", f"{sandbox.registry}/{repository}")
    run_inside(sandbox, ["rm", "-r", LOGIN_DIRECTORY])
    names = [f"{sandbox.registry}/{name}:{tag}" for name, held in ALL_TAGS.items() for tag in sorted(held)]
    _docker(sandbox, "rmi", "--force", *names, BASE)


def revision(tag: str) -> str:
    """The commit that a tag claims to be built from: made up, but the same with every build."""
    return hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest()


def _commit(sandbox: Sandbox, container: str, repository: str, tag: str, changes: Iterable[str]) -> None:
    labels = f"LABEL org.opencontainers.image.version={tag} org.opencontainers.image.revision={revision(tag)}"
    options = [word for change in (*changes, labels) for word in ("--change", change)]
    _docker(sandbox, "commit", *options, container, f"{sandbox.registry}/{repository}:{tag}")


def _docker(sandbox: Sandbox, *words: str, input: str = "") -> str:
    return run_inside(sandbox, ["docker", *words], input=input).stdout


def _import_base(sandbox: Sandbox) -> None:
    archive = sandbox.server.root / "var/cache/base.tar"
    pack(archive, sandbox.libraries)
    _docker(sandbox, "import", "-c", "ENV PYTHONPATH=/app/libraries", f"/var/cache/{archive.name}", BASE)
    archive.unlink()
