"""Brings the file of variables that stands on a server to the laptop; what that changes is told in names alone."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inputs.dotenv import NAME, Env, parsed
from gpu_runbook.laptop.inputs.secret import DOTS
from gpu_runbook.laptop.inventory import fields
from gpu_runbook.laptop.inventory.model import Host, Inventory
from gpu_runbook.laptop.inventory.problems import bad_input
from gpu_runbook.laptop.inventory.text_file import LIMIT, decoded
from gpu_runbook.laptop.rpc import server_env
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.values import dataclass, field

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import EnvImportAnswer

SOURCE = "fab env.import --from /etc/azaion/.env, or env: {server: /etc/azaion/.env} in hosts.yaml"


@dataclass(frozen=True)
class ImportWish:
    """`source`: the file on the server; `target`: the one here, `old` its bytes, None where there is none."""

    source: str
    target: Path
    old: bytes | None = field(repr=False)
    known: Env
    counts_there: bool  # whether hosts.yaml has the server's own for its source
    yes: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class NameDifference:
    """What the file here would gain, change and lose by being as the one on the server, in names."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    same: tuple[str, ...]


def wish(
    inventory: Inventory, hosts: Sequence[Host], source: str | None, out: str | None, yes: bool, dry_run: bool
) -> ImportWish:
    """Raises BadInput for a server, a file on it or a file here that will not do; nothing is contacted."""
    if len(hosts) != 1:
        names = ", ".join(host.name for host in hosts)
        raise BadInput("env.import brings the file of one server", f"say which with --hosts: {names}")
    (host,) = hosts
    path = source or host.env.server
    if not path:
        raise BadInput(f"{inventory.path} names no file of variables on {host.name}", SOURCE)
    try:
        fields.absolute(path)
    except ValueError as error:
        raise BadInput(f"--from {path}: {error}") from None
    target = Path(out) if out else host.env.file or inventory.path.parent / ".env"
    old = _content(target)
    return ImportWish(path, target, old, _known(target, old), bool(host.env.server), yes, dry_run)


def brought(session: Session, asked: ImportWish, screen: Screen) -> EnvImportAnswer:
    """The result is what --json prints. Raises Refused, with nothing written, where values here would be lost unsaid.

    Raises what `server_env.content` raises, and BadInput for a file there, or here, that will not do.
    """
    server, target = session.host.name, asked.target
    data = server_env.content(session, asked.source)
    theirs = _read(data, f"{server}:{asked.source}")
    found = difference(asked.known, theirs)
    screen.say(f"{theirs.source}, to be {target}", "bold")
    for what, names, style in (
        ("new", found.added, "yellow"),
        ("other values", found.changed, "yellow"),
        (f"in {target} alone", found.removed, "yellow"),
        ("the same", found.same, ""),
    ):
        if names:
            screen.say(f"  {what}: {', '.join(names)}", style)
    for warning in theirs.warnings:
        screen.say(f"warning: {warning}", "yellow")
    result: EnvImportAnswer = {
        "server": server,
        "outcome": "up-to-date",
        "source": asked.source,
        "file": str(target),
        "added": list(found.added),
        "changed": list(found.changed),
        "removed": list(found.removed),
        "same": list(found.same),
        "kept": "",
    }
    if not (found.added or found.changed or found.removed):
        screen.say(f"{target} has the same variables, nothing was written", "green")
        return result
    if asked.dry_run:
        screen.say(f"{target} would be written; nothing was changed", "green")
        return {**result, "outcome": "dry-run"}
    lost = [f"the values of {', '.join(found.changed)}"] if found.changed else []
    lost += [f"what it has alone ({', '.join(found.removed)})"] if found.removed else []
    if lost and not asked.yes:
        sentence = f"{server}: {target} would lose {' and '.join(lost)}; nothing was changed"
        raise Refused(sentence, "fab env.import --yes writes it, and keeps the old file beside it")
    kept = _written(asked, data)
    screen.say(f"{target} was written{f', and {kept} is the one before' if kept else ''}", "green")
    if asked.counts_there:
        screen.say(
            f"  hosts.yaml goes on reading the server's own; env: {{file: {target}}} makes this one count", "dim"
        )
    return {**result, "outcome": "done", "kept": kept}


def difference(here: Env, there: Env) -> NameDifference:
    """A name that may be the rest of a value that was broken over two lines is covered."""
    both = [name for name in there.values if name in here.values]
    return NameDifference(
        _told(name for name in there.values if name not in here.values),
        _told(name for name in both if there.values[name] != here.values[name]),
        _told(name for name in here.values if name not in there.values),
        _told(name for name in both if there.values[name] == here.values[name]),
    )


def _told(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name if NAME.fullmatch(name) else DOTS for name in names)


def _content(path: Path) -> bytes | None:
    """What a file here holds. Raises BadInput for what is in its place and would be neither replaced nor kept."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            raise BadInput(f"{path} is a link", "say the file that it leads to with --out")
        if not stat.S_ISREG(mode):
            raise BadInput(f"{path} is no regular file", "say another one with --out")
        with path.open("rb") as file:
            return file.read(LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", "check its permissions") from None


def _known(path: Path, old: bytes | None) -> Env:
    """Its variables. Raises BadInput for lines that cannot be read: what they hold could not be named."""
    if not (old or b"").strip():
        return Env(str(path), {})
    env, problems = parsed(decoded(old or b"", str(path), "Move it away."), str(path), path.name)
    if problems:
        raise bad_input(str(path), problems, "Correct these lines, or move the file away.")
    return env


def _read(data: bytes, source: str) -> Env:
    env, problems = parsed(decoded(data, source, server_env.MISSING), source, source)
    if problems:
        raise bad_input(source, problems, "Correct these lines on the server.", contacted=True)
    return env


def _written(asked: ImportWish, data: bytes) -> str:
    """Put the bytes in the place of the file here; where the one before is kept, empty for none.

    Raises BadInput where that cannot be, and Refused where somebody has changed the file meanwhile.
    """
    target, kept = asked.target, ""
    try:
        draft = _new(target, data)
        try:
            if _content(target) != asked.old:
                raise Refused(f"{target} was changed meanwhile; nothing was written", "run it again")
            if asked.old is not None:
                kept = str(_new(target, asked.old, time.strftime(".before-%Y%m%d-%H%M%S", time.gmtime())))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        if kept:
            Path(kept).unlink(missing_ok=True)
        raise BadInput(f"{target} cannot be written: {error.strerror}", "say another file with --out") from error
    return kept


def _new(path: Path, data: bytes, ending: str = ".new") -> Path:
    """A file beside another, under a name that no file has, for nobody else to read."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}{ending}-", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path.with_name(Path(name).name)  # as it was named, and not from the top
