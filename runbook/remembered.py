"""Remembers what a hosts.yaml that was in order said, so that the next command need not check it again.

Checking costs a tenth of a second, most of it for bringing in pydantic. What is remembered holds for this very text,
this version of the tool and this home directory only; whatever is wrong with it, the file is read and checked.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

LIMIT = 1 << 20  # bytes
_CHECKED_BY = (
    "entries.py",
    "fields.py",
    "hostsfile.py",
    "inventory.py",
    "yamlfile.py",
    "gates/entries.py",
    "schedule/entries.py",
)


def fingerprint(path: Path) -> bytes:
    """What decides what a hosts.yaml means; empty for a file that cannot be read."""
    here = Path(__file__).parent
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT + 1)
        texts = [text, *((here / name).read_bytes() for name in _CHECKED_BY)]
    except OSError:
        return b""
    if len(text) > LIMIT:  # it may have no end
        return b""
    about = f"{sys.version} {path.absolute()} {path} {Path.home()}"
    return hashlib.sha256(b"\0".join(hashlib.sha256(text).digest() for text in texts) + about.encode()).digest()


def recall(path: Path, mark: bytes) -> Any:
    """The Inventory that was kept under this fingerprint, None without one."""
    try:
        with _file(path).open("rb") as file:
            state = os.fstat(file.fileno())
            # What anybody else could have written is not read: unpickling is as good as running it.
            if state.st_uid != os.geteuid() or state.st_mode & 0o022 or state.st_size > LIMIT:
                return None
            return pickle.load(file) if mark and file.read(len(mark)) == mark else None  # noqa: S301
    except Exception:  # a pickle that is cut short or of another version can raise anything, and is no loss
        return None


def keep(path: Path, mark: bytes, inventory: Any) -> None:
    """Keep it for the next command. Where nothing can be kept, nothing is."""
    file = _file(path)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as beside:
            beside.write(mark + pickle.dumps(inventory))
        Path(beside.name).replace(file)
    except OSError:
        return


def _file(path: Path) -> Path:
    """One file for each hosts.yaml, in the user's own cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gpu-runbook" / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]}.inventory"
