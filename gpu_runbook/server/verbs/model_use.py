"""Verb: puts another model in force, in a process of its own, and touches no container.

Either a server's configs name it, or a copy of it or a link to it takes the place of the one before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple

from gpu_runbook.common import clock, config_key
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import BeginOfChoice, End, Pointed
from gpu_runbook.protocol.models import (
    CONFIG,
    LINK,
    WRITING,
    Choice,
    Choices,
    Chosen,
    InForce,
    ModelFile,
    PendingChoice,
    Verified,
)
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.record import Placed
from gpu_runbook.protocol.requests import ModelUseRequest
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.checks.state import refuse_astray
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.models import choices as modelchoice
from gpu_runbook.server.models import in_force as inforce
from gpu_runbook.server.models import model_files
from gpu_runbook.server.models.apply import point
from gpu_runbook.server.rpc.detach import Say, detached, followed
from gpu_runbook.server.state import new_run, record
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import files

UNCHANGED = "; nothing was changed"
PLACE = "model-in-force"  # stands in the journal where a config has the name of its service


@dataclass(frozen=True)
class Placing:
    """What a choice does to a copy or a link: how that is, what is known, and what will be."""

    asked: ModelUseRequest
    found: InForce
    known: Choices
    pending: PendingChoice
    keeps: bool  # whether what is replaced is in no dated directory
    needed: bool

    def told(self, run: str = "") -> Dict[str, Any]:
        return encode(Chosen(self.asked.model.path, {self.found.place: self.found.model}, (), self.needed, run))


@dataclass(frozen=True)
class ModelChange:
    """What a choice does: model.json as it will be, and the configs that are to name the model."""

    path: str
    choices: Choices
    configs: Dict[str, ConfigFile]  # service -> where it is, with the key that is in it
    before: Dict[str, str]  # path of a config in place -> the model in it, empty for something else
    absent: Tuple[str, ...]  # paths of configs that are not in place yet
    needed: bool  # whether anything has to be written at all

    def told(self, run: str = "") -> Dict[str, Any]:
        return encode(Chosen(self.path, self.before, self.absent, self.needed, run))


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: a ModelUseRequest.

    The answer is a Chosen. Raises Refusal, of kind person when something was written and not all.
    """
    asked = decode(ModelUseRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    guarded.prepare(asked.root, ours=record.containers(store))
    if asked.dry_run:
        return (_change(store, asked, "") if asked.way == CONFIG else _placing(store, asked, "")).told()
    refuse_astray(store, asked.docker_host)
    make(store)
    if asked.way == CONFIG:
        return detached(partial(_live, asked, store))
    return followed(partial(_live_placing, asked, store), emit)


def _live(asked: ModelUseRequest, store: Store, say: Say) -> None:
    run = new_run.locked(store, "model", asked.who, asked.laptop)
    change = _change(store, asked, run.id)
    if not change.needed:
        say(change.told())
        return
    journal = Journal(store.journal(run.id))
    journal.begin(BeginOfChoice(**run.line, configs=change.configs, model=change.path))
    _execute(store, journal, run.id, change)
    say(change.told(run.id))


def _execute(store: Store, journal: Journal, run: str, change: ModelChange) -> None:
    """First the choice, then what it leads to: after a cut, `point` alone finishes it."""
    try:
        _try_to_write(change, run)
    except Refusal as refusal:
        for path in change.before:
            with contextlib.suppress(Refusal):
                guarded.remove(files.staged_name(path, run))
        journal.write(End("refused", f"{refusal.message}; nothing was changed"))
        raise
    try:
        modelchoice.save(store, change.choices)
        point(store, run, change.configs)
    except (Refusal, OSError) as error:  # the journal keeps no end: the next command finishes it
        said = f"the model could not be put everywhere: {files.why(error)}"
        raise Refusal(said, "make room; the next fab models.use or fab deploy finishes it", "person") from error
    for service, config in change.configs.items():
        if config.path in change.before:
            was = change.before[config.path] or "another model"
            journal.write(Pointed(service, config.path, was, change.path))
    journal.write(End("done", _sentence(change)))


def _sentence(change: ModelChange) -> str:
    if not change.before:
        return f"{change.path} is the model of the next deploy; there is no config in place yet"
    was = " and ".join(sorted({path or "another model" for path in change.before.values()}))
    return f"{' and '.join(change.before)}: {change.path} instead of {was}"


def _live_placing(asked: ModelUseRequest, store: Store, say: Say) -> None:
    run = new_run.locked(store, "model", asked.who, asked.laptop)
    placing = _placing(store, asked, run.id)
    if not placing.needed:
        say(placing.told())
        return
    model_files.stand_back()
    inforce.sweep(placing.found.place, placing.known)
    journal = Journal(store.journal(run.id))
    # As a config without a key: whoever finishes the run removes what is staged beside it, and changes nothing else.
    configs = {PLACE: ConfigFile(placing.found.place)}
    journal.begin(BeginOfChoice(**run.line, configs=configs, model=asked.model.path))
    _put(store, journal, run.id, placing, say)
    say(placing.told(run.id))


def _put(store: Store, journal: Journal, run: str, placing: Placing, say: Say) -> None:
    """Beside its place, then into it at once; what is noted before is enough to know it again after a cut."""
    asked, place, model, known = placing.asked, placing.found.place, placing.asked.model, placing.known
    staged, noted, was = files.staged_name(place, run), known.verified, known.path
    try:
        made = inforce.stage(model, place, asked.way, asked.folder, run, say)
        if placing.keeps:
            noted = {**noted, was: inforce.set_aside(placing.found, asked.folder, run, say)}
        if made:
            noted = {**noted, place: Verified(model.sha256, made.st_size, made.st_mtime_ns, model.verified)}
        known = dataclasses.replace(known, verified=noted)
        _is_as_found(asked)
        modelchoice.save_placed(store, dataclasses.replace(known, pending=placing.pending), place)
    except (Refusal, OSError) as error:
        for left in (staged, guarded.aside(staged)):
            with contextlib.suppress(Refusal):
                guarded.remove(left)
        why = files.why(error)
        said = why if why.endswith(UNCHANGED) else why + UNCHANGED
        journal.write(End("refused", said))
        raise Refusal(said, getattr(error, "hint", files.SEE), getattr(error, "kind", "server")) from error
    try:
        if placing.keeps:
            inforce.keep(place, run, was)
        guarded.place(staged, place)
        guarded.sync(place)
        known = inforce.bounded(modelchoice.settled(known, placing.pending), place)
        modelchoice.save_placed(store, known, place)
    except (Refusal, OSError) as error:  # the journal keeps no end: the next command finishes it
        said = f"the model may not be in place: {files.why(error)}"
        raise Refusal(said, "fab models says which one is in force", "person") from error
    before = placing.found.model or ("none" if placing.found.kind == inforce.NOTHING else "one that is in no directory")
    journal.write(
        End(
            "done",
            f"{place} is {'a link to' if asked.way == LINK else 'a copy of'} {model.path}; before it was {before}",
        )
    )
    inforce.sweep(place, known)


def _placing(store: Store, asked: ModelUseRequest, run: str) -> Placing:
    """What is to be done, by how things are now. Raises Refusal for what speaks against it."""
    model, found = asked.model, _is_as_found(asked)
    known = modelchoice.with_verified(_as_looked_at(store, asked, found), model)
    now = inforce.as_choice(found)
    if found.kind == inforce.OTHER or found.file.state == WRITING:
        hint = "wait until it is written" if found.file.state == WRITING else "move it away"
        raise Refusal(f"{found.place} is not replaced: {found.file.sentence}; nothing was changed", hint)
    if now is None and not asked.force:
        raise Refusal(
            f"{found.place} is not replaced: {found.file.sentence}; nothing was changed",
            "move it away, or replace it with --force: then it does not come back",
        )
    kind = LINK if asked.way == LINK else inforce.FILE
    same = found.kind == kind and found.model == model.path == known.path
    keeps = bool(now) and found.kind == inforce.FILE and inforce.is_kept(known.path, found.place)
    choice = Choice(model.path, model.date, run, asked.who, clock.now())
    return Placing(asked, found, known, PendingChoice(choice, asked.back), keeps, not same)


def _is_as_found(asked: ModelUseRequest) -> InForce:
    """How the place was when it was looked at, as long as it still is. Raises Refusal."""
    was = asked.in_force
    if was is None:
        raise Refusal("it was not said where the model in force is; nothing was changed")
    there = inforce.look(asked.folder, was.place, set())
    if (there.kind, *_told_apart(there.file)) != (was.kind, *_told_apart(was.file)):
        raise Refusal(f"{was.place} was replaced after it was looked at; nothing was changed", "run it again")
    return was


def _told_apart(file: ModelFile) -> Tuple[str, int, int]:
    return file.path, file.size, file.mtime


def _try_to_write(change: ModelChange, run: str) -> None:
    """Whoever may not write a config, or has no room for it, shall learn so before anything is changed."""
    for path in change.before:
        found = _read(path)
        if found:
            mode, uid, gid = guarded.identity(found[1])
            guarded.remove(guarded.stage(path, found[0], mode, (uid, gid), run))


def _change(store: Store, asked: ModelUseRequest, run: str) -> ModelChange:
    """What is to be done, by how things are now. Raises Refusal for what speaks against it."""
    model = asked.model
    known = _as_looked_at(store, asked)
    records, _ = record.load(store)
    release = records.find(records.current)
    placed = release.services if release else {}
    configs = {name: _as_placed(config, placed.get(name)) for name, config in asked.configs.items()}
    before: Dict[str, str] = {}
    needed = known.path != model.path
    for name, config in configs.items():
        present = _read(config.path)
        text = present[0].decode("utf-8", "surrogateescape") if present else None
        kept = _kept(os.path.join(store.release(records.current, name), "config.yaml")) if name in placed else None
        if text is not None:
            _is_as_placed(store, config, text, placed.get(name), asked.force)
            before[config.path] = modelchoice.named_in(text, config.model_key, asked.folder) or ""
        needed = any([needed, *(_differs(config, one, model.path) for one in (text, kept) if one is not None)])
    absent = tuple(sorted({config.path for config in configs.values()} - set(before)))
    choices = _choices(known, asked, before, run)
    return ModelChange(model.path, choices, configs, before, absent, needed)


def _choices(known: Choices, asked: ModelUseRequest, before: Dict[str, str], run: str) -> Choices:
    model = asked.model
    known = modelchoice.with_verified(known, model)
    if asked.back:
        return modelchoice.gone_back(known, model.path, run)
    were = set(before.values())
    return modelchoice.with_choice(
        known, Choice(model.path, model.date, run, asked.who, clock.now()), were.pop() if len(were) == 1 else ""
    )


def _as_looked_at(store: Store, asked: ModelUseRequest, found: Optional[InForce] = None) -> Choices:
    """What was chosen, as long as that is as it was when it was looked at. Raises Refusal."""
    known = modelchoice.load(store, asked.way)
    known = inforce.seen(known, found, keeping=True) if found else known
    if known.path != asked.was:
        raise Refusal(f"somebody has chosen {known.path} meanwhile; nothing was changed", "look at fab models")
    _is_as_verified(asked.model)
    return known


def _is_as_verified(model: ModelFile) -> None:
    try:
        with model_files.opened(model.path, model.date) as file:
            found = os.fstat(file.fileno())
    except OSError as error:
        raise Refusal(f"{model.path} was verified, and cannot be read any more: {error.strerror}") from error
    if (found.st_size, found.st_mtime_ns) != (model.size, model.mtime):
        raise Refusal(f"{model.path} was written to after it was verified; nothing was changed", "run it again")


def _is_as_placed(store: Store, config: ConfigFile, text: str, placed: Optional[Placed], force: bool) -> None:
    """A config that somebody has edited belongs to a person."""
    if placed and placed.config_hash not in ("", store.keyed_hash(text)) and not force:
        raise Refusal(
            f"{config.path} is not as its release has put it: somebody has edited it; nothing was changed",
            "fab deploy --force puts it in order; --force changes the model in it as it is",
        )


def _differs(config: ConfigFile, text: str, path: str) -> bool:
    """Whether a config does not name the model yet. Raises Refusal for one that cannot."""
    try:
        return config_key.replaced(text, config.model_key, path) != text
    except config_key.Unplaceable as error:
        raise Refusal(
            f"{config.path} takes no model: {error}; nothing was changed",
            "config.model_key in hosts.yaml names the key; fab deploy puts a config with it in place",
        ) from None


def _as_placed(config: ConfigFile, placed: Optional[Placed]) -> ConfigFile:
    """With the key that the config in place has: hosts.yaml may name another one that was not deployed yet."""
    key = placed.config.model_key if placed and placed.config else ""
    return dataclasses.replace(config, model_key=key or config.model_key)


def _kept(path: str) -> Optional[str]:
    try:
        raw = files.read(path)
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}", "let the login user own it") from error
    return raw.decode("utf-8", "surrogateescape") if raw is not None else None


def _read(path: str) -> Optional[Tuple[bytes, os.stat_result]]:
    try:
        return guarded.read(path)
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}", guarded.hint(error)) from error
