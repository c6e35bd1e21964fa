"""The root file system of the images: the Python that runs this, busybox, and the shared libraries they need."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path

from sandbox.packages import SYSTEM_PATH

SOURCES = Path(__file__).with_name("image")
# Of the standard library: what no consumer needs, and half of its size.
LEFT_OUT = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "dist-packages"),
    *("config-*", "_test*", "_tkinter*", "_xxtest*", "pydoc_data", "*.opt-?.pyc", "*.a"),
)


def pack(archive: Path, libraries: Path) -> None:
    """Write the root file system as a tar: everything of Python at the place where it is on this machine."""
    interpreter, stdlib = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    extensions = [path for path in stdlib.rglob("*.so") if not any(map(_is_left_out, path.relative_to(stdlib).parts))]
    busybox = Path(shutil.which("busybox", path=SYSTEM_PATH) or "/bin/busybox").resolve()
    with tarfile.open(archive, "w") as tar:
        for directory in ("tmp", "azaion"):
            _add_directory(tar, directory)
        tar.add(interpreter, _inside(interpreter), filter=_plain)
        _add_link(tar, "usr/local/bin/python3", str(interpreter))
        tar.add(stdlib, _inside(stdlib), filter=_plain)
        tar.add(libraries, "app/libraries", filter=_plain)
        for source in sorted(SOURCES.glob("*.py")):
            tar.add(source, f"app/{source.name}", filter=_plain)
        tar.add(busybox, "bin/busybox", filter=_plain)
        for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                _add_link(tar, f"bin/{applet}", "/bin/busybox")
        for library in _shared_libraries([interpreter, busybox, *extensions, *libraries.rglob("*.so")]):
            tar.add(library.resolve(), _inside(library), filter=_plain)


def _shared_libraries(binaries: Iterable[Path]) -> list[Path]:
    """Every library that the binaries load, and the loader, at the places where the loader will look."""
    answer = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", answer, re.MULTILINE)
    return sorted({Path(name) for name in found})


def _is_left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)


def _inside(path: Path) -> str:
    return str(path).lstrip("/")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Owned by root and readable by all, whoever owns it here; None for what is left out."""
    if _is_left_out(Path(member.name).name):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode |= 0o755 if member.isdir() else 0o444
    return member


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    tar.addfile(link)


def _add_directory(tar: tarfile.TarFile, name: str) -> None:
    directory = tarfile.TarInfo(name)
    directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
    tar.addfile(directory)
