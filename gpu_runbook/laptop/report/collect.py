"""Asks a server for what its page is drawn from: how it is now, what its rounds saw, and its runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from gpu_runbook.common import clock
from gpu_runbook.laptop.commands import health
from gpu_runbook.laptop.errors import BadInput, RunbookError
from gpu_runbook.laptop.report.values import ServerReport
from gpu_runbook.laptop.schedule import client
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.health import Request

MOST_RUNS = 200  # all that a server keeps


def of_server(session: Session, place: tuple[str, str], questions: Callable[[], Request], since: int) -> ServerReport:
    """Two questions over one connection; `since` in seconds. To know the first may take one before, of its variables.
    One that gives no answer is a report that says so."""
    server, at, checks = session.host.name, clock.now(), tuple[Check, ...]()
    try:
        found = health.of_server(session, questions())
        at, checks = found.at, found.checks
        seen = client.seen(session, place, since, MOST_RUNS)
    except RunbookError as error:
        return ServerReport(server, at, checks, (), (), 0, since, 0, f"{error.message}. {error.hint}")
    return ServerReport(server, seen.at, checks, seen.rounds, seen.runs, seen.every, since, seen.damaged)


def write(path: Path, servers: Sequence[ServerReport]) -> None:
    """Write the page to a new file and put it in its place, whole for whoever has the old one open.

    Raises BadInput where that cannot be, and for a place that holds anything but a file.
    """
    from gpu_runbook.laptop.report.page import page

    made_at = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    text = page(servers, made_at).encode()
    beside = f".report.{os.urandom(8).hex()}"
    try:
        with _folder_of(path) as folder:
            # A name of its own: in a folder that others write to, what has it already may be a link of theirs.
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(text)
                _refuse_what_is_no_file(path, folder)
                os.replace(beside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:  # Ctrl-C too: half a report stays nowhere, and it is raised again
                os.unlink(beside, dir_fd=folder)
                raise
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}", "say another file with --out") from error


def writable(path: Path) -> None:
    """Raises BadInput before anything is asked for a file that cannot be."""
    hint = "--out names a file in a folder that is there"
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"{path} cannot be written", hint)
    try:
        with _folder_of(path) as folder:
            _refuse_what_is_no_file(path, folder)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}", hint) from error


@contextmanager
def _folder_of(path: Path) -> Iterator[int]:
    """The folder that a file is in, held open: what is looked at there and what is written there is in the same one."""
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _refuse_what_is_no_file(path: Path, folder: int) -> None:
    """Neither followed nor replaced: a link leads elsewhere, and in the place of a pipe or a device nothing reads."""
    try:
        mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise BadInput(f"{path} is a link", "say the file that it leads to with --out, or remove it")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path} is no regular file", "say another file with --out")
