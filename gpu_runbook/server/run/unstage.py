"""Removes what a run has staged and not used: the same lines for the run itself, and for whoever takes it up."""

from __future__ import annotations

import shutil

from gpu_runbook.server.docker.commands import Docker
from gpu_runbook.server.docker.inspected import Container
from gpu_runbook.server.docker.ours import Named, judge
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.store import Store


def unstage_all(store: Store, docker: Docker, run: str) -> None:
    """Remove what a run staged for services whose swap it never began, and its folder when it began none.

    Files first, which hold passwords: they go also while no engine says what became of a container.
    """
    lines = journals.read(store.journal(run))
    begun = {line["swap"]["service"] for line in lines if line["event"] == "swap"}
    created = {line["service"]: line["container"] for line in lines if line["event"] == "staged"}
    unused = [line for line in lines if line["event"] == "staging" and line["service"] not in begun]
    for line in unused:
        for path in filter(None, (line["config"], str(line.get("offset", "")))):
            guarded.remove(path)
            guarded.remove(guarded.aside(path))
    if not begun:
        shutil.rmtree(store.release(run), ignore_errors=True)
    for line in unused:
        _remove(docker, run, line["service"], created.get(line["service"], "") or line["name"])


def _remove(docker: Docker, run: str, service: str, container: str) -> None:
    """Only a container this very run created, and only while it is still."""
    found = docker.inspect(container)
    if found and is_of(docker, service, run, found):
        docker.ensure_gone(found.id)


def is_of(docker: Docker, service: str, release: str, found: Container) -> bool:
    """Whether a container was made for a release: one whose id, or before that its name, this run has written down."""
    ours = judge(service, [Named(service, release)], found, docker.image(found.image_id))
    return ours is not None and ours.release == release
