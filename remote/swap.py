"""The swap of one consumer: the only moments in which it is down, and the way back from each of them.

A Swap is written to the journal before anything is touched. Both directions lead to states and may be repeated, so the
run itself, the next run after a power cut, and the scheduled check all go forward or back by the same lines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional

from remote import files, replay
from remote.docker import Docker, StepFailed
from remote.occupants import between_restarts, lives
from remote.words import Refusal

NEVER_RESTART = "no"


@dataclass(frozen=True)
class ConfigSwap:
    """A config file staged beside its place, and what was in that place before: a kept copy, or nothing."""

    path: str
    staged: str
    before: str = ""  # the kept copy, empty when there was no config
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Swap:
    """What is exchanged. Names: the service's own, and the one each container has while it is not in force."""

    service: str
    name: str
    new: str
    new_parked: str
    new_restart: str
    old: str = ""
    old_name: str = ""
    old_parked: str = ""
    old_restart: str = NEVER_RESTART
    grace: int = 30  # seconds
    old_ran: bool = False
    config: Optional[ConfigSwap] = None
    offset: str = ""  # the consumer's offset file, empty when it has none
    offset_kept: str = ""  # where its copy at the swap goes
    offset_left: str = ""  # where its copy goes when the new container has been stopped again
    replay: str = ""  # an offset file staged beside its place, from which the new one is to begin


def forward(swap: Swap, docker: Docker) -> None:
    """Old out, new in. Everything that can be done outside the gap between stop and start is done outside it.

    Raises StepFailed; `back` then leads from wherever it stopped to where it began.
    """
    docker.refuse_run(swap.new)
    if swap.old:
        docker.ensure_restart(swap.old, NEVER_RESTART)
        if between_restarts(docker.inspect(swap.old)):  # the engine renames no such container
            docker.ensure_stopped(swap.old, swap.grace)
        docker.ensure_name(swap.old, swap.old_parked)
    docker.ensure_name(swap.new, swap.name)
    if swap.old:
        docker.ensure_stopped(swap.old, swap.grace, sync=False)
    _copy(swap.offset, swap.offset_kept)
    if swap.replay:
        replay.place(swap.replay, swap.offset, swap.offset_kept)
    if swap.config:
        try:
            files.place(swap.config.staged, swap.config.path)
        except OSError as error:
            raise StepFailed(f"{swap.config.path} could not be replaced: {error.strerror}") from error
    docker.ensure_started(swap.new, sync=False)
    docker.ensure_restart(swap.new, swap.new_restart)
    _sync(swap)


def back(swap: Swap, docker: Docker) -> str:
    """New out, old in again, as if nothing had been. The old one starts only when the new one is known to be stopped.

    Gives what somebody did meanwhile that keeps it from being as it was, usually nothing. Raises StepFailed or Refusal
    when it could not be done, and may be tried again.
    """
    for container in filter(None, (swap.new, swap.old)):  # before anything: half an undoing is worse than none
        docker.refuse_run(container)
    if docker.inspect(swap.new) is not None:
        docker.ensure_restart(swap.new, NEVER_RESTART)
        docker.ensure_stopped(swap.new, swap.grace)
        _copy(swap.offset, swap.offset_left)
        docker.ensure_name(swap.new, swap.new_parked)
    if swap.replay and not (swap.old and lives(docker.inspect(swap.old))):
        replay.undo(swap.replay, swap.offset, swap.offset_kept)
    if swap.config:
        put_config_back(swap.config)
    if not swap.old:
        return ""
    if docker.inspect(swap.old) is None:
        return f"the one it replaced ({swap.old[:12]}) was removed meanwhile"
    other = docker.inspect(swap.old_name)
    if other is None or other["Id"] == swap.old:
        docker.ensure_name(swap.old, swap.old_name)
        other = None
    if swap.old_ran and not lives(other):
        docker.ensure_started(swap.old)
    docker.ensure_restart(swap.old, swap.old_restart)
    return f"somebody made another {swap.old_name} ({other['Id'][:12]}) meanwhile" if other else ""


def finished(swap: Swap, docker: Docker) -> bool:
    """Whether the new container is in force: running, under the service's name, and the old one is not."""
    new = docker.inspect(swap.new)
    if new is None or not lives(new) or new["Name"].lstrip("/") != swap.name:
        return False
    return not (swap.old and lives(docker.inspect(swap.old)))


def put_config_back(config: ConfigSwap) -> None:
    """The config as it was before the swap, or none if there was none. Raises StepFailed or Refusal."""
    files.remove(config.staged)
    if not config.before:
        files.remove(config.path)
        return
    kept = files.read(config.before)
    if kept is None:
        raise StepFailed(f"{config.before} is gone: {config.path} cannot be put back")
    if _is_as_before(config, kept):
        return
    try:
        # One name for every try: what a killed one left behind holds secrets, and the next one takes it away.
        files.write(config.path, kept, config.mode, (config.uid, config.gid), "back")
    except Refusal as error:
        _link_back(config, error)


def _link_back(config: ConfigSwap, error: Refusal) -> None:
    """A full disk takes no copy: the kept one itself stands in both places. Raises `error` where that cannot be."""
    try:
        os.chmod(config.before, config.mode)
        os.chown(config.before, config.uid, config.gid)
        os.link(config.before, config.staged)
        files.place(config.staged, config.path)
    except OSError:
        raise error from None


def _is_as_before(config: ConfigSwap, kept: bytes) -> bool:
    if files.read(config.path) != kept:
        return False
    found = os.stat(config.path)
    return (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (config.mode, config.uid, config.gid)


def _copy(source: str, target: str) -> None:
    """Keep the offset file exactly as a consumer left it. A full disk must not keep the next one down."""
    try:
        data = files.read(source) if source else None
        if data is not None:
            with open(target, "wb") as file:
                file.write(data)
    except OSError:
        return


def _sync(swap: Swap) -> None:
    """What was left unsynced inside the gap."""
    for path in (swap.offset_kept, swap.config.path if swap.config else ""):
        if path and os.path.exists(path):
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
            files.sync_folder(os.path.dirname(path))
