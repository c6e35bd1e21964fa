"""Remembers what a hosts.yaml that was in order said, so that the next command need not check it again.

Checking costs a tenth of a second, most of it for bringing in pydantic. What is remembered is JSON in a folder of the
user's own. It holds for this very text, this version of the tool and this home directory only; whatever is wrong with
it or with the folder, the file is read and checked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gpu_runbook.laptop.inventory.strict import Strict

LIMIT = 1 << 20  # bytes
_DIGEST = 64  # hexadecimal digits


def fingerprint(path: Path) -> str:
    """A hosts.yaml, and what else its meaning depends on beside our own code; empty for one that cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT + 1)
    except OSError:
        return ""
    if len(text) > LIMIT:  # it may have no end
        return ""
    about = sys.version, path.absolute(), path, Path.home(), hashlib.sha256(text).digest()
    return hashlib.sha256(repr(about).encode()).hexdigest()


def recall(path: Path, mark: str) -> Any:
    """The Inventory that was kept under this fingerprint, None without one."""
    if not mark:
        return None
    try:
        with _folder() as folder:
            handle = os.open(_name(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                _refuse_what_others_reach(handle)
                digest, text = file.read(_DIGEST), file.read(LIMIT)
        if digest != _digest(mark, text):
            return None
        sources, inventory = json.loads(text)
        if any(_written(file) != state for file, state in dict(sources).items()):
            return None
        kinds = _kinds()
        found = _value(inventory, kinds)
        return found if isinstance(found, kinds["Inventory"]) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # not as we wrote it, which is no loss
        return None


def keep(path: Path, mark: str, inventory: Strict) -> None:
    """Keep it for the next command. Where nothing can be kept, nothing is."""
    name = _name(path)
    beside = f"{name}.{os.urandom(8).hex()}"
    with suppress(OSError), _folder(make=True) as folder:
        text = json.dumps([_sources(), _plain(inventory)], separators=(",", ":")).encode()
        if len(text) > LIMIT:
            return
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(mark, text) + text)
            os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(beside, dir_fd=folder)


def _sources() -> dict[str, list[int]]:
    """The modules of ours that are loaded, and so all that have checked it, each as `_written` has it."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "gpu_runbook"]
    return {file: _written(file) for file in (module.__file__ for module in ours) if file}


def _written(file: str) -> list[int]:
    """What changes of a file whenever somebody writes to it, or puts another in its place. Raises OSError."""
    state = Path(file).stat()
    return [state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]


@contextmanager
def _folder(make: bool = False) -> Iterator[int]:
    """The folder as a descriptor. Raises OSError where there is none, and for a link or what others may come by."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-runbook"
    if make:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_what_others_reach(handle)
        yield handle
    finally:
        os.close(handle)


def _refuse_what_others_reach(handle: int) -> None:
    state = os.fstat(handle)
    if state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise PermissionError


def _name(path: Path) -> str:
    """One file for each hosts.yaml."""
    return f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]}.inventory"


def _digest(mark: str, text: bytes) -> bytes:
    return hashlib.sha256(mark.encode() + text).hexdigest().encode()


def _kinds(kind: type[Strict] = Strict) -> dict[str, type[Strict]]:
    """Every class of entry by its name."""
    found = {kind.__name__: kind}
    for inner in kind.__subclasses__():
        found |= _kinds(inner)
    return found


def _plain(value: Any) -> Any:
    """As JSON: what JSON has no form for is a list of its kind and its content."""
    match value:
        case Strict():
            entries = {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}  # type: ignore[arg-type]
            return [type(value).__name__, entries]
        case tuple() | list():
            return [type(value).__name__, [_plain(item) for item in value]]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case Path():
            return ["Path", str(value)]
    return value


def _value(plain: Any, kinds: dict[str, type[Strict]]) -> Any:
    """What `_plain` made this of. Raises ValueError, KeyError or TypeError for what it cannot have made."""
    match plain:
        case ["tuple", [*items]]:
            return tuple(_value(item, kinds) for item in items)
        case ["list", [*items]]:
            return [_value(item, kinds) for item in items]
        case ["Path", str(path)]:
            return Path(path)
        case [str(name), dict(entries)]:
            return kinds[name](**{key: _value(item, kinds) for key, item in entries.items()})
        case list():
            raise ValueError("a list of no kind")
        case dict():
            return {key: _value(item, kinds) for key, item in plain.items()}
    return plain
