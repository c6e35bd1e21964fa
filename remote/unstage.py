"""Removes what a run has staged and not used: the same lines for the run itself, and for whoever takes it up."""

from __future__ import annotations

import shutil
from typing import Any, Dict, Optional, Sequence

from remote import guarded
from remote import journal as journals
from remote.docker import Docker
from remote.ours import Named, judge
from remote.store import Store

ADOPTED = "adopted-"  # before the run's id: the release that a container gets which was there before us


def unstage_all(store: Store, docker: Docker, run: str) -> None:
    """Remove what a run staged for services whose swap it never began, and its folder when it began none."""
    lines = journals.read(store.journal(run))
    begun = {line["swap"]["service"] for line in lines if line["event"] == "swap"}
    created = {line["service"]: line["container"] for line in lines if line["event"] == "staged"}
    for line in lines:
        if line["event"] == "staging" and line["service"] not in begun:
            container = created.get(line["service"], "")
            staged = (line["config"], str(line.get("offset", "")))
            _unstage(docker, run, line["service"], container or line["name"], staged)
    if not begun:
        shutil.rmtree(store.release(run), ignore_errors=True)  # a config with passwords, which nobody needs


def _unstage(docker: Docker, run: str, service: str, container: str, staged: Sequence[str]) -> None:
    """Remove what a run prepared and did not use: only a container this very run created, only while it is still."""
    for path in filter(None, staged):
        guarded.remove(path)
        guarded.remove(guarded.aside(path))
    found = docker.inspect(container)
    if found and is_of(docker, service, run, found):
        docker.ensure_gone(found["Id"])


def is_of(docker: Docker, service: str, release: str, found: Optional[Dict[str, Any]]) -> bool:
    """Whether a container was made for a release: one whose id, or before that its name, this run has written down."""
    ours = judge(service, [Named(service, release)], found, docker.image(found["Image"])) if found else None
    return ours is not None and ours.release == release
