"""Packs one call for a server: the bootstrap, the modules its verb and request need, and the request."""

from __future__ import annotations

import bz2
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import shlex
import sys
import zlib
from collections.abc import Callable, Iterable, Set
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import gpu_runbook

PACKAGE = gpu_runbook.__name__
FOLDER = Path(gpu_runbook.__file__).parent
SERVE = "server.rpc.server"  # the module that answers a call
TRAVELS = ("protocol", "common", "server")  # the parts of the package of which modules may be sent
# Reads as many bytes as the first line says, and runs the first text in them with the others: short, and without a
# character that any login shell would touch. What every program imports is imported while those bytes are still on
# their way; Python 3.5 has all of it.
LOADER = (
    "import sys,json,{packer},inspect,traceback,typing,socket,subprocess,threading;"
    "r=sys.stdin.buffer;p={packer}.decompress(r.read(int(r.readline()))).decode().split(chr(0));exec(p[0]);main(p[1:])"
)
TIGHT = 32_000  # bytes: a longer program is packed by bz2, which takes a tenth less and some milliseconds more
MARK = 32  # bytes before what is kept
ALL_ASKED: frozenset[str] = frozenset()  # nothing stays at home

_IMPORT = re.compile(
    rf"^[ \t]*(?:import[ \t]+{PACKAGE}\.(?P<module>[\w.]+)"
    rf"|from[ \t]+{PACKAGE}(?:\.(?P<package>[\w.]+))?[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*))",
    re.MULTILINE,
)


def packer(verb: str, unasked: Set[str] = ALL_ASKED) -> str:
    """The module that packs the program of a verb. A Python can be without bz2: zlib packs any of them as well."""
    return "zlib" if len(_compressed(verb, unasked, "zlib")) <= TIGHT else "bz2"


def command_line(python: str, sudo: bool, packer: str) -> str:
    """The command that starts a call; every common login shell reads it alike. The rest is on standard input."""
    return f"{'sudo -n ' if sudo else ''}{shlex.quote(python)} -IS -c '{loader(packer)}'"


def loader(packer: str) -> str:
    """What the server's Python is told on its command line."""
    return LOADER.format(packer=packer)


def pack(verb: str, request: dict[str, Any], packer: str, unasked: Set[str] = ALL_ASKED) -> bytes:
    """Everything a call writes to standard input. It may hold secrets, so it goes nowhere else.

    `unasked`: modules that stay at home, as `optional.unasked` gives them.
    """
    asked = json.dumps({"verb": verb, "request": request}).encode()
    blocks = (_compressed(verb, unasked, packer), zlib.compress(asked, 9))
    return b"".join(b"%d\n%b" % (len(block), block) for block in blocks)


@functools.lru_cache
def program(verb: str, unasked: Set[str] = ALL_ASKED) -> dict[str, str]:
    """The source of every module that a call of the verb can come to, by module name, and nothing that it cannot."""
    from gpu_runbook.laptop.rpc.minify import minified  # only where something has to be made

    modules = [SERVE, f"server.verbs.{verb}"]
    whole = _gathered(modules, _source, unasked)
    roots = [(f"{PACKAGE}.{SERVE}", "serve"), (f"{PACKAGE}.server.verbs.{verb}", "answer")]
    short = minified(whole, roots)
    return _gathered(modules, lambda name: short[f"{PACKAGE}.{name}"], unasked)


def sources(*wanted: str) -> dict[str, str]:
    """The modules of the package so named and all that they can come to import, as they stand in their files.

    A package has nothing but its docstring, and stays at home: `tests.rooms` holds it to that.
    """
    return _gathered(wanted, _source)


def _gathered(wanted: Iterable[str], source: Callable[[str], str], unasked: Set[str] = ALL_ASKED) -> dict[str, str]:
    found: dict[str, str] = {}
    names = [part for name in wanted for part in _with_packages(name)]
    while names:
        name = names.pop()
        if _file(FOLDER, name) and f"{PACKAGE}.{name}" not in found and name not in unasked:
            found[f"{PACKAGE}.{name}"] = text = source(name)
            names.extend(imported(text))
    return {PACKAGE: "", **dict(sorted(found.items()))}


