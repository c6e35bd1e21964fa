"""What an earlier version left on a server, and that version itself: what every test of an upgrade starts from."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "0.1.0"
FOLDER = Path(__file__).with_name(VERSION)
SOURCE = FOLDER / "source.tar.gz"
ROOT = "azaion"  # of a scene: what stood below the root of the server
SETTLED, BEFORE, IN, AFTER = "settled", "cut-before-swap", "cut-in-swap", "cut-after-swap"
SCENES = (SETTLED, BEFORE, IN, AFTER)


@dataclass(frozen=True)
class Entry:
    """A file or directory as it stood below the root of the server. `mode`: as stat has it; `size` in bytes."""

    directory: bool
    mode: int
    uid: int
    gid: int
    size: int


def unpacked(folder: Path) -> Path:
    """Unpack that version's source into a folder, and give it: a Laptop with this `source` runs that version."""
    with tarfile.open(SOURCE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def scene(name: str) -> Path:
    """The folder of one of SCENES."""
    return FOLDER / name


def said(name: str, file: str) -> Any:
    """A JSON document beside a scene: scene, containers, status or history; README.md says what each is."""
    return json.loads((scene(name) / f"{file}.json").read_text())


def listing(name: str) -> dict[str, Entry]:
    """Everything below the root, by its path from there; what stands in a directory comes after it."""
    found = {}
    for path, facts in json.loads((scene(name) / "listing.json").read_text()).items():
        uid, _, gid = facts["owner"].partition(":")
        found[path] = Entry(facts["type"] == "directory", int(facts["mode"], 8), int(uid), int(gid), facts["size"])
    return found


def placed(name: str, root: Path) -> Path:
    """Lay out what stood below the server's root in a directory, with its modes; it all belongs to the current user.

    A file of zeros only, as the room that is kept aside, is kept here without them: it gets its size back.
    """
    for path, entry in listing(name).items():
        target = root / path
        if entry.directory:
            target.mkdir()
        else:
            target.write_bytes((scene(name) / ROOT / path).read_bytes().ljust(entry.size, b"\0"))
        target.chmod(entry.mode)
    return root
