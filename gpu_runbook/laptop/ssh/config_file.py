"""ssh_config where there is no ssh to ask: the files are read here, and what is not understood is named and never met.

Paramiko takes a Match criterion that it does not know for one that holds, and does not read what is included.
"""

from __future__ import annotations

import getpass
import glob
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paramiko import SSHConfig, SSHException

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.values import dataclass

DEEPEST = 16  # files that include one another
MOST_INCLUDED = 100  # files of one Include that a value is looked for in
WITHOUT = "install ssh, which is asked where it is there; or say it in another way, or in hosts.yaml"
CRITERIA = frozenset({"host", "originalhost", "user", "localuser", "exec"})  # each with a value behind it
BARE = frozenset({"all", "canonical", "final"})
WHOLE = frozenset({"proxycommand", "localcommand", "remotecommand", "knownhostscommand"})  # a line for the shell
UNSAID = {  # what ssh takes where nothing is said
    "identityfile": ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"),
    "userknownhostsfile": ("~/.ssh/known_hosts ~/.ssh/known_hosts2",),
    "globalknownhostsfile": ("/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",),
}


@dataclass(frozen=True)
class ConfigLine:
    """One line of a file: its keyword in lower case, and what stands behind it."""

    file: Path
    number: int
    keyword: str
    words: tuple[str, ...]
    rest: str

    def refused(self, why: str) -> BadInput:
        return BadInput(f"{self.file} line {self.number}: {why}", WITHOUT)


def lookup(files: Sequence[Path], host: str, user: str | None, port: int | None) -> Mapping[str, Sequence[str]]:
    """What the files say of a host when user and port are given as by `ssh -l -p`. Raises BadInput."""
    given = {"User": user, "Port": port}
    lines = [f"Host {host}", *(f"{key} {value}" for key, value in given.items() if value is not None)]
    for file in files:
        lines += ["Host *", *map(_plain, _lines(file, 0))]
    try:
        settings = SSHConfig.from_text("\n".join(lines)).lookup(host)
    except (SSHException, OSError, ValueError, KeyError) as error:
        why = quoted(str(error))
        raise BadInput(f"{files[0]}: what is said of {host} is not understood: {why}", WITHOUT) from error
    if settings.get("proxycommand", "") is None:  # ProxyCommand none is no gateway at all
        settings.pop("proxyjump", None)
    said = {key: [value] if isinstance(value, str) else value or ["none"] for key, value in settings.items()}
    return {**{key: [*values] for key, values in UNSAID.items()}, "user": [getpass.getuser()], **said}


def place_of(files: Sequence[Path], value: str) -> str:
    """`FILE line N` where a value stands, files that are included among them; `ssh_config` where that is not seen."""
    left = [*files]
    for file in left:
        try:
            texts = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            continue
        for number, text in enumerate(texts, 1):
            if value in text and not text.lstrip().startswith("#"):
                return f"{file} line {number}"
            included = re.match(r"\s*include[\s=]+(.+)", text, re.IGNORECASE)
            for word in included[1].split() if included else ():
                left += [one for one in _named(word.strip('"')) if one not in left][:MOST_INCLUDED]
    return "ssh_config"


def _lines(file: Path, depth: int) -> Iterator[ConfigLine]:
    """The lines of a file, and of those that it includes in their place. Raises BadInput."""
    if depth > DEEPEST:
        raise BadInput(f"{file} is included by itself, or {DEEPEST} files deep", "take the Include out of it")
    try:
        texts = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}", "make it readable for you") from error
    conditional = False
    for number, text in enumerate(texts, 1):
        line = _line(file, number, text)
        if line is None:
            continue
        if line.keyword == "include":
            if conditional:
                raise line.refused("an Include below a Host or Match is not read without ssh")
            yield from _included(line, depth)
            continue
        conditional = conditional or line.keyword in ("host", "match")
        _refuse(line)
        yield line


def _line(file: Path, number: int, text: str) -> ConfigLine | None:
    """None for a line that says nothing. Raises BadInput."""
    stripped = text.strip()
    if not stripped or stripped.startswith("#"):
        return None
    found = re.match(r"(\w+)(?:\s*=\s*|\s+)(.+)", stripped)
    if not found:
        raise BadInput(f"{file} line {number}: {quoted(stripped)} is no keyword with a value", "correct the line")
    keyword, rest = found[1].lower(), found[2]
    try:
        words = () if keyword in WHOLE else tuple(shlex.split(rest, comments=True))
    except ValueError:
        raise BadInput(f"{file} line {number}: a quote is not closed", "correct the line") from None
    return ConfigLine(file, number, keyword, words, rest)


def _included(line: ConfigLine, depth: int) -> Iterator[ConfigLine]:
    for word in line.words:
        names = _named(word)
        if not names and not glob.has_magic(word):
            raise line.refused(f"it includes {quoted(word)}, which is not there")
        for name in names:
            yield from _lines(name, depth + 1)
            yield ConfigLine(line.file, line.number, "host", ("*",), "*")  # a block of it ends with it


def _named(pattern: str) -> list[Path]:
    """The files that an Include means."""
    path = Path(pattern).expanduser()
    absolute = path if path.is_absolute() else Path("~/.ssh").expanduser() / path
    return [Path(name) for name in sorted(glob.glob(str(absolute)))]  # noqa: PTH207  Path.glob takes no absolute pattern


def _refuse(line: ConfigLine) -> None:
    """Raises BadInput for what would be taken for something else."""
    if line.keyword == "canonicalizehostname" and line.words[:1] not in (("no",), ("none",)):
        raise line.refused("CanonicalizeHostname is not understood without ssh")
    if line.keyword == "match":
        for criterion, values in _criteria(line):
            name = criterion.removeprefix("!")
            if name not in CRITERIA | BARE:
                raise line.refused(f"the criterion {quoted(name)} of Match is not understood without ssh")
            if name in CRITERIA and not values:
                raise line.refused(f"the criterion {name} of Match has no value")


def _criteria(line: ConfigLine) -> Iterator[tuple[str, list[str]]]:
    """The criteria of a Match in lower case, each with its value where it takes one."""
    words = list(line.words)
    while words:
        criterion = words.pop(0).lower()
        count = 0 if criterion.removeprefix("!") in BARE else 1
        yield criterion, words[:count]
        del words[:count]


def _plain(line: ConfigLine) -> str:
    """The line as paramiko understands it: without a comment behind it, its criteria in lower case."""
    if line.keyword in WHOLE:
        return f"{line.keyword} {line.rest}"
    if line.keyword == "host":
        return f"host {shlex.join(line.words)}"
    if line.keyword == "match":
        criteria = [*_criteria(line)]
        words = [word for name, values in criteria if name != "all" or len(criteria) == 1 for word in (name, *values)]
        return f"match {shlex.join(words)}"
    return f"{line.keyword} {' '.join(line.words) or 'none'}"
