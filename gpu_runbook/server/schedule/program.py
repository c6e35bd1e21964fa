"""The check as one file that Python runs by itself: an archive of the very modules that travel with every call."""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from typing import Dict

MAIN = """\
import importlib
import sys

importlib.import_module("gpu_runbook.server.schedule.main").main(sys.argv)
"""
EPOCH = (1980, 1, 1, 0, 0, 0)
HEAD = 16  # bytes of a compiled module before its code: which Python made it, and of which source


def archive(sources: Dict[str, str]) -> bytes:
    """The file, from the source of each module by its name.

    Beside each source lies what this Python makes of it, so that a round need not compile it: that would be most of its
    work. Another Python, as after an upgrade of the server, takes the source.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, source in [*sorted(sources.items()), ("__main__", MAIN)]:
            is_package = any(other.startswith(name + ".") for other in sources)
            path = name.replace(".", "/") + ("/__init__" if is_package else "")
            file.writestr(zipfile.ZipInfo(path + ".py", EPOCH), source, zipfile.ZIP_DEFLATED)
            file.writestr(zipfile.ZipInfo(path + ".pyc", EPOCH), _compiled(path + ".py", source), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def is_same(one: bytes, other: bytes) -> bool:
    """Whether both are whole, and made of the same sources by the same Python.

    Not byte for byte: as Python writes code, it also shows which words that process had met before.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(one)) as first, zipfile.ZipFile(io.BytesIO(other)) as second:
            names = first.namelist()
            return names == second.namelist() and all(_is_alike(n, first.read(n), second.read(n)) for n in names)
    except Exception:  # the bytes may be anything, and each kind of damage has an exception of its own
        return False


def _is_alike(name: str, one: bytes, other: bytes) -> bool:
    if one == other or one[:HEAD] != other[:HEAD] or not name.endswith(".pyc"):
        return one == other
    return bool(marshal.loads(one[HEAD:]) == marshal.loads(other[HEAD:]))  # noqa: S302  only compared


def _compiled(path: str, source: str) -> bytes:
    """As Python keeps it: its magic number, a mark that the source need not be compared, its hash, the code."""
    code = compile(source, path, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source.encode())
    return head + marshal.dumps(code)
