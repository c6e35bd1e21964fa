"""Puts the model that was chosen on a server into its configs: one scalar of a YAML text, and not a character more."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Dict, List, Optional, Tuple

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files, guarded

_LINE = re.compile(r"""( *)(?:("[^"\\]*" *|'[^']*' *|\w[^:#"']*):(?=\s|$)\s*)?""", re.ASCII)
_SCALAR = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[\w/.~][^\s#]*)\s*(?:\s#.*)?$""")
_OPEN = re.compile(r"""["']|[\[{](?!.*[\]}]\s*(?:#.*)?$)""")  # of what is no scalar: it ends on a later line
_ENDS = re.compile("\r(?!$)|[\x85\u2028\u2029]")  # YAML takes them for the end of a line

_AS_IT_IS = "utf-8", "surrogateescape"  # any bytes, and back


class Unplaceable(ValueError):
    """A text does not have exactly one such value on a line of its own; says why, and quotes none."""


def span(text: str, key: str) -> Tuple[int, int]:
    """Where the value behind a dotted key stands, in a text of mappings in block style. Raises Unplaceable.

    It reads line by line. What goes on over several lines is refused where it could be taken for something else;
    whether a template is one of those the laptop sees beforehand, with all of YAML at hand.
    """
    wanted, at, found = key.split("."), 0, (0, 0)
    met: List[List[str]] = []
    stack: List[Tuple[int, Optional[str]]] = []  # indentation and key; "" and None hold no keys of ours
    for line in text.split("\n"):
        match = _LINE.match(line)
        assert match  # noqa: S101  it matches the empty text
        rest = line[match.end() :] if line[match.end() :].split("#")[0].strip() else ""
        if match[2] or rest:
            while stack and stack[-1][0] >= len(match[1]):
                stack.pop()
            above = [name for _, name in stack]
            scalar = _SCALAR.match(rest)
            if None in above or _ENDS.search(line) or ("" not in above and not scalar and _OPEN.match(rest)):
                raise Unplaceable("a value in it goes on over several lines")
            path = [*above, (match[2] or "").rstrip(" ").strip("\"'")]
            met += [path] if path == wanted[: len(path)] else []
            if path == wanted:
                if not scalar:
                    raise Unplaceable(f"{key} is not one text on its line")
                found = at + match.end(), at + match.end() + len(scalar[1])
            stack.append((len(match[1]), None if path == wanted else "" if rest else path[-1]))
        at += len(line) + 1
    if met != [wanted[: depth + 1] for depth in range(len(wanted))]:
        raise Unplaceable(f"it has {'more than one' if wanted in met else 'no'} {key}")
    return found


def replaced(text: str, key: str, path: str) -> str:
    """The text with `path`, quoted, behind the key. Raises Unplaceable."""
    begin, end = span(text, key)
    return text[:begin] + json.dumps(path, ensure_ascii=False) + text[end:]


def chosen(store: Store) -> Optional[str]:
    """The path of the model that was chosen, empty when none was; None when model.json cannot be understood."""
    raw = files.read(store.model)
    try:
        path = json.loads(raw)["path"] if raw else ""
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return path if isinstance(path, str) and path.isprintable() else None


def with_chosen(store: Store, config: ConfigFile, text: str) -> Optional[str]:
    """The text as it goes into its place, with the model that was chosen; None when it cannot be put there."""
    path = chosen(store) if config.model_key else ""
    try:
        return replaced(text, config.model_key, path) if path else text
    except Unplaceable:
        return None


def point(store: Store, run: str, configs: Dict[str, ConfigFile]) -> None:
    """Lead what the release in force keeps of the configs, and then those in place, to the chosen model.

    May be repeated. One that cannot take it stays as it is. Raises Refusal for one that cannot be read or written.
    """
    known, _ = record.load(store)
    release = known.find(known.current)
    if release:
        services = dict(release.services)
        for service in set(services) & set(configs):
            kept = os.path.join(store.release(release.id, service), "config.yaml")
            text = _rewrite_kept(store, run, configs[service], kept)
            if text is not None:
                services[service] = dataclasses.replace(services[service], config_hash=store.keyed_hash(text))
        record.save(store, record.changed(known, dataclasses.replace(release, services=services)))
    for config in configs.values():
        found = _present(config.path)
        text = _pointed(store, config, found[0]) if found else None
        if found is None or text is None or text.encode(*_AS_IT_IS) == found[0]:
            guarded.remove(files.staged_name(config.path, run))  # of a try that was cut off
        else:
            mode, uid, gid = guarded.identity(found[1])
            guarded.write(config.path, text.encode(*_AS_IT_IS), mode, (uid, gid), run)


def _present(path: str) -> Optional[Tuple[bytes, os.stat_result]]:
    """The config in place, None without one; nor is it one, what a container has put there instead."""
    try:
        return guarded.read(path)
    except guarded.Unfit:
        return None
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}", guarded.hint(error)) from error


def _rewrite_kept(store: Store, run: str, config: ConfigFile, path: str) -> Optional[str]:
    """Put the chosen model into a kept config; its text, None for one that cannot take it."""
    raw = files.read(path)
    text = _pointed(store, config, raw) if raw is not None else None
    if text is None or text.encode(*_AS_IT_IS) == raw:
        files.remove(files.staged_name(path, run))  # as below
    else:
        files.write(path, text.encode(*_AS_IT_IS), suffix=run)
    return text


def _pointed(store: Store, config: ConfigFile, raw: bytes) -> Optional[str]:
    return with_chosen(store, config, raw.decode(*_AS_IT_IS))
