"""Verb: leaves the scheduled check on this server: one program, its settings, and a block of the crontab."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import zlib
from typing import Any, Callable, Dict, Optional

from remote import command, files, notes
from remote.codec import decode
from remote.scheduled import crontab
from remote.scheduled.program import archive
from remote.scheduled.settings import KEPT, PROGRAM, SETTINGS, Installed, Settings, place
from remote.store import Store
from remote.words import Refusal, encode

SECONDS = 20.0  # for the program's first words


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: settings, version, program (hash), sources (of each module by name, as JSON, compressed, in base64),
    who, laptop.

    The answer: changed (what was written: program, settings, crontab), crontab (our block), running (whether cron does,
    None when that cannot be seen), at. Raises Refusal with the crontab as it was.
    """
    settings = decode(Settings, request["settings"], "settings")
    sources = json.loads(zlib.decompress(base64.b64decode(request["sources"])))
    store = Store(settings.root)
    store.create()
    program = place(store, PROGRAM)
    before = crontab.read()
    block = crontab.block(settings.root, settings.every, sys.executable, program)
    after = crontab.with_block(before, settings.root, block)
    known, _ = notes.load(Installed, place(store, SETTINGS))
    files.make_folder(os.path.dirname(program))
    changed = ["program"] if _write_program(program, archive(sources)) else []
    try:
        if not _is_same(known, settings, request):
            _write_settings(store, settings, request)
            changed.append("settings")
        if after != before:
            crontab.write(after, os.path.dirname(program))
            changed.append("crontab")
    except Refusal:
        if known is None:  # nothing is to be left behind that nobody starts, least of all the passwords
            for path in (program, place(store, SETTINGS)):
                files.remove(path)
        raise
    return {"changed": changed, "crontab": block, "running": crontab.is_running()}


def _write_program(path: str, data: bytes) -> bool:
    """Put the program in its place once it has been seen to run here; whether it is another one than before."""
    if files.read(path) == data:
        return False
    staged = files.stage(path, data, 0o600)
    ended = command.run([sys.executable, "-IS", staged, "version"], SECONDS)
    if not ended.ok:
        os.unlink(staged)
        raise Refusal(f"the check does not run on {sys.executable}: {ended.complaint}", "say python: in hosts.yaml")
    files.place(staged, path)
    files.sync_folder(os.path.dirname(path))
    return True


def _is_same(known: Optional[Installed], settings: Settings, request: Dict[str, Any]) -> bool:
    return known is not None and (known.settings, known.program, known.version, known.environment) == (
        settings,
        request["program"],
        request["version"],
        _environment(),
    )


def _write_settings(store: Store, settings: Settings, request: Dict[str, Any]) -> None:
    installed = Installed(
        settings=settings,
        version=request["version"],
        program=request["program"],
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        who=request["who"],
        laptop=request["laptop"],
        environment=_environment(),
    )
    notes.save(place(store, SETTINGS), encode(installed))


def _environment() -> Dict[str, str]:
    """What of this login's environment a job of cron lacks: the way to programs, to docker and to the world."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}
