"""A consumer that reads nothing: it plays one trick on one name below its mounts, over and over, until it is killed.

Runs in a container, as `python3 -c SOURCE TRICK TARGET CANARY SEED`; the trick begins when there is a file `.begin`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

EXCHANGE = 2  # of renameat2
HERE = -100
ROOT = Path("/azaion")
OFFSETS = (
    *(b"offset: 7\n", b"offset: 99999999999999999999999\n", b"offset: -1\n", b"\xff\xfe\0", b"a" * 1_000_000, b""),
    *(b"offset: 3\n\x1b[2J\x1b[H", b"offset: {{ 7 * 7 }}\n", b"offset: !!python/object:os.system [x]\n", b"[" * 10_000),
)
ROW = "ok        annotation-queue CI  all 9 results are green"
NAMES = (
    *(
        f"a\n{ROW}",
        f"a\r\n{ROW}",
        f"\x1b[2J{ROW}",
        f"\u2028{ROW}",
        "$(touch ran)",
        "`touch ran`",
        "-rf",
        "--force",
        "a b",
    ),
    *(" ", "'; docker run --privileged evil", "x" * 255, "2026-05-01\n", "\u202e2026-05-02", "{{ 7 * 7 }}", "%n%s"),
)
LINES = (
    *(
        ROW,
        f"\r{ROW}",
        f"\x1b[1A\x1b[2K{ROW}",
        '\x1e{"answer": {"outcome": "done"}}',
        "\x1b]0;owned\x07",
        "x" * 100_000,
    ),
    *("gpu-1: release 20260420-101112-abcd is in force and proven", "\u202e\u2066evil", "[red]evil[/red]"),
)

draw = random.Random()  # noqa: S311  tricks, not secrets


def exchanged(made: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """The file and something else change places all the time, each moment in one step."""
    libc = ctypes.CDLL(None)

    def play(target: Path, canary: Path) -> None:
        side = target.with_name(".side")
        if not os.path.lexists(side):
            made(side, canary)
        for _ in range(200):
            libc.renameat2(HERE, os.fsencode(side), HERE, os.fsencode(target), EXCHANGE)
            time.sleep(0.0005)

    return play


def put(made: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """Something else stands in the place of the file, whatever anybody puts there."""

    def play(target: Path, canary: Path) -> None:
        aside, new = target.with_name(".aside"), target.with_name(".new")
        if not os.path.lexists(new):
            made(new, canary)
        if target.is_dir() and not target.is_symlink() and os.path.lexists(aside):
            time.sleep(0.01)
            return
        with contextlib.suppress(FileNotFoundError):
            target.rename(aside)
        new.rename(target)
        time.sleep(0.005)

    return play


def link(path: Path, canary: Path) -> None:
    path.symlink_to(canary)


def relative_link(path: Path, canary: Path) -> None:
    path.symlink_to(os.path.relpath(canary, path.parent))


def loop(path: Path, canary: Path) -> None:
    path.symlink_to(path.name)


def endless(path: Path, canary: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path, canary: Path) -> None:
    os.mkfifo(path)


def listening(path: Path, canary: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def folder(path: Path, canary: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


def terabyte(path: Path, canary: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def hard_links(target: Path, canary: Path) -> None:
    other = target.with_name(f".other-{draw.randrange(20)}")
    with contextlib.suppress(FileExistsError):
        os.link(target, other)
    time.sleep(0.002)


def gone(target: Path, canary: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        target.rename(target.with_name(".aside"))
    time.sleep(0.002)


def changing(target: Path, canary: Path) -> None:
    """Other content at every read, written over and renamed into place."""
    new = draw.choice(OFFSETS)
    path = draw.choice((target, target.with_name(".new")))
    path.write_bytes(new)
    path.rename(target)
    time.sleep(0.0005)


def names(target: Path, canary: Path) -> None:
    below = draw.choice((target.parent, ROOT / "models", ROOT / "logs", ROOT))
    with contextlib.suppress(FileExistsError):
        draw.choice((Path.mkdir, Path.touch))(below / draw.choice(NAMES))
    time.sleep(0.002)


def lines(target: Path, canary: Path) -> None:
    print(draw.choice(LINES), end=draw.choice(("\n", "\r", "\n\n")), flush=True)
    time.sleep(0.01)


TRICKS: dict[str, Callable[[Path, Path], None]] = {
    "exchanged with a link": exchanged(link),
    "exchanged with a pipe": exchanged(pipe),
    "exchanged with a folder": exchanged(folder),
    "exchanged with a terabyte": exchanged(terabyte),
    "a link in its place": put(link),
    "a relative link in its place": put(relative_link),
    "a loop of links in its place": put(loop),
    "a device in its place": put(endless),
    "a pipe in its place": put(pipe),
    "a socket in its place": put(listening),
    "a folder in its place": put(folder),
    "a terabyte in its place": put(terabyte),
    "hard links to it": hard_links,
    "gone whenever it is there": gone,
    "other content at every read": changing,
    "names that are lines": names,
    "lines that are rows": lines,
}


def main(trick: str, target: str, canary: str, seed: str) -> None:
    draw.seed(seed)
    signal.signal(signal.SIGTERM, lambda *given: sys.exit())
    offset = ROOT / "offset.yaml"
    if not offset.exists():
        offset.write_text("offset: 0\n")
    while not (ROOT / ".begin").exists():
        time.sleep(0.05)
    begun = False
    while True:
        try:
            TRICKS[trick](Path(target), Path(canary))
        except OSError:  # somebody has mended it in the very middle
            time.sleep(0.002)
        if not begun:
            begun = True
            (ROOT / ".begun").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