def _source(name: str) -> str:
    file = _file(FOLDER, name)
    return file.read_text("utf-8") if file and file.name != "__init__.py" else ""


def _with_packages(name: str) -> set[str]:
    """A module, and the packages that it is in."""
    parts = name.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}


@functools.cache
def _file(folder: Path, name: str) -> Path | None:
    """The file of a module of the package; None where there is none of that name."""
    path = folder / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file if file.exists() else None


def size(verb: str, unasked: Set[str] = ALL_ASKED) -> int:
    """Bytes of the program that travels with a call of the verb."""
    return len(_compressed(verb, unasked, packer(verb, unasked)))


@functools.lru_cache
def _compressed(verb: str, unasked: Set[str], packer: str) -> bytes:
    without = f"-{hashlib.sha256(repr(sorted(unasked)).encode()).hexdigest()[:8]}" if unasked else ""
    return _kept(f"{verb}{without}.{packer}", lambda: _packed(_bootstrap(), program(verb, unasked), packer))


def _bootstrap() -> str:
    from gpu_runbook.laptop.rpc.minify import with_short_names, without_prose

    return with_short_names(without_prose(_source("server.rpc.bootstrap")))


def _kept(name: str, make: Callable[[], bytes]) -> bytes:
    """What was made of the files of the package: once, until one of them or what makes it is another.

    It stands where Python keeps what it compiled of them, and is trusted as that and they are.
    """
    place = Path(importlib.util.cache_from_source(str(FOLDER / f"{name}.py"))).with_suffix(".packed")
    with contextlib.suppress(OSError):
        found = place.read_bytes()
        made = found[MARK:]
        if found[:MARK] == _mark(made):
            return made
    made = make()
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):
            _write(place, _mark(made) + made)
    return made


def _mark(made: bytes) -> bytes:
    """A digest of what was made, and of all that it was made of."""
    return hashlib.sha256(_states(FOLDER) + made).digest()


@functools.lru_cache
def _states(folder: Path) -> bytes:
    """What changes whenever anything is another that makes what is sent, or of which it is made."""
    files = [file for room in TRAVELS for file in (folder / room).rglob("*.py")]
    files += [*Path(__file__).parent.glob("*.py")]
    found = [(str(file), file.stat()) for file in sorted(files)]
    states = [(name, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for name, one in found]
    return repr((sys.version, zlib.ZLIB_RUNTIME_VERSION, states)).encode()


def _write(place: Path, content: bytes) -> None:
    """The whole file or none of it. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f"{place.name}.{os.urandom(8).hex()}")
    try:
        beside.write_bytes(content)
        beside.replace(place)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _packed(bootstrap: str, modules: dict[str, str], packer: str) -> bytes:
    """The bootstrap, then name and source of each module.

    Modules of one layer side by side, as they have most in common, and in blocks of the length that suits best.
    """
    uses = {name: sorted(f"{PACKAGE}.{used}" for used in imported(text)) for name, text in modules.items()}
    names = [name for name in TopologicalSorter(uses).static_order() if modules.get(name)]
    texts = [text for name in names for text in (name, modules[name])]
    whole = "\0".join([bootstrap, *texts]).encode()
    if packer == "bz2":
        return bz2.compress(whole, 9)
    packers = [zlib.compressobj(9, memLevel=level) for level in (7, 8, 9)]
    return min((one.compress(whole) + one.flush() for one in packers), key=len)


def imported(source: str) -> set[str]:
    """The modules of the package named in import lines, wherever they stand; a lazy import inside a function counts.

    Named without the package's own name; with a module come the packages that it is in.
    """
    found: set[str] = set()
    for match in _IMPORT.finditer(source):
        base = match["module"] or match["package"] or ""
        listed = re.sub(r"#[^\n]*|[()]", "", match["names"] or "").split(",")
        names = [f"{base}.{name.split()[0]}".lstrip(".") for name in listed if name.strip()]
        for name in (base, *names):
            found |= _with_packages(name)
    return {name for name in found if name and _file(FOLDER, name)}
