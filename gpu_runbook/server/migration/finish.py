"""What is left to do once a state that was moved is in force: the same lines end a move that was cut off."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from typing import Tuple

from gpu_runbook.protocol.forms import RUN
from gpu_runbook.protocol.journal import BeginOfMove
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.schedule_files import PROGRAM, SETTINGS, place
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import crontab, files

ACTION = "move-state"
ASIDE = ".deploy.moved-"


def aside(root: str, run: str) -> str:
    """Where the old folder goes, for the moment until it is removed; before it, there stands what takes its place."""
    return os.path.join(root, f"{ASIDE}{run}")


def is_aside(name: str) -> bool:
    return re.fullmatch(re.escape(ASIDE) + RUN, name) is not None


def finish(new: Store, begin: BeginOfMove) -> Tuple[str, str]:
    """What is left to do once the new folder is in force: the sentence of its end, and our block of the crontab.

    `begin`: how the run began. What was not taken along stays, for a person to look at. May be repeated: whoever
    finds a move that was cut off calls it again. Raises Refusal when cron takes no block, and Malformed.
    """
    old = Store(new.root, begin.was)
    files.remove(new.arriving)  # before what it names goes, and another folder can be of that number
    if old.is_in_root:
        leave_word(old.folder, new.folder)
        if not begin.left:
            shutil.rmtree(aside(old.root, begin.run), ignore_errors=True)
    elif not begin.left and old.folder in new.marked().was:  # the journal alone removes nothing
        shutil.rmtree(old.folder, ignore_errors=True)
    installed, _ = jsonfile.load(Installed, place(new, SETTINGS))
    block = ""
    if installed:
        block = crontab.block(new.root, installed.settings.every, sys.executable, place(new, PROGRAM))
        wanted = crontab.with_block(crontab.read(), new.root, block)
        if not crontab.stands(wanted):
            crontab.write(wanted)
    return f"the state moved from {old.folder} to {new.folder}", block


def leave_word(path: str, folder: str) -> None:
    """A plain file where the folder was: whoever still looks for it there is told, and an older version ends there."""
    text = f"gpu-runbook keeps its state in {folder} now, where no container can write.\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError), open(os.open(path, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
