"""A file of NAME=value lines that a service reads: read as python-dotenv does, compared with what is wanted.

Values stay here: what is found out about a file is told in names and line numbers.
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Optional, Pattern, Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.env_file import MISSING, THERE, UNREADABLE, Difference, EnvFile, sentences
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system.ownership import ids, shared, unread

LIMIT, MOST = 1 << 18, 50  # bytes; lines and names that a row tells of
PUSH = "fab env.diff shows it, fab env.push writes it as .env has it"
NEWLINE, BOM = "\n", "\ufeff"
_ODD = {
    "\r": "ends as on Windows (CRLF); other readers take the CR for a part of the value",
    "\ufffd": "is not UTF-8",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_BLANK, _SPACE, _REST = re.compile(r"\s*"), re.compile(r"[^\S\n]*"), re.compile(r"[^\n]*")
_EXPORT, _EQUALS = re.compile(r"export[^\S\n]+"), re.compile(r"=[^\S\n]*")
_KEY = {True: re.compile(r"'([^']+)'"), False: re.compile(r"([^=#\s]+)")}
_QUOTED = {quote: re.compile(rf"{quote}((?:\\.|[^{quote}\\])*){quote}", re.DOTALL) for quote in "'\""}
_ESCAPED = {"'": re.compile(r"\\([\\'])"), '"': re.compile(r"\\([\\'\"abfnrtv])")}
_MEANS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_END = re.compile(r"(?:[^\S\n]*#[^\n]*)?[^\S\n]*(?:\n|\Z)")


def parse(text: str) -> Tuple[Dict[str, str], List[str]]:
    """The variables of a text whose lines end in LF, and a sentence for each line that is not what it should be.

    Of a name that stands twice the last value counts. A line that cannot be read hides none of the others.
    """
    values: Dict[str, str] = {}
    lines: Dict[str, int] = {}
    problems: List[str] = []
    at, begun, passed = _after(_BLANK, text, 0), 0, 0
    while at < len(text):
        passed, begun = passed + text.count("\n", begun, at), at
        line = passed + 1
        at, key, value, whole = _entry(text, at)
        if not whole:
            problems.append(f"line {line} cannot be read: a quote is open, or text follows the closing one")
            at = _after(_REST, text, at)
        elif key is not None and value is None:
            problems.append(f"line {line} has no = and no value")
        elif key is not None and not _NAME.match(key):  # not told: it may be the rest of a value that was broken
            problems.append(f"line {line} has a name that is not of letters, digits and _ alone")
        elif key is not None and value is not None:
            if key in lines:
                problems.append(f"line {line}: {key} stands twice, first in line {lines[key]}")
            lines.setdefault(key, line)
            values[key] = value
        at = _after(_BLANK, text, at)
    return values, problems


def compared(wanted: EnvFile) -> Difference:
    """How the file is now."""
    try:
        text, problems = _read(wanted)
    except FileNotFoundError:
        return Difference(wanted.service, wanted.path, MISSING, missing=tuple(wanted.variables))
    except OSError as error:
        return Difference(wanted.service, wanted.path, UNREADABLE, problems=(str(error.strerror or error),))
    found, wrong = parse(text)
    if len(wrong) > MOST:
        wrong = [*wrong[:MOST], f"{len(wrong) - MOST} more lines are no better"]
    known = {*wanted.variables, *wanted.unset}
    there = {name: found[name] == value for name, value in wanted.variables.items() if name in found}
    return Difference(
        wanted.service,
        wanted.path,
        THERE,
        tuple(name for name, same in there.items() if same),
        tuple(name for name, same in there.items() if not same),
        tuple(name for name in wanted.variables if name not in found),
        tuple(name for name in found if name not in known)[:MOST],
        (*problems, *wrong),
    )


def check(name: str, wanted: EnvFile) -> Check:
    """Critical when the file or a variable is missing: its service would not find what it reads."""
    found = compared(wanted)
    if found.state == UNREADABLE:
        hint = "let the login user read it, or set sudo: true for this server"
        why = f"{wanted.path} cannot be read: {found.problems[0]}"
        return Check(name, UNKNOWN, why, hint=guarded.hint(why, hint))
    names = {"differs": found.differs, "missing": found.missing, "unknown": found.unknown}
    figures = {key: list(listed) for key, listed in names.items()}
    if found.state == MISSING:
        return Check(name, CRITICAL, f"{wanted.path} is not there", figures, PUSH)
    place = wanted.path + guarded.leads(wanted.path)
    owner = ids(wanted.owner) or guarded.whose(wanted.path)[1:]
    why = unread(wanted.service, wanted.user, wanted.path, wanted.mode, owner)
    if why:
        return Check(name, CRITICAL, why, figures, shared("env_file"))
    unset = [f"{name} has no value in .env" for name in wanted.unset]
    if found.fine and not unset:
        return Check(name, OK, f"{place} has all {len(found.same)} variables as they are in .env", figures)
    said = [*sentences(found), *unset]
    return Check(name, CRITICAL if found.missing else WARNING, f"{place}: {'; '.join(said)}", figures, PUSH)


def _read(wanted: EnvFile) -> Tuple[str, List[str]]:
    """The text with LF alone, as Python reads files, and what is wrong with the file itself. Raises OSError."""
    with guarded.opened(wanted.path) as file:
        raw, (mode, uid, gid) = guarded.content(file, LIMIT), guarded.identity(os.fstat(file.fileno()))
    problems, owner = [], ids(wanted.owner) or (os.geteuid(), gid)  # the group may be its folder's
    if mode != wanted.mode:
        problems.append(f"its mode is {mode:04o} instead of {wanted.mode:04o}")
    if (uid, gid) != owner:
        problems.append(f"it belongs to {uid}:{gid} instead of {owner[0]}:{owner[1]}")
    text = raw.decode("utf-8", "replace")
    if text.startswith(BOM):
        problems.append("line 1 begins with a byte order mark, which other readers take for a part of the name")
        text = text[1:]
    for sign, what in _ODD.items():
        if sign in text:
            problems.append(f"line {text.count(NEWLINE, 0, text.index(sign)) + 1} {what}")
    return text.replace("\r\n", "\n").replace("\r", "\n"), problems


def _entry(text: str, at: int) -> Tuple[int, Optional[str], Optional[str], bool]:
    """Where an entry ends, its name and value, and whether it is whole; one that is not ends where that shows."""
    at = _after(_EXPORT, text, at)
    key = value = None
    if text[at : at + 1] != "#":
        found = _KEY[text[at : at + 1] == "'"].match(text, at)
        if not found:
            return at, None, None, False
        key, at = found[1], found.end()
    begin = _after(_SPACE, text, at)
    at = _after(_EQUALS, text, begin)
    quote = text[at : at + 1]
    if at == begin:
        pass  # a name alone, or a comment
    elif quote in _QUOTED:
        found = _QUOTED[quote].match(text, at)
        if not found:
            return at, None, None, False
        value, at = _ESCAPED[quote].sub(lambda match: _MEANS.get(match[1], match[1]), found[1]), found.end()
    elif quote == "#" and at > begin + 1:
        value = ""
    else:
        end = _after(_REST, text, at)
        value, at = re.sub(r"\s+#.*", "", text[at:end]).rstrip(), end
    ended = _END.match(text, at)
    return (ended.end(), key, value, True) if ended else (at, None, None, False)


def _after(pattern: Pattern[str], text: str, at: int) -> int:
    """Where what stands at a place, if it does, ends."""
    found = pattern.match(text, at)
    return found.end() if found else at
