"""The swap of one consumer: the only moments in which it is down, and the way back from each of them.

A Swap is written to the journal before anything is touched. Both directions lead to states and may be repeated, so the
run itself, the next run after a power cut, and the scheduled check all go forward or back by the same lines.
"""

from __future__ import annotations

import os
from typing import Callable

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.swap import NEVER_RESTART, ConfigSwap, Swap
from gpu_runbook.server.docker.commands import AtFault, Docker, StepFailed, StillRuns
from gpu_runbook.server.docker.containers import lives
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.queue import offset
from gpu_runbook.server.system import files


def forward(swap: Swap, docker: Docker, between: Callable[[], object] = str) -> str:
    """Old out, new in. Everything that can be done outside the gap between stop and start is done outside it.

    `between` is called in the gap.

    Gives why no copy of the offset file could be kept, usually nothing. Raises StepFailed; `back` then leads from
    wherever it stopped to where it began.
    """
    docker.refuse_run(swap.new)
    if swap.old:
        docker.ensure_restart(swap.old, NEVER_RESTART)
        old = docker.inspect(swap.old)
        if old and old.restarting:  # the engine renames no such container
            docker.ensure_stopped(swap.old, swap.grace)
        docker.ensure_name(swap.old, swap.old_parked)
    docker.ensure_name(swap.new, swap.name)
    if swap.old:
        docker.ensure_stopped(swap.old, swap.grace, sync=False)
    trouble = _copy(swap.offset, swap.offset_kept)
    between()
    if swap.replay:
        from gpu_runbook.server.run import replay  # it travels only with a plan that has messages read again

        replay.place(swap.replay, swap.offset, swap.offset_kept)
    if swap.config:
        try:
            guarded.place(swap.config.staged, swap.config.path)
        except OSError as error:
            raise StepFailed(f"{swap.config.path} could not be replaced: {error.strerror}") from error
    docker.ensure_started(swap.new, sync=False)
    docker.ensure_restart(swap.new, swap.new_restart)
    _sync(swap)
    return trouble


def back(swap: Swap, docker: Docker) -> str:
    """New out, old in again, as if nothing had been. The old one starts only when the new one is known to be stopped.

    Gives what was seen to keep it from being as it was, usually nothing: what somebody did meanwhile, or the fault of
    the old one. Raises StepFailed or Refusal when it could not be done, and may be tried again.
    """
    for container in filter(None, (swap.new, swap.old)):  # before anything: half an undoing is worse than none
        docker.refuse_run(container)
    if docker.inspect(swap.new) is not None:
        docker.ensure_restart(swap.new, NEVER_RESTART)
        docker.ensure_stopped(swap.new, swap.grace)
        if _began(swap, docker):
            _copy(swap.offset, swap.offset_left)
        docker.ensure_name(swap.new, swap.new_parked)
    if swap.replay and not (swap.old and lives(docker.inspect(swap.old))):
        from gpu_runbook.server.run import replay

        replay.undo(swap.replay, swap.offset, swap.offset_kept)
    if swap.config:
        put_config_back(swap.config)
    if not swap.old:
        return ""
    if docker.inspect(swap.old) is None:
        return f"the one it replaced ({swap.old[:12]}) was removed meanwhile"
    other = docker.inspect(swap.old_name)
    if other is None or other.id == swap.old:
        docker.ensure_name(swap.old, swap.old_name)
        other = None
    said = f"somebody made another {swap.old_name} ({other.id[:12]}) meanwhile" if other else ""
    if swap.old_ran and not lives(other):
        said = _start_again(swap, docker) or said
    docker.ensure_restart(swap.old, swap.old_restart)
    return said


def _start_again(swap: Swap, docker: Docker) -> str:
    """Start the old one; what is seen to keep it from running, or from going on to, usually nothing.

    One that was told to stop and was not seen to is stopped first: it would end later, with nobody to start it.
    """
    try:
        if swap.old in docker.unobeyed:
            docker.ensure_stopped(swap.old, swap.grace)
        docker.ensure_started(swap.old)
    except StillRuns:
        return f"the one it was to replace ({swap.old[:12]}) was killed and still runs: it may end at any moment"
    except AtFault as error:
        return f"the one it replaced ({swap.old[:12]}) does not start: {error}"
    return ""


def _began(swap: Swap, docker: Docker) -> bool:
    """Whether the new container was ever started by this swap: the old one, where it runs, began before it."""
    new, old = docker.inspect(swap.new), docker.inspect(swap.old) if swap.old else None
    return new is not None and new.started > (old.started if old else 0.0)


def put_config_back(config: ConfigSwap) -> None:
    """The config as it was before the swap, or none if there was none. Raises StepFailed or Refusal."""
    guarded.remove(config.staged)
    if not config.before:
        guarded.remove(config.path)
        return
    kept = files.read(config.before)
    if kept is None:
        raise StepFailed(f"{config.before} is gone: {config.path} cannot be put back")
    was = config.mode, config.uid, config.gid
    if _is_there(config.path, kept, was) or guarded.bring_back(guarded.aside(config.staged), config.path, kept, was):
        return
    try:
        # One name for every try: what a killed one left behind holds secrets, and the next one takes it away.
        guarded.write(config.path, kept, config.mode, (config.uid, config.gid), "back")
    except Refusal as error:
        _link_back(config, error)


def close(swap: Swap) -> None:
    """Remove what only the way there and back needs: it may hold passwords. Raises Refusal."""
    for staged in (swap.config.staged if swap.config else "", swap.replay):
        if staged:
            guarded.remove(staged)
            guarded.remove(guarded.aside(staged))


def _link_back(config: ConfigSwap, error: Refusal) -> None:
    """A full disk takes no copy: the kept one itself stands in both places. Raises `error` where that cannot be.

    Only where nothing stands aside: for a swap by an older version, whose kept copies lie below the root.
    """
    try:
        os.chmod(config.before, config.mode)
        os.chown(config.before, config.uid, config.gid)
        os.link(config.before, config.staged)
        guarded.place(config.staged, config.path)
    except OSError:
        raise error from None


def _is_there(path: str, data: bytes, whose: guarded.Identity) -> bool:
    try:
        found = guarded.read(path)
    except OSError:
        return False
    return found is not None and found[0] == data and guarded.identity(found[1]) == whose


def _copy(source: str, target: str) -> str:
    """Keep the offset file exactly as a consumer left it; why that could not be, usually nothing.

    Neither a full disk nor what a consumer has put in the place of its file may keep the next one down.
    """
    try:
        found = guarded.read(source, offset.LIMIT) if source else None
        if found:
            files.keep(target, found[0])
    except OSError as error:
        return f"the position in {source} could not be kept: {error.strerror}"
    return ""


def _sync(swap: Swap) -> None:
    """What was left unsynced inside the gap."""
    if os.path.exists(swap.offset_kept):
        handle = os.open(swap.offset_kept, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
        files.sync_folder(os.path.dirname(swap.offset_kept))
    if swap.config:
        guarded.sync(swap.config.path)
