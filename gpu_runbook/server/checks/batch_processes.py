"""Sees the runs of a batch service that are processes of the server itself, and does nothing about them.

They are known by their command lines, which processes write themselves: so one can look like a run that is none, and at
worst it is told as one. One in a container is none, whatever it writes: of it the engine is asked.
"""

from __future__ import annotations

import os
import pwd
import re
from typing import Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common.clock import stamp
from gpu_runbook.common.command_line import is_like
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.processes import ProcessMarks, ProcessRun, ProcessRuns
from gpu_runbook.server.docker.engine_process import started
from gpu_runbook.server.system import processes

MOST = 50_000  # processes that are looked at
HIDDEN = "this login may not see the processes of others"
_PROGRAM, _SCRIPT = r"[\w.+-]{1,60}", r"[\w./@+-]{1,400}\.(py|sh)"


def find(marks: ProcessMarks, place: str = "/proc") -> ProcessRuns:
    """The runs, oldest first. `place`: where the kernel shows its processes."""
    try:
        user = _id(marks.user) if marks.user else None
    except KeyError:
        return ProcessRuns(unseen=f"the server has no user {named(marks.user)}")
    listed = sorted(map(int, filter(str.isdigit, os.listdir(place))))
    doubts = [f"only {MOST} of {len(listed)} processes were looked at"] if len(listed) > MOST else []
    hidden, found = 1 not in listed, {}
    for pid in listed[:MOST]:
        try:
            words = processes.words(pid, place)
            whose = processes.owner(pid, place) if is_like(marks.command, words) else None
            if whose is None or user not in (None, whose):
                continue
            works = _works_in(marks.folder, pid, place)
        except PermissionError:
            hidden = True
            continue
        except (OSError, LookupError, ValueError):
            continue  # it has ended meanwhile
        doubts += [f"this login may not see in which folder process {pid} works"] if works is None else []
        if works is not False:  # rather one too many is let be than one too few
            found[pid] = whose, words
    doubts += [HIDDEN] if hidden and user != os.getuid() else []
    return ProcessRuns(_runs(found, place), " and ".join(doubts[:3]))


def _id(user: str) -> int:
    return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _works_in(folder: str, pid: int, place: str) -> Optional[bool]:
    """Whether it works in a folder or below; None where that may not be seen."""
    if not folder:
        return True
    try:
        where = os.readlink(os.path.join(place, str(pid), "cwd"))
    except PermissionError:
        return None
    return f"{where}/".startswith(f"{folder}/")


def _runs(found: Dict[int, Tuple[int, List[str]]], place: str) -> Tuple[ProcessRun, ...]:
    """What one of them has started is of its run."""
    tops = {[one for one in processes.lineage(pid, place) if one in found][-1] for pid in found}
    since = {pid: started(pid, place) for pid in tops}
    return tuple(
        ProcessRun(pid, _shown(found[pid][1]), _name(found[pid][0]), stamp(at))
        for pid, at in sorted(since.items(), key=lambda one: one[1] or 0)
        if at is not None  # else it has ended meanwhile
    )


def _shown(words: Sequence[str]) -> str:
    """The names of program and script, where they are plain ones: anything else may be a secret."""
    program = os.path.basename((words[0].split() or [""])[0])
    script = next((word for word in words[1:] if not word.startswith("-")), "")
    names = [program] if re.fullmatch(_PROGRAM, program, re.ASCII) else []
    names += [os.path.basename(script)] if re.fullmatch(_SCRIPT, script, re.ASCII) else []
    return " ".join(names)
