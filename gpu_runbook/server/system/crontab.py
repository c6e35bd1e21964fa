"""The login user's crontab: one marked block of ours, and not a byte of anybody else's.

On a server without cron the blocks are those of timers of systemd; where cron came later, or came back, what is written
next takes them over, and one of the two is left.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import List, Optional, Tuple

from gpu_runbook.common import command
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.schedule import CheckTimer
from gpu_runbook.server.system import timer
from gpu_runbook.server.system.processes import named

SECONDS = 10.0
LIMIT = 1 << 20  # bytes of a crontab that are read
DAEMONS = ("cron", "crond", "fcron")
MISSING = 127  # the status where there is no such program
ROOT = 0  # the user they run as
BEGIN, END = "# BEGIN gpu-runbook", "# END gpu-runbook"
BY_HAND = "see crontab -l on the server, and take the lines out with crontab -e; then run it again"


def read(needed: bool = True) -> str:
    """The whole crontab, empty without one, with the blocks of those timers that it has none for.

    Bytes that are no UTF-8 come back as they were.

    Raises Refusal (kind server) where this user may not have a crontab, and where there is neither cron nor systemd and
    one is needed: without them there is no block of ours either.
    """
    table = _table()
    if table is None and needed and not timer.is_possible():
        said = "cron is not installed on this server, nor does systemd run there"
        raise Refusal(said, "install and start cron: the package cron (apt-get), or cronie (dnf, pacman)", "server")
    text = table or ""
    others = [block for root, block in timer.blocks().items() if not _marks(text, BEGIN, root)]
    if others and text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(others)


def stands(text: str) -> bool:
    """Whether that is the crontab, and no timer does what it does; where there is no crontab, whether the timers are.

    Raises Refusal as `read`.
    """
    table = _table()
    return timer.stands(text) if table is None else table == text and not timer.blocks()


def write(text: str) -> None:
    """Replace the crontab, and see that it is what it was to be. Raises Refusal with the old one still in place."""
    table = _table()
    if table is None:
        timer.write(text)
        return
    timers = "".join(timer.blocks().values())
    _replace(text)
    try:
        timer.write("")
    except Refusal:
        _replace(table)
        with contextlib.suppress(Refusal):
            timer.write(timers)
        raise
    if not stands(text):
        raise Refusal("the crontab is not what was written to it", "see crontab -l on the server", "server")


def _table() -> Optional[str]:
    """The crontab as it is, None where there is no such program. Raises Refusal where this user may have none."""
    ended = command.run(["crontab", "-l"], SECONDS, limit=LIMIT, errors="surrogateescape")
    if ended.status == MISSING:
        return None
    if (ended.ok and len(ended.out) < LIMIT) or (not ended.ok and "no crontab for" in ended.err):
        return ended.out if ended.ok else ""
    why = f"crontab -l says: {ended.complaint}" if not ended.ok else "the crontab is too long"
    raise Refusal(f"the crontab cannot be read: {why}", "see /etc/cron.allow and /etc/cron.deny", "server")


def _replace(text: str) -> None:
    """Give cron another crontab. Raises Refusal where it does not take it."""
    handle = os.memfd_create("crontab")  # what it holds is nobody else's to read, and needs no disk
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        os.lseek(handle, 0, os.SEEK_SET)
        ended = command.run(["crontab", "-"], SECONDS, stdin=handle)
    finally:
        os.close(handle)
    if not ended.ok:
        raise Refusal(f"cron does not take the crontab: {ended.complaint}", "see crontab -l on the server", "server")


def block(root: str, every: int, python: str, program: str) -> str:
    """Our lines for one root; `every` in seconds, a whole number of minutes that divides the hour."""
    minutes = every // 60
    when = "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *" if minutes > 1 else "* * * * *"
    return (
        f"{_mark(BEGIN, root)}: fab schedule.install wrote it, fab schedule.remove takes it away\n"
        f"{when} {python} -IS {program} </dev/null >/dev/null 2>&1\n"
        f"{_mark(END, root)}\n"
    )


def found(text: str, root: str) -> Optional[str]:
    """Our block for a root as it stands, None without one.

    Raises Refusal for one that is not whole, and for one that holds what we did not write.
    """
    span = _span(text, root)
    return None if span is None else text[span[0] : span[1]]


def with_block(text: str, root: str, wanted: str) -> str:
    """The crontab with our block in its place, or at its end; with an empty one, without it. Raises as `found`."""
    span = _span(text, root)
    if span is not None:
        return text[: span[0]] + wanted + text[span[1] :]
    if wanted and text and not text.endswith("\n"):
        text += "\n"
    return text + wanted


def starter(root: str) -> Tuple[Optional[bool], Optional[CheckTimer]]:
    """Whether the check for a root is started, None where that cannot be seen; and the timer, None where it is cron."""
    found = timer.of(root)
    return (is_running(), None) if found is None else (timer.is_active(found), found)


def is_running(processes: str = "/proc") -> Optional[bool]:
    """Whether a cron daemon runs, root's and in no container; None where this user cannot see others' processes."""
    if not os.path.exists(os.path.join(processes, "1", "comm")):
        return None
    return any(True for _ in named(DAEMONS, ROOT, processes))


def _span(text: str, root: str) -> Optional[Tuple[int, int]]:
    """Where our block begins and ends."""
    begins, ends = _marks(text, BEGIN, root), _marks(text, END, root)
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise Refusal(f"the block of gpu-runbook for {root} in the crontab is not whole; nothing was changed", BY_HAND)
    start = begins[0]
    line_end = text.find("\n", ends[0])
    end = len(text) if line_end < 0 else line_end + 1
    inner = text[start:end].splitlines()[1:-1]
    strange = [line for line in inner if not re.fullmatch(r"\S+ \S+ \S+ \S+ \S+ \S+ -IS \S+/check\.pyz <.*", line)]
    if strange or len(inner) != 1:
        what = f"a line that is not ours: {quoted(strange[0], 60)}" if strange else f"{len(inner)} lines of ours"
        raise Refusal(f"the block of gpu-runbook for {root} in the crontab has {what}; nothing was changed", BY_HAND)
    return start, end


def _marks(text: str, mark: str, root: str) -> List[int]:
    pattern = rf"^{re.escape(_mark(mark, root))}(?=[:\s]|$)"
    return [match.start() for match in re.finditer(pattern, text, re.MULTILINE)]


def _mark(mark: str, root: str) -> str:
    return f"{mark} {root}"
