"""A copy of a model, or a link to one, that is in force: which model that is, and how another one takes its place.

Training may put another model there by itself, and containers may write beside it: so nothing is believed of what is
there but its bytes, which are read once and known again by size and time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import re
import stat
from typing import IO, Callable, Iterator, List, Optional, Sequence, Set, Tuple

from gpu_runbook.common import humanize
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import RunId, has
from gpu_runbook.protocol.models import LINK, MISSING, WHOLE, Choice, Choices, InForce, ModelFile, Verified
from gpu_runbook.server.exposed import beside, guarded
from gpu_runbook.server.models import choices, model_files
from gpu_runbook.server.models.model_files import Emit, Progress
from gpu_runbook.server.system import files

FILE, OTHER, NOTHING = "file", "other", ""  # what is at a place, beside LINK
EXPORTED = (".onnx", ".engine", ".trt")  # what is made of a model, and does not change with it
MOST_EXPORTED = 20  # names that are told
LARGER = 1 << 30  # bytes: up to twice as much as the largest model, or as this, is read of a file that may be none
SAMPLE = 1 << 16  # bytes in one place that tell two files of a size apart
MOST_ALIKE = 100  # models of the same size that are read, newest first: a container may make any number of them
KEPT = 3  # files that were replaced and are no model of a dated directory: so many of them are kept

Read = Callable[[ModelFile], ModelFile]  # reads every byte of one
Whose = Tuple[int, Optional[Tuple[int, int]]]  # mode and owner; the login user and its group without one


def look(folder: str, place: str, writers: Set[model_files.Identity]) -> InForce:
    """What is at the place, by what is cheap to see. A link is followed below `folder`."""
    base = below(place, folder)
    try:
        there = beside.itself(place)
        says = beside.link_target(place) if there and stat.S_ISLNK(there.st_mode) else ""
        real = beside.real(folder) if says else ""
    except OSError as error:
        said = f"it cannot be read: {error.strerror}"
        return InForce(place, OTHER, ModelFile("", place, "damaged", said))
    if there is None:
        return InForce(place, NOTHING, ModelFile("", place, MISSING, "there is none"))
    if stat.S_ISREG(there.st_mode):
        file = model_files.looked_at(place, "", writers, base)
        return InForce(place, FILE, dataclasses.replace(file, promised=None))  # a checksum beside it is of any before
    if not stat.S_ISLNK(there.st_mode):
        return InForce(place, OTHER, ModelFile("", place, "damaged", "it is not a file"))
    leads = os.path.normpath(os.path.join(os.path.dirname(place), says))
    leads = folder + leads[len(real) :] if leads.startswith(f"{real}/") else leads
    if not leads.startswith(f"{folder}/") or not leads.isprintable():
        return InForce(place, LINK, ModelFile("", place, "outside", f"it is a link that leads out of {folder}"))
    return InForce(place, LINK, model_files.looked_at(leads, "", writers, folder))


def below(place: str, folder: str) -> str:
    """The folder, where the place is below it."""
    return folder if place.startswith(f"{folder}/") else ""


def identified(
    found: InForce, models: Sequence[ModelFile], known: Choices, read: Read, again: bool, folder: str
) -> Tuple[InForce, Choices]:
    """The same with the model that has the same bytes, and with what was read for that noted.

    `models`: those of the dated directories in `folder`; no more of them are read than have the same size, and the same
    bytes in a few places: all models of one network are as long. `again`: the file is read although it was before.
    """
    file = found.file
    if file.state != WHOLE:
        return found, known
    alike = [model for model in models if model.size == file.size and model.state == WHOLE]
    alike.sort(key=lambda model: (model.path == file.path, model.path == known.path, model.date), reverse=True)
    bound = 2 * max([LARGER, *(model.size for model in models)])
    if not alike and file.size > bound:
        unread = dataclasses.replace(file, sentence="it is far longer than any of the models, and was not read")
        return dataclasses.replace(found, file=unread), known
    file, known = _read(file, known, read, again)
    for model in alike[:MOST_ALIKE] if file.sha256 else ():
        if not choices.remembered(known, model) and not _may_be(model, file, folder):
            continue
        same, known = _read(model, known, read, False)
        if same.sha256 == file.sha256:
            return dataclasses.replace(found, file=file, model=model.path, date=model.date), known
    return dataclasses.replace(found, file=file), known


def _may_be(model: ModelFile, file: ModelFile, folder: str) -> bool:
    """Whether two files of a size are alike at their begin, in their middle and at their end; also if one is unread."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        places = ((one.path, one.date, below(one.path, folder)) for one in (model, file))
        both = [stack.enter_context(model_files.opened(*place)) for place in places]
        for at in (0, model.size // 2, max(model.size - SAMPLE, 0)):
            for one in both:
                one.seek(at)
            if both[0].read(SAMPLE) != both[1].read(SAMPLE):
                return False
    return True


def _read(model: ModelFile, known: Choices, read: Read, again: bool) -> Tuple[ModelFile, Choices]:
    noted = choices.remembered(known, model)
    if noted and not again:
        at = known.verified[model.path].at
        return dataclasses.replace(model, sha256=noted, verified=at), known
    done = read(model)
    if done.state != WHOLE:
        return done, known
    verified = {**known.verified, done.path: Verified(done.sha256, done.size, done.mtime, done.verified)}
    return done, dataclasses.replace(known, verified=verified)


def as_choice(found: InForce) -> Optional[Choice]:
    """What is in force as one that nobody chose; None where that cannot be told."""
    if found.kind == NOTHING:
        return Choice(found.place, "", found=True)
    if found.file.state != WHOLE or not found.file.sha256:
        return None
    path = found.model or (found.file.path if found.kind == LINK else kept_path(found.place, found.file.sha256))
    return Choice(path, found.date, at=found.file.modified, found=True)


def seen(known: Choices, found: InForce, keeping: bool = False) -> Choices:
    """What was chosen, with what is in force now. `keeping`: what is in no dated directory is going to be kept."""
    now = as_choice(found)
    if now is None:
        return known
    listed = now.path in [choice.path for choice in known.choices]
    if found.kind == NOTHING or (is_kept(now.path, found.place) and not listed and not keeping):
        return dataclasses.replace(known, path=now.path, pending=None)
    return choices.in_place(known, now)


def noticed(found: InForce) -> str:
    """What is said of one that something else than a run of ours has replaced."""
    if found.kind == NOTHING:
        return f"{found.place} is gone, and no run of ours has removed it; it was {found.was}"
    now = found.model or "none of the models in the dated directories"
    was = f"was {found.was}" if found.was != found.place else "there was none"
    return f"{found.place} was replaced, and not by a run of ours: it is {now} now, and {was}"


def kept_path(place: str, sha256: str) -> str:
    """Where a file that was replaced is kept, if no dated directory has it."""
    stem, ending = os.path.splitext(place)
    return f"{os.path.dirname(place)}/.{os.path.basename(stem)}.{sha256[:16]}.kept{ending}"


def with_exports(found: InForce) -> InForce:
    """The same with the names of what was exported beside it, apart by whether it is older."""
    older: List[str] = []
    others: List[str] = []
    try:
        there = beside.itself(found.place)
        since = max(found.file.mtime, there.st_mtime_ns if there else 0)
        with guarded.folder(os.path.dirname(found.place)) as at, os.scandir(at) as entries:
            for entry in itertools.islice(entries, model_files.MOST):
                shown = not entry.name.startswith(".") and entry.name != os.path.basename(found.place)
                if shown and entry.name.lower().endswith(EXPORTED) and not entry.is_dir(follow_symlinks=False):
                    is_older = entry.stat(follow_symlinks=False).st_mtime_ns < since
                    (older if is_older else others).append(one_line(entry.name))
    except OSError:
        return found
    named = (tuple(sorted(names)[:MOST_EXPORTED]) for names in (older, others))
    return dataclasses.replace(found, older=next(named), exports=next(named))


def sweep(place: str, known: Choices) -> None:
    """Remove what runs that are over have left beside the place, and what was kept of models that are forgotten.

    The caller holds the lock, and no run was cut off.
    """
    folder, name = os.path.split(place)
    needed = {choice.path for choice in known.choices}
    names: List[str] = []
    with contextlib.suppress(OSError), guarded.folder(folder) as at, os.scandir(at) as entries:
        names = [entry.name for entry in itertools.islice(entries, model_files.MOST)]
    for found in names:
        staged = re.fullmatch(rf"\.{re.escape(name)}\.(.+?)(\.before)?", found)
        path = os.path.join(folder, found)
        if (staged and has(RunId, staged[1])) or (is_kept(path, place) and path not in needed):
            with contextlib.suppress(Refusal):
                guarded.remove(path)


def is_kept(path: str, place: str) -> bool:
    """Whether that is where a file is kept which was replaced at the place."""
    folder, name = os.path.split(place)
    stem, ending = map(re.escape, os.path.splitext(name))
    return bool(re.fullmatch(rf"{re.escape(folder)}/\.{stem}\.[0-9a-f]{{16}}\.kept{ending}", path))


def bounded(known: Choices, place: str) -> Choices:
    """Without the choices whose files are kept beside the place, but for the newest."""
    kept = [choice.path for choice in known.choices if is_kept(choice.path, place)][KEPT:]
    return dataclasses.replace(known, choices=tuple(one for one in known.choices if one.path not in kept))


def set_aside(found: InForce, folder: str, run: str, emit: Emit) -> Verified:
    """Give what is at the place a second name, as a run stages it: no dated directory has it. Raises Refusal."""
    file, place = found.file, found.place
    aside, base = guarded.aside(files.staged_name(place, run)), below(place, folder)
    try:
        with model_files.opened(place, "", base) as at:
            guarded.set_aside(at, aside)
        own, kept = beside.itself(place), beside.itself(aside)
    except OSError as error:
        raise files.refusal(aside, "made", error) from error
    if kept is None or own is None or (kept.st_dev, kept.st_ino) != (own.st_dev, own.st_ino):
        suffix = aside.rpartition(f".{os.path.basename(place)}.")[2]
        kept = _copied(file, place, base, (0o600, None), suffix, emit)  # of another owner's no second name is allowed
    return Verified(file.sha256, kept.st_size, kept.st_mtime_ns, file.verified)


def keep(place: str, run: str, path: str) -> None:
    """Keep what a run has set aside, by the name `path`. Raises OSError or Refusal."""
    aside = guarded.aside(files.staged_name(place, run))
    guarded.place(aside, path)
    guarded.sync(path)
    guarded.remove(aside)  # which is there still where both names were the same file's


def stage(model: ModelFile, place: str, way: str, folder: str, run: str, emit: Emit) -> Optional[os.stat_result]:
    """Make the copy or the link ready beside its place; the copy as it is. Raises Refusal, with nothing left of it."""
    if way == LINK:
        inside = below(place, folder)
        beside.stage_link(place, os.path.relpath(model.path, os.path.dirname(place)) if inside else model.path, run)
        return None
    return _copied(model, place, below(model.path, folder), _whose(model, place), run, emit)


def _copied(model: ModelFile, place: str, folder: str, whose: Whose, suffix: str, emit: Emit) -> os.stat_result:
    digest, copying = hashlib.sha256(), model_files.Progress(emit, "copying", model.size)
    copying.path = model.path
    mode, owner = whose
    try:
        _has_room(model, place)
        with model_files.opened(model.path, model.date, folder) as file:
            made = beside.stage_blocks(place, _hashed(model, file, digest, copying), mode, owner, suffix)
            beside.forget(file)
    except OSError as error:
        raise _unread(model, error) from error
    if digest.hexdigest() != model.sha256:
        guarded.remove(files.staged_name(place, suffix))
        raise Refusal(f"{model.path} was written to after it was verified", "run it again")
    return made


def _has_room(model: ModelFile, place: str) -> None:
    """A copy that fills the disk would end a training when it saves next. Raises Refusal."""
    left = beside.room(place)
    if left < 2 * model.size:
        takes, said = humanize.size(model.size), humanize.size(left)
        raise Refusal(
            f"no room for a copy in {os.path.dirname(place)}: {said} are left, it takes {takes}, and as much again is "
            "for what training saves",
            "make room; models.in_force: link takes none",
        )


def _hashed(model: ModelFile, file: IO[bytes], digest: hashlib._Hash, copying: Progress) -> Iterator[bytes]:
    try:
        for block in model_files.blocks(file, model.size, copying):
            digest.update(block)
            yield block
    except OSError as error:
        raise _unread(model, error) from error


def _unread(model: ModelFile, error: OSError) -> Refusal:
    return Refusal(f"{model.path} was verified, and cannot be read any more: {error.strerror}")


def _whose(model: ModelFile, place: str) -> Whose:
    """Mode and owner of the file at the place; where there is none, those of the model as far as the login may."""
    there = beside.itself(place)
    if there and stat.S_ISREG(there.st_mode):
        mode, uid, gid = guarded.identity(there)
        return mode & 0o777, (uid, gid)  # who may write there chose both: no program is made of it
    with model_files.opened(model.path, model.date) as file:
        mode, uid, gid = guarded.identity(os.fstat(file.fileno()))
    return mode & 0o777, (uid, gid) if os.geteuid() == 0 else None
