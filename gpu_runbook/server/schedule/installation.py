"""What the scheduled check is made of on a server, program and settings, written into the folder of the state."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import zlib
from typing import Dict, List, Optional

from gpu_runbook.common import command
from gpu_runbook.common.clock import stamp
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.requests import InstallRequest
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.schedule.program import archive, is_same
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.schedule_files import KEPT, PROGRAM, SETTINGS, place
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

SECONDS = 20.0  # for the program's first words


def lay_down(store: Store, asked: InstallRequest) -> List[str]:
    """Write program and settings; which of them are others than before."""
    sources = json.loads(zlib.decompress(base64.b64decode(asked.sources)))
    known, _ = jsonfile.load(Installed, place(store, SETTINGS))
    files.make_folder(os.path.dirname(place(store, PROGRAM)))
    changed = ["program"] if _write_program(place(store, PROGRAM), archive(sources)) else []
    try:
        if not _is_same(known, asked):
            _write_settings(store, asked)
            changed.append("settings")
    except Refusal:
        if known is None:
            forget(store)
        raise
    return changed


def forget(store: Store) -> None:
    """Nothing is to be left behind that nobody starts, least of all the passwords."""
    for path in (place(store, PROGRAM), place(store, SETTINGS)):
        files.remove(path)


def _write_program(path: str, data: bytes) -> bool:
    """Put the program in its place once it has been seen to run here; whether it is another one than before."""
    if is_same(files.read(path) or b"", data):
        return False
    staged = files.stage(path, data, 0o600)
    ended = command.run([sys.executable, "-IS", staged, "version"], SECONDS)
    if not ended.ok:
        os.unlink(staged)
        raise Refusal(f"the check does not run on {sys.executable}: {ended.complaint}", "say python: in hosts.yaml")
    try:
        files.place(staged, path)
        files.sync_folder(os.path.dirname(path))
    except OSError as error:
        raise files.refusal(path, "written", error) from error
    return True


def _is_same(known: Optional[Installed], asked: InstallRequest) -> bool:
    return known is not None and (known.settings, known.program, known.version, known.environment) == (
        asked.settings,
        asked.program,
        asked.version,
        _environment(),
    )


def _write_settings(store: Store, asked: InstallRequest) -> None:
    installed = Installed(
        settings=asked.settings,
        version=asked.version,
        program=asked.program,
        at=stamp(time.time()),
        who=asked.who,
        laptop=asked.laptop,
        environment=_environment(),
    )
    jsonfile.save(place(store, SETTINGS), encode(installed))


def _environment() -> Dict[str, str]:
    """What of this login's environment a job of cron lacks: the way to programs, to docker and to the world."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}
