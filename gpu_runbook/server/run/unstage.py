"""Removes what a run has staged and not used: the same lines for the run itself, and for whoever takes it up."""

from __future__ import annotations

import shutil

from gpu_runbook.protocol.journal import Staged, Staging, Swapping, told
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
    begun = {one.swap.service for one in told(lines, Swapping)}
    created = {one.service: one.container for one in told(lines, Staged)}
    unused = [one for one in told(lines, Staging) if one.service not in begun]
    for one in unused:
        for path in filter(None, (one.config, one.offset)):
            guarded.remove(path)
            guarded.remove(guarded.aside(path))
    if not begun:
        shutil.rmtree(store.release(run), ignore_errors=True)
    for one in unused:
        _remove(docker, run, one.service, created.get(one.service, one.name))


def _remove(docker: Docker, run: str, service: str, container: str) -> None:
    """Only a container this very run created, and only while it is still."""
    found = docker.inspect(container)
    if found and is_of(docker, service, run, found):
        docker.ensure_gone(found.id)


def is_of(docker: Docker, service: str, release: str, found: Container) -> bool:
    """Whether a container was made for a release: one whose id, or before that its name, this run has written down."""
    ours = judge(service, [Named(service, release)], found, docker.image(found.image_id))
    return ours is not None and ours.release == release
