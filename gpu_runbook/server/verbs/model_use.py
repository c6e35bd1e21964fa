"""Verb: points a server's configs at another model, in a process of its own, and touches no container."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple

from gpu_runbook.common import config_key
from gpu_runbook.common.clock import now
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import BeginOfChoice, End, Pointed
from gpu_runbook.protocol.models import Choice, Choices, Chosen, ModelFile
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.record import Placed
from gpu_runbook.protocol.requests import ModelUseRequest
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.checks.state import refuse_astray
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.models import choices as modelchoice
from gpu_runbook.server.models import model_files
from gpu_runbook.server.models.apply import point
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.state import new_run, record
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import files


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
        return _change(store, asked, "").told()
    refuse_astray(store, asked.docker_host)
    make(store)
    return detached(partial(_live, asked, store))


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
    known = modelchoice.load(store)
    if known.path != asked.was:
        raise Refusal(f"somebody has chosen {known.path} meanwhile; nothing was changed", "look at fab models")
    _is_as_verified(model)
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
        known, Choice(model.path, model.date, run, asked.who, now()), were.pop() if len(were) == 1 else ""
    )


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
