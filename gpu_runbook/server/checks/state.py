"""Is the folder with everything of ours where no container writes, and is it the one that the containers came from?"""

from __future__ import annotations

import os
import shlex
import stat
from typing import Any, Dict, List, Optional, Sequence

from gpu_runbook.common.container import LABEL
from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.forms import Path, kept
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.exposed import reach
from gpu_runbook.server.state import schedule_files
from gpu_runbook.server.state.make import file_system, unfit
from gpu_runbook.server.state.store import Store, elsewhere, place

LABEL_STATE = f"{LABEL}.state"
MOVE, FORGET = "fab setup --move-state", "fab setup --forget-state"


@dataclass(frozen=True)
class Astray:
    """A container in a service's place whose state is not where hosts.yaml leads to. `gone`: there is none there."""

    container: str  # its id
    name: str
    folder: str  # as its label names it
    gone: bool


def check(name: str, store: Store, state: str, engine: Engine, listed: Sequence[ListedContainer]) -> Check:
    """`state` as hosts.yaml says it."""
    wanted = Store(store.root, place(store.root, state)) if store.is_in_root else store
    figures: Dict[str, Any] = {"folder": store.folder, "there": store.exists}
    if store.is_in_root:
        program = schedule_files.place(store, schedule_files.PROGRAM)
        figures.update(moves_to=wanted.folder, scheduled=os.path.lexists(program))
    lost = astray(store, engine, listed)
    if lost:
        figures["astray"] = sorted({one.folder for one in lost})
        return Check(name, CRITICAL, said(lost, wanted.folder), figures, hint(lost))
    reached = reach.of_containers(engine, listed, wanted.folder)
    writers = sorted({f"{one.container} (by {one.by})" for one in reached if one.how == reach.WRITE})
    figures["writers"] = writers
    wrong = _unfit(wanted)
    if writers:
        sentence = f"{wanted.folder} can be written by {', '.join(writers)}: whoever is in there would be root here"
        return Check(name, CRITICAL, sentence, figures, f"mount less into it, or let it lie elsewhere: {elsewhere()}")
    if wrong:
        return Check(name, CRITICAL, wrong.message, figures, wrong.hint)
    remarks = [f"{store.folder} moves to {wanted.folder}, where no container writes"] if store.is_in_root else []
    remarks += [f"{one.container} is as good as root here: {one.by}" for one in reached if one.how == reach.ROOT]
    remarks += [f"{one.container} can read what is in it (by {one.by})" for one in reached if one.how == reach.READ]
    if not remarks:
        return Check(name, OK, f"{wanted.folder} is this login's alone, and no container reaches it", figures)
    return Check(name, WARNING, "; ".join(dict.fromkeys(remarks)), figures, "see docs/security.md")


def astray(store: Store, engine: Engine, listed: Sequence[ListedContainer]) -> List[Astray]:
    """The containers in a service's place that name another folder than this one, or one that is empty now.

    A label gives no right. This one takes one away, and counts only where the image has not handed it down.
    """
    if store.is_in_root:
        return []
    marked = store.marked()
    known = {store.folder, *marked.was}
    empty = not (os.path.exists(store.record) or (os.path.isdir(store.runs) and os.listdir(store.runs)))
    found = []
    for entry in listed:
        folder, service = kept(Path, entry.labels.get(LABEL_STATE)), entry.labels.get(f"{LABEL}.service", "")
        if not folder or service not in entry.names or folder in marked.forgotten or (folder in known and not empty):
            continue
        if _root_of(folder) == _root_of(store.folder) and _is_own(engine, entry.id):
            found.append(Astray(entry.id, service, folder, folder in known))
    return found


def said(lost: Sequence[Astray], folder: str) -> str:
    """What is wrong, with both places."""
    one = lost[0]
    if one.gone:
        return f"{one.name} was put here with its state in {one.folder}, and there is none there now"
    return f"{one.name} was put here with its state in {one.folder}, and hosts.yaml leads to {folder}"


def hint(lost: Sequence[Astray]) -> str:
    if lost[0].gone:
        return f"put it back from a backup; or {FORGET} gives it up, and the container counts as somebody else's"
    return f"let user:, sudo: and state: be as they were; or {MOVE} moves it over, or {FORGET} gives it up"


def refuse_astray(store: Store, docker_host: str) -> None:
    """Raises Refusal, with nothing changed, where what is about to be written would go to a folder of nobody's.

    Without an engine there is nobody to tell.
    """
    try:
        engine = engines.find(docker_host)
    except Refusal:
        return
    lost = astray(store, engine, engine.containers())
    if lost:
        raise Refusal(f"{said(lost, store.folder)}; nothing was changed", hint(lost))


def _root_of(folder: str) -> str:
    """The root that a folder is for, as its name tells."""
    return os.path.basename(folder).partition("@")[0]


def _is_own(engine: Engine, container: str) -> bool:
    """Whether a container was created with the label; an image's own tells nothing of where it came from."""
    found = engine.container(container)
    if found is None:  # it was removed meanwhile
        return False
    image = engine.image(found.image_id)
    return found.labels.get(LABEL_STATE) != (image.labels.get(LABEL_STATE) if image else None)


def _unfit(store: Store) -> Optional[Refusal]:
    """What is wrong with the folder itself, or with where it is to be made."""
    try:
        store.check_owner()
        found = os.lstat(store.folder)
    except FileNotFoundError:
        found = None
    except Refusal as refusal:
        return refusal
    there = store.folder
    while not os.path.exists(there):
        there = os.path.dirname(there)
    kind = file_system(there)
    if unfit(kind):
        why = f"{store.folder} is on a file system of kind {kind}"
        return Refusal(f"{why}: what is written there does not hold", elsewhere())
    if found is None:
        if not os.access(there, os.W_OK | os.X_OK):
            return Refusal(f"{store.folder} cannot be made: {there} is not writable for this login", elsewhere())
        return None
    if not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return Refusal(f"{store.folder} has mode {mode} instead of 0700", shlex.join(["chmod", "0700", store.folder]))
    for path in reach.directories(os.path.dirname(store.folder)):
        one = os.stat(path)
        if one.st_uid not in (0, os.geteuid()) or (one.st_mode & 0o022 and not one.st_mode & stat.S_ISVTX):
            return Refusal(
                f"others may write to {path}, and so replace {store.folder}", shlex.join(["chmod", "go-w", path])
            )
    return None
