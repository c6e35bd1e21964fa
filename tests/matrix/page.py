"""The page of what the tool was tried on: made of the rows' files, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tests.matrix.kept import Result
from tests.matrix.rows import ROWS, Row

HEAD = """\
# Compatibility

What the tool was tried on: docker, RabbitMQ, OpenSSH and Python in the versions that people have. `make matrix` tries
it, and goes on where it stopped; this page is made of what it found out, and each row's file lies in
`docs/compatibility/`. The versions are those that the programs themselves told.

## How

On a server: a sandbox of real parts as in `make test`, its machines running another Debian (`fab sandbox.up --base
trixie` brings up one to play with), another setting of the docker engine, or another Python. There a short life is
lived, each step with what has to come of it: setup; a first deploy; a deploy under load; a release that ends at once
and one whose log tells of failures, both undone; a rollback; a registry that is down; health; a prune; two rounds of
the scheduled check, of which the second starts a consumer that has died; a run that is killed in its swap and brought
to its end by the next command; logs. At the end no message is lost, there were never two consumers, and the training
container is as it was. Of engine 20.10 there is one setting: it has neither containerd's store nor a floor of its API.

On the laptop: the unit tests with another Python, in a virtual environment of its own.

A row is *whole* when every step was as it should be. *Absent* is what the machine that tried it has not got.

## Servers

"""
SERVER = ("docker", "API", "containerd", "store", "cgroup", "RabbitMQ", "OpenSSH", "Python")
ENDS = {True: "whole", False: "**not whole**"}


def page(found: Sequence[Result]) -> str:
    """The whole page, in Markdown; rows of which nothing is known are named."""
    known = {one.row: one for one in found}
    servers = [_server(row, known.get(row.name)) for row in ROWS.values() if not row.units]
    laptops = [_laptop(row, known.get(row.name)) for row in ROWS.values() if row.units]
    head = ["row", "what", *SERVER, "ended", "date", "commit"]
    parts = [HEAD, _table(head, servers), "\n## Laptops\n\n"]
    parts.append(_table(["row", "what", "Python", "ended", "date", "commit"], laptops))
    parts += _sentences("Not whole", [(one.row, one.wrong) for one in _in_order(known) if one.wrong])
    parts += _sentences("Absent", [(one.row, _absent(one, known)) for one in _in_order(known) if one.absent])
    return "".join(parts)


def summary(one: Result) -> str:
    """One line about a row."""
    end = f"absent: {one.absent}" if one.absent else f"not whole: {one.wrong}" if one.wrong else "whole"
    return f"{one.row}: {end} ({one.begun[:10]}, commit {one.commit}, {one.seconds / 60:.1f} minutes)"


def _in_order(known: dict[str, Result]) -> list[Result]:
    return [known[name] for name in ROWS if name in known]


def _absent(one: Result, known: dict[str, Result]) -> str:
    """Why it is, and which other rows of servers have that Python of their own."""
    row = ROWS[one.row]
    own = [other.row for other in _in_order(known) if other.versions.get("Python", "").startswith(f"{row.python}.")]
    others = [] if row.units else [name for name in own if not ROWS[name].units]
    return f"{one.absent}; it is what these have: {', '.join(others)}" if others else one.absent


def _server(row: Row, one: Result | None) -> list[str]:
    return [row.name, row.what, *(_short(one.versions.get(name, "")) if one else "" for name in SERVER), *_end(one)]


def _laptop(row: Row, one: Result | None) -> list[str]:
    return [row.name, row.what, one.versions.get("Python", "") if one else "", *_end(one)]


def _end(one: Result | None) -> list[str]:
    if one is None:
        return ["not tried yet", "", ""]
    return ["absent" if one.absent else ENDS[one.whole], one.begun[:10], one.commit]


def _short(version: str) -> str:
    """Without what a distribution adds to it."""
    return version.partition("+")[0].partition("~")[0]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _sentences(title: str, told: Sequence[tuple[str, str]]) -> list[str]:
    return [f"\n{title}:\n\n", *(f"- {name}: {sentence}\n" for name, sentence in told)] if told else []
