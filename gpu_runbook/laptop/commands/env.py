"""The env files that services read on a server: their text, how they differ from .env, and writing them."""

from __future__ import annotations

import getpass
import io
import re
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gpu_runbook.laptop.deploy.recovery import ended_first
from gpu_runbook.laptop.deploy.snapshot import env_files
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.model import Consumer, Host, Inventory, Service
from gpu_runbook.laptop.rpc.call import change, look, read
from gpu_runbook.laptop.rpc.requests import place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.env_file import MISSING, UNREADABLE, Compared, Difference, EnvFile, sentences
from gpu_runbook.protocol.requests import EnvRequest
from gpu_runbook.protocol.values import dataclass, field

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import ComparedFile, EnvAnswer, EnvPushAnswer

ASK_AGAIN = "fab env.diff says whether they were written"

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")  # what every reader takes as it stands


@dataclass(frozen=True)
class EnvWish:
    """What is to be written on a server. `texts`: service -> the whole file; `consumers` are those that run on."""

    entries: Sequence[EnvFile]
    texts: Mapping[str, str] = field(repr=False)
    consumers: Collection[str]
    dry_run: bool = False


def wish(resolved: Resolved, entries: Sequence[EnvFile], services: Sequence[Service], dry_run: bool) -> EnvWish:
    """Raises BadInput, for all files at once, as `composed`."""
    problems: list[str] = []
    texts: dict[str, str] = {}
    for entry in entries:
        try:
            texts[entry.service] = composed(entry, resolved.env.source)
        except BadInput as error:
            problems.append(error.message)
    if problems:
        hint = f"correct them in {resolved.env.source}; .env.example says what each is for"
        raise BadInput("; ".join(problems), hint)
    return EnvWish(entries, texts, {service.name for service in services if isinstance(service, Consumer)}, dry_run)


def wanted(inventory: Inventory, resolved: Resolved, services: Sequence[Service]) -> list[EnvFile]:
    """Raises BadInput when none of the services has an env file."""
    found = env_files(resolved, services)
    if not found:
        names = ", ".join(service.name for service in inventory.services.values() if service.env_file)
        hint = f"these do: {names}" if names else "env_file: {path: /azaion/queue.env, variables: [RABBITMQ_HOST]}"
        raise BadInput(f"{inventory.path} gives none of these services an env_file", hint)
    return found


def composed(entry: EnvFile, source: str) -> str:
    """The whole file. Raises BadInput for a variable without a value, and for one that would not be read back.

    `source` is the .env that the values are from.
    """
    if entry.unset:
        raise BadInput(f"{source}: no value for {', '.join(entry.unset)}; needed by services.{entry.service}.env_file")
    lines = {name: written(name, value) for name, value in entry.variables.items()}
    text = "".join(lines.values())
    if read_back(text) != entry.variables:
        wrong = [name for name, value in entry.variables.items() if read_back(lines[name]) != {name: value}]
        named = ", ".join(wrong or lines)
        raise BadInput(f"{source}: {named} cannot be written so that python-dotenv reads the same value")
    return text


def written(name: str, value: str) -> str:
    """One entry as python-dotenv reads it: plain where every reader agrees, in quotes otherwise."""
    if _PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    if "\r" in value:  # a reader of text files would make a line feed of it
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
        return f'{name}="{escaped}"\n'
    escaped = re.sub(r"\\(?=[\\']|\Z)", r"\\\\", value).replace("'", "\\'")
    return f"{name}='{escaped}'\n"


def read_back(text: str) -> dict[str, str | None]:
    """As python-dotenv reads a file with that content."""
    from dotenv.parser import parse_stream

    stream = io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "replace")), encoding="utf-8")
    return {one.key: one.value for one in parse_stream(stream) if one.key is not None and not one.error}


