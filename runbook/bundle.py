"""Packs one call for a server: the bootstrap, the modules its verb needs, and the request."""

from __future__ import annotations

import functools
import json
import re
import shlex
import zlib
from collections.abc import Callable, Iterable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import remote

FOLDER = Path(remote.__file__).parent
# exec of as many bytes as the first line says: short, and without a character that any login shell would touch. What
# every program imports is imported while those bytes are still on their way; Python 3.5 has all of it.
LOADER = (
    "import sys,json,zlib,inspect,traceback,typing,socket,subprocess,threading;"
    "r=sys.stdin.buffer;exec(zlib.decompress(r.read(int(r.readline()))))"
)

_IMPORT = re.compile(
    r"^[ \t]*(?:import[ \t]+remote\.(?P<module>[\w.]+)"
    r"|from[ \t]+remote(?:\.(?P<package>[\w.]+))?[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*))",
    re.MULTILINE,
)
_DOCSTRING = re.compile(r'''^(?P<indent>[ \t]*)"""(?:[^"]|"(?!""))*"""$''', re.MULTILINE)
_INDENT = re.compile(r"^(?:    )+", re.MULTILINE)
# One with a quote in it stays: the quote may be the end of a text that only looks like a comment.
_INNER = r"(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*"  # between brackets, three deep
_TYPE = rf"[\w.]+(?:\[{_INNER}\])?"
_SIGNATURE = re.compile(r"^ *def \w+\((?:[^()]|\([^()]*\))*\)[^()\n]*:$", re.MULTILINE)
_ARGUMENT = re.compile(rf"(?<=[(\s])(\**\w+): {_TYPE}(?=[,)\n]| = )")
_RESULT = re.compile(rf"\) -> {_TYPE}:$", re.MULTILINE)
_BLOCK = re.compile(r"^(?=class |def )", re.MULTILINE)
_LOCAL = re.compile(rf"^(?P<where> +(?:self\.)?\w+): {_TYPE} = ", re.MULTILINE)
_FROM = re.compile(r"^(?P<from>from [\w.]+ import )(?P<names>\([^)]*\)|[^\n(]*)$", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TEXT = re.compile(r"""([rbf]{0,2}(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))""", re.IGNORECASE)
_SPACED = re.compile(r"(?:(?<=\S)|\A) ?([-+*/%|&=!<>]?=|->|[-+*/%<>,:|&]) (?=\S|\Z)")  # an operator between blanks
_COMMENT = re.compile(
    r"""[ \t]+# [^\n"']*$|^[ \t]*#[^\n]*$|(?<=\n)(?P<code>[^\n"'#]*[^\n"'# ]) +# [^\n]*$""", re.MULTILINE
)


def command_line(python: str, sudo: bool) -> str:
    """The command that starts a call; every common login shell reads it alike. The rest is on standard input."""
    return f"{'sudo -n ' if sudo else ''}{shlex.quote(python)} -IS -c '{LOADER}'"


def pack(verb: str, request: dict[str, Any]) -> bytes:
    """Everything a call writes to standard input. It may hold secrets, so it goes nowhere else."""
    asked = json.dumps({"verb": verb, "request": request}).encode()
    blocks = (_bootstrap(), _compressed(verb), zlib.compress(asked, 9))
    return b"".join(b"%d\n%b" % (len(block), block) for block in blocks)


def program(verb: str) -> dict[str, str]:
    """The source of every module that the verb can come to import, by module name; none for the sake of a type."""
    return _gathered(("wire", verb), without_prose)


def sources(*wanted: str) -> dict[str, str]:
    """The modules of `remote` so named and all that they can come to import, as they stand in their files."""
    return _gathered(wanted, lambda source: source)


def _gathered(wanted: Iterable[str], changed: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    names = [part for name in wanted for part in _with_packages(name)]
    while names:
        name = names.pop()
        file = _file(FOLDER, name)
        if file and f"remote.{name}" not in found:
            found[f"remote.{name}"] = changed(file.read_text())
            names.extend(imported(found[f"remote.{name}"]))
    return {"remote": "", **dict(sorted(found.items()))}


def _with_packages(name: str) -> set[str]:
    """A module, and the packages that it is in."""
    parts = name.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}


@functools.cache
def without_prose(source: str) -> str:
    """Without docstrings, comments, the types of functions and what was imported for these: nearly half less to send.

    Indented by one; every line keeps its number, so that a traceback still tells the truth. The fields of values keep
    their types, since `remote.codec` reads them.
    """
    source = _INDENT.sub(
        lambda match: " " * (len(match[0]) // 4), _COMMENT.sub(lambda match: match["code"] or "", source)
    )
    source = _RESULT.sub("):", _SIGNATURE.sub(lambda match: _ARGUMENT.sub(r"\1", match[0]), source))
    source = _DOCSTRING.sub(lambda match: match["indent"] + '""' + "\n" * match[0].count("\n"), source)
    return _without_blanks(_without_idle_imports("".join(map(_without_types_of_locals, _BLOCK.split(source)))))


def _without_blanks(source: str) -> str:
    """Without the blanks around operators; those in texts stay."""
    parts = _TEXT.split(source)
    parts[::2] = (_SPACED.sub(r"\1", part) for part in parts[::2])
    return "".join(parts)


def _without_types_of_locals(block: str) -> str:
    """What is assigned in a function; in the body of a class, such a line is a field."""
    if not block.startswith("class "):
        return _LOCAL.sub(r"\g<where> = ", block)
    return _LOCAL.sub(lambda match: match[0] if match[0][1] != " " else f"{match['where']} = ", block)


def _without_idle_imports(source: str) -> str:
    """The names that are imported on top and of which nothing more is said go."""
    said = set(_WORD.findall(_FROM.sub("", source)))

    def kept(match: re.Match[str]) -> str:
        names = [name for name in re.split(r"[\s,()]+(?!as\b)(?<!\bas )", match["names"]) if name]
        used = [name for name in names if name.split()[-1] in said]
        lines = "\n" * match[0].count("\n")
        return f"{match['from']}{','.join(used)}{lines}" if used else lines

    return _FROM.sub(lambda match: match[0] if "__future__" in match[0] else kept(match), source)


@functools.cache
def _file(folder: Path, name: str) -> Path | None:
    """The file of a module of `remote`; None where there is none of that name."""
    path = folder / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file if file.exists() else None


def size(verb: str) -> int:
    """Bytes of the program that travels with a call of the verb."""
    return len(_compressed(verb))


@functools.lru_cache
def _bootstrap() -> bytes:
    return zlib.compress(without_prose((FOLDER / "bootstrap.py").read_text()).encode(), 9)


@functools.lru_cache
def _compressed(verb: str) -> bytes:
    """Modules of one layer side by side, as they have most in common, and all the memory there is."""
    modules = program(verb)
    uses = {name: sorted(f"remote.{used}" for used in imported(text)) for name, text in modules.items()}
    texts = [text for name in TopologicalSorter(uses).static_order() for text in (name, modules[name])]
    packer = zlib.compressobj(9, memLevel=9)
    return packer.compress("\0".join(texts).encode()) + packer.flush()


def imported(source: str) -> set[str]:
    """The modules of `remote` named in import lines, wherever they stand; a lazy import inside a function counts.

    Named without the leading `remote.`; with a module come the packages that it is in.
    """
    found: set[str] = set()
    for match in _IMPORT.finditer(source):
        base = match["module"] or match["package"] or ""
        listed = re.sub(r"#[^\n]*|[()]", "", match["names"] or "").split(",")
        names = [f"{base}.{name.split()[0]}".lstrip(".") for name in listed if name.strip()]
        for name in (base, *names):
            found |= _with_packages(name)
    return {name for name in found if name and _file(FOLDER, name)}
