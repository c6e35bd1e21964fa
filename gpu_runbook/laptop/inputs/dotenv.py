"""Reads .env as python-dotenv does without interpolation, and names the lines that other readers take differently.

Values are secrets from here on: no message shows one, and a line that cannot be read is named by its number only.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inventory.problems import bad_input
from gpu_runbook.laptop.inventory.text_file import read_text
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from dotenv.parser import Binding

MISSING = (
    "Copy .env.example, fill it in, and make it readable for you alone (chmod 600); "
    "that of the sandbox is made by fab sandbox.up."
)

NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_LINE = re.compile(
    r"(?P<export>export\s+)?(?P<key>'[^']*'|[^=#\s]+)(?P<before>\s*)=(?P<after>[^\S\n]*)(?P<value>.*)", re.DOTALL
)

_QUOTED = re.compile(r"""(?P<quote>['"])(?P<inner>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)(?P<rest>.*)""", re.DOTALL)
_REPLACED = re.compile(r"(?<!\\)(?:\\\\)*\$[\w{([@*#?!$-]")
# The backslashes that not all readers take alike. In double quotes all of them make one character of \\ and of \".
_BACKSLASH = {
    "": re.compile(r"\\"),
    "'": re.compile(r"\\[\\']"),
    '"': re.compile(r"(?<!\\)(?:\\\\)*\\[abcfnrtv0'$`\n]"),
}
_BACKSLASHES = {
    "": "holds a backslash, which a shell drops; put the value in single quotes",
    "'": "holds \\\\ or \\' in single quotes, which is one character here and stays two elsewhere, or ends the value",
    '"': "holds a backslash in double quotes that some readers make another character of, and others keep; "
    "write what it is to be, in single quotes",
}


@dataclass(frozen=True)
class Env:
    """The variables of one .env, and a line about each that another reader of it would take differently.

    `source` is what sentences call it: its path, with the server's name in front where it lies on one.
    """

    source: str
    values: dict[str, Secret]
    warnings: tuple[str, ...] = ()


def load_env(path: Path) -> Env:
    """Read a .env. Raises BadInput with every line that cannot be read and every variable that stands twice."""
    env, problems = read_env(path)
    if problems:
        raise bad_input(str(path), problems, "Correct these lines.")
    return env


def read_env(path: Path) -> tuple[Env, list[str]]:
    """What could be read, and what is wrong with the rest. Raises BadInput for a file that is no text at all."""
    env, problems = parsed(read_text(path, MISSING), str(path), path.name)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        warning = f"{path.name}: others on this machine may read it (mode {mode:04o}); chmod 600 {path}"
        env = replace(env, warnings=(warning, *env.warnings))
    return env, problems


def parsed(text: str, source: str, name: str) -> tuple[Env, list[str]]:
    """The same of a text. `name`: what stands before the number of a line."""
    from dotenv.parser import parse_stream

    values: dict[str, Secret] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    warnings = list(_of_the_file(name, text))
    for binding in parse_stream(StringIO(text.replace("\r\n", "\n"))):
        line = _line(binding)
        where = f"{name}:{line}{_name(binding)}"
        if binding.error:
            problems.append(f"{where}: the line cannot be read; a quote is open, or text follows the closing one")
        elif binding.key is not None and binding.key in lines:
            problems.append(f"{where}: stands twice, first in line {lines[binding.key]}")
        elif binding.key is not None:
            lines[binding.key] = line
            warnings.extend(f"{where}: {sentence}" for sentence in _disagreements(binding))
            if binding.value is not None:
                values[binding.key] = Secret(binding.value)
    if not lines and not problems:
        problems.append(f"{name}: no variable stands in it")
    return Env(source, values, tuple(warnings)), problems


def _line(binding: Binding) -> int:
    """Where the variable itself stands; the parser counts from the blank lines in front of it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _name(binding: Binding) -> str:
    """The variable's name, unless the line may be the rest of a value that was broken over two."""
    plain = binding.value is not None and NAME.fullmatch(binding.key or "")
    return f": {binding.key}" if plain else ""


def _of_the_file(name: str, text: str) -> Iterator[str]:
    if text.startswith("\ufeff"):
        yield f"{name}: begins with a byte order mark, which other readers take for a part of the first name"
    if "\r\n" in text:
        yield f"{name}: lines end as on Windows (CRLF); other readers take the CR for a part of each value"


def _disagreements(binding: Binding) -> Iterator[str]:
    """Why a shell, docker compose or docker's --env-file would read another value from the same line.

    That the last one keeps the quotes around a value is no word worth: it would be one for every line.
    """
    written = binding.original.string.strip("\n")
    match = _LINE.fullmatch(written.lstrip())
    if match is None:
        yield "has no = and no value"
        return
    if not NAME.fullmatch(binding.key or ""):
        yield "the name is not of letters, digits and _ alone, as a shell wants it"
    elif match["key"].startswith("'"):
        yield "the name stands in quotes, which are a part of it elsewhere"
    if match["export"]:
        yield "docker rejects a file with export in it"
    if match["before"] or match["after"]:
        yield "stands with blanks around the =, which a shell rejects"
    quoted = _QUOTED.fullmatch(match["value"])
    inner = quoted["inner"] if quoted else match["value"]
    quote = quoted["quote"] if quoted else ""
    if "${" in inner:
        yield "holds ${, which some readers replace; here it stays as it is"
    elif quote != "'" and _REPLACED.search(inner):
        yield "holds a $, which a shell and docker compose replace with what follows; put it in single quotes"
    if quote != "'" and "`" in inner:
        yield "holds a `, and a shell runs what follows; put it in single quotes"
    if _BACKSLASH[quote].search(inner):
        yield _BACKSLASHES[quote]
    if quoted and quoted["rest"].startswith("#"):
        yield "what follows the closing quote counts as a comment here, and as part of the value in a shell"
    if not quoted:
        yield from _unquoted(match["value"])


def _unquoted(value: str) -> Iterator[str]:
    if re.search(r"\s#", value):
        yield "what follows the # counts as a comment here, and as part of the value elsewhere; quote the value"
    elif value != value.rstrip():
        yield "blanks at the end are dropped here and kept elsewhere; quote the value if they belong to it"
    elif re.search(r"\s", value):
        yield "a shell ends the value at the first blank; quote it"
    if value.count("'") % 2 or value.count('"') % 2:
        yield "holds one quote without its partner, which a shell rejects; quote the whole value"
    elif re.search("['\"]", value):
        yield "holds quotes, which a shell takes away; quote the whole value"
    if re.search(r"[;&|<>()]", value):
        yield "holds one of ; & | < > ( ), where a shell ends the value; quote it"
    if re.search(r"(?:^|:)~", value):
        yield "holds a ~ at its beginning or behind a colon, which a shell replaces with a home; quote it"