def disagreements(entries: Sequence[EnvFile]) -> Iterator[str]:
    """A sentence for each group of variables that other readers take differently."""
    values = {name: value for entry in entries for name, value in entry.variables.items()}
    groups = {
        "docker --env-file keeps the quotes around": [n for n, value in values.items() if not _PLAIN.fullmatch(value)],
        "python-dotenv replaces the ${ in, unless interpolate=False:": [n for n, v in values.items() if "${" in v],
        "a shell, and python-dotenv before 1.2, may read otherwise:": [
            name for name, value in values.items() if re.search(r"['\r]|\\(\\|\Z)", value)
        ],
    }
    yield from (f"{what} {', '.join(names)}" for what, names in groups.items() if names)


def compared(session: Session, host: Host, entries: Sequence[EnvFile]) -> Compared:
    """One exchange that only looks. Raises what `call.ask` raises."""
    answer = look(session, "env", EnvRequest(*place(host), tuple(entries)))
    return read(session.host.name, Compared, answer, "env", ASK_AGAIN)


def pushed(session: Session, inventory: Inventory, host: Host, wish: EnvWish, screen: Screen) -> EnvPushAnswer:
    """Write the files that differ; the result is what --json prints."""
    server, entries = session.host.name, wish.entries
    found = _after_recovery(session, inventory, host, wish, screen)
    changing = [file for file in found.files if not file.fine]
    for text, style in lines(server, found, entries):
        screen.say(text, style)
    seen = as_result(server, found)
    if not changing:
        screen.say(f"{server}: up to date, nothing was written", "green")
        return {**seen, "outcome": "up-to-date", "run": ""}
    paths = ", ".join(file.path for file in changing)
    if wish.dry_run:
        screen.say(f"{server}: {paths} would be written; nothing was changed", "green")
        return {**seen, "outcome": "dry-run", "run": ""}
    who = getpass.getuser(), socket.gethostname()
    request = EnvRequest(*place(host), tuple(entries), dict(wish.texts), *who)
    answer = change(session, "env", request, "the files may be written", ASK_AGAIN)
    done = read(server, Compared, answer, "env", ASK_AGAIN)
    screen.say(f"{server}: {paths} {'was' if len(changing) == 1 else 'were'} written", "green")
    for file in changing:
        if file.service in wish.consumers and file.state != MISSING:
            screen.say(f"  what runs has read the old one: fab restart {file.service}", "dim")
        else:
            begin = "next start" if file.service in wish.consumers else "next run"
            screen.say(f"  the {begin} of {file.service} reads it", "dim")
    return {**as_result(server, done), "outcome": "done" if done.written else "up-to-date", "run": done.written}


def _after_recovery(session: Session, inventory: Inventory, host: Host, wish: EnvWish, screen: Screen) -> Compared:
    """How the files are; a run that was cut off is brought to an end first."""
    found = compared(session, host, wish.entries)
    if wish.dry_run or not ended_first(session, inventory, host, getpass.getuser(), found.run, screen):
        return found
    return compared(session, host, wish.entries)


def lines(server: str, found: Compared, entries: Sequence[EnvFile]) -> Iterator[tuple[str, str]]:
    """(text, style) of each line; names only."""
    unset = {entry.service: entry.unset for entry in entries}
    yield f"{server}: {len(found.files)} env file{'s' if len(found.files) > 1 else ''}", "bold"
    for file in found.files:
        said = [*_states(file), *(f"{name} has no value in .env" for name in unset.get(file.service, ()))]
        yield f"  {file.service}: {file.path} {'; '.join(said)}", "" if file.fine and len(said) == 1 else "yellow"


def _states(file: Difference) -> list[str]:
    if file.state == MISSING:
        return [f"is not there (it is to hold {', '.join(file.missing)})"]
    if file.state == UNREADABLE:
        return [f"cannot be read: {file.problems[0]}"]
    same = ", ".join(file.same)
    if file.fine:
        return [f"is as .env has it: {same}"]
    return ["differs", *sentences(file), *([f"the same: {same}"] if same else [])]


def as_result(server: str, found: Compared) -> EnvAnswer:
    """The same for scripts."""
    return {"server": server, "files": [{**encode(file), **_verdict(file)} for file in found.files]}


def _verdict(file: Difference) -> ComparedFile:
    return {"up_to_date": file.fine}
