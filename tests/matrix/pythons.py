"""Interpreters that are found on this machine, by their first two numbers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NOT_COPIED = ("test", "tests", "idlelib", "tkinter", "ensurepip", "site-packages", "__pycache__", "config-*", "*.a")
_ASKED = "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix)"


def found(version: str) -> Path | None:
    """An interpreter that answers as one of this version, None where there is none."""
    return next((path for path in _candidates(version) if _said(path).split()[:1] == [version]), None)


def found_tree(version: str) -> Path | None:
    """The folder of one that can be copied as a whole: its own prefix, outside of /usr."""
    trees = (path.parents[1] for path in _candidates(version) if not path.is_relative_to("/usr"))
    return next((tree for tree in trees if _said(tree / f"bin/python{version}") == f"{version} {tree}"), None)


def copy_tree(tree: Path, target: Path) -> None:
    """What of it runs a program: no tests, no packages."""
    shutil.copytree(tree, target, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        yield Path(sys.base_prefix) / "bin" / name
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from (tree / "bin" / name for tree in sorted(versions.glob(f"{version}.*"), reverse=True))
    yield from (Path(folder) / name for folder in ("/usr/local/bin", "/usr/bin"))


def _said(python: Path) -> str:
    try:
        answer = subprocess.run([python, "-IS", "-c", _ASKED], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()
