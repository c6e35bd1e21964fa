"""Verb: compares the env files of services with what is wanted, or writes them whole, in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from typing import Any, Callable, Dict, List, Tuple

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.env_file import MISSING, THERE, UNREADABLE, Compared, Difference, EnvFile
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import BeginOfEnv, End
from gpu_runbook.protocol.requests import EnvRequest
from gpu_runbook.server.checks import env_file
from gpu_runbook.server.checks.state import refuse_astray
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.rpc.detach import Say, detached
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state import new_run, record
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import Store, find_store
from gpu_runbook.server.system import files
from gpu_runbook.server.system.ownership import ids, may_give, shared

SUFFIX = "new"  # always the same, so that the next push takes away what a cut has left


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: an EnvRequest. The answer is a Compared.

    Raises Refusal, of kind person when something was written and not all.
    """
    asked = decode(EnvRequest, request, "request")
    store = find_store(asked.root, asked.state, emit)
    store.check_owner()
    guarded.prepare(asked.root, ours=record.containers(store))
    if not asked.texts:
        return encode(Compared(tuple(map(env_file.compared, asked.files)), journals.last(store)))
    refuse_astray(store, asked.docker_host)
    make(store)
    return detached(partial(_live, asked, store))


def _live(asked: EnvRequest, store: Store, say: Say) -> None:
    run = new_run.locked(store, "env", asked.who, asked.laptop)
    before = [(entry, env_file.compared(entry)) for entry in asked.files]
    told = Compared(tuple(found for _, found in before), run.last)
    changed = [(entry, found) for entry, found in before if not found.fine]
    if not changed:
        say(encode(told))
        return
    staged = _stage(changed, asked.texts)
    try:
        journal = Journal(store.journal(run.id))
        journal.begin(BeginOfEnv(**run.line, files=tuple(encode(found) for _, found in changed)))
    except Refusal:
        _give_up(staged)
        raise
    written = False
    try:
        for (entry, found), path in zip(changed, staged):
            _keep(store, entry, found)
            guarded.place(path, entry.path)
            written = True
            guarded.sync(entry.path)
    except (Refusal, OSError) as error:
        _give_up(staged)
        why = f"{entry.path}: {error.strerror}" if isinstance(error, OSError) else error.message
        if not written:
            journal.write(End("refused", f"{why}; nothing was changed"))
            raise Refusal(f"{why}; nothing was changed", files.SEE) from error
        said = f"not every env file could be written: {why}"
        journal.write(End("needs-person", said))
        raise Refusal(said, "fab env.diff says which; then run it again", "person") from error
    journal.write(End("done", "; ".join(_sentence(found) for _, found in changed)))
    say(encode(dataclasses.replace(told, written=run.id)))


def _stage(changed: List[Tuple[EnvFile, Difference]], texts: Dict[str, str]) -> List[str]:
    """Write every file beside its place. Raises Refusal with nothing changed when one cannot be."""
    staged: List[str] = []
    try:
        for entry, found in changed:
            _may_write(entry, found)
            text = texts[entry.service].encode()
            staged.append(guarded.stage(entry.path, text, entry.mode, ids(entry.owner), SUFFIX))
    except Refusal as error:
        _give_up(staged)
        raise Refusal(f"{error.message}; nothing was changed", error.hint) from error
    return staged


def _may_write(entry: EnvFile, found: Difference) -> None:
    owner = ids(entry.owner)
    if owner and not may_give(*owner):
        raise Refusal(f"this login cannot give {entry.path} to {entry.owner}", shared("env_file"))
    if found.state == UNREADABLE:
        hint = "let the login user own it: what is there is kept before it is replaced"
        raise Refusal(f"{entry.path} cannot be read: {found.problems[0]}", guarded.hint(found.problems[0], hint))


def _give_up(staged: List[str]) -> None:
    for path in staged:
        with contextlib.suppress(Refusal):  # the next push takes it away
            guarded.remove(path)


def _keep(store: Store, entry: EnvFile, found: Difference) -> None:
    """The file that is replaced, where its content is another one."""
    if found.state == THERE and (found.differs or found.missing or found.unknown or found.problems):
        folder = os.path.join(store.folder, "env")
        files.make_folder(folder)
        was = guarded.read(entry.path, env_file.LIMIT)
        files.write(os.path.join(folder, f"{entry.service}.previous"), was[0] if was else b"")


def _sentence(found: Difference) -> str:
    """What a file has become, in names."""
    if found.state == MISSING:
        return f"{found.service}: {found.path} written with {', '.join(found.missing)}"
    parts = {"changed": found.differs, "added": found.missing, "removed": found.unknown}
    said = [f"{what} {', '.join(names)}" for what, names in parts.items() if names]
    return f"{found.service}: {found.path}: {'; '.join(said) or 'put in order'}"
