"""`make faults`: whatever may go wrong on a server, tried in parts; and the page that says what was found out.

A part keeps what it has found out in a file of its own, case by case: one that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

from gpu_runbook.laptop.errors import RunbookError
from sandbox.place import CHECKOUT
from sandbox.say import with_time
from tests.faults import kept, report
from tests.faults.kept import Results, WrongInput
from tests.faults.parts import PARTS, Part
from tests.faults.servers import PORT_BASE, Deal, Track, play_all

PAGE = CHECKOUT / "docs/reliability.md"
INTERRUPTED = 130
MOST_SERVERS = 10


class Words(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise WrongInput(message, "python -m tests.faults --help")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Words(prog="python -m tests.faults", description=__doc__, allow_abbrev=False)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--part", help=f"play one: {', '.join(PARTS)}")
    what.add_argument("--all", action="store_true", help="play all, one after the other, and make the page")
    what.add_argument("--page", action="store_true", help="make the page of what there is")
    what.add_argument("--list", action="store_true", help="name the parts, with their cases and what is known of them")
    parser.add_argument("--replace", action="store_true", help="begin those anew that are of another commit")
    parser.add_argument("--only", help="of a part, the cases whose names have this in them")
    parser.add_argument("--cases", help="of a part, so many more at most")
    parser.add_argument("--seed", help="of an earlier run, to draw its cases again; without it new ones")
    parser.add_argument("--jobs", help="servers side by side")
    parser.add_argument("--port-base", default=str(PORT_BASE), help="where the servers' ports begin")
    parser.add_argument("--folder", type=Path, default=kept.FOLDER, help="where the parts' files are")
    try:
        return _main(parser.parse_args(arguments))
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code


def _main(words: argparse.Namespace) -> int:
    if words.list:
        print(_listed(words.folder), end="")
        return 0
    if words.page:
        return _make_page(words.folder)
    if not words.all:
        return _run(_part(words.part), words)
    if words.only or words.cases:
        raise WrongInput("--only and --cases are for one part", "--part NAME")
    wrong = False
    for part in PARTS.values():
        print(f"{part.name}: {part.what}", flush=True)
        status = _run(part, words)
        if status == INTERRUPTED:
            return status
        wrong |= bool(status)
    return _make_page(words.folder) or int(wrong)


def _run(part: Part, words: argparse.Namespace) -> int:
    """Play what is left of a part; 1 when something was wrong in any of its cases."""
    limit = None if words.cases is None else _number("--cases", words.cases, 1)
    seed = None if words.seed is None else _number("--seed", words.seed, 0)
    jobs = _number("--jobs", words.jobs, 1, MOST_SERVERS) if words.jobs else part.servers
    port_base = _number("--port-base", words.port_base, 1024, 65535 - MOST_SERVERS * 100)
    results = _begun(part, words, seed, jobs)
    tracks = _chosen(part.tracks(results.seed), words.only)
    deal = Deal(results, words.folder, tracks, with_time(), limit, all_of_it=not words.only)
    try:
        play_all(deal, jobs, part.host(port_base), part.prepare)
    except KeyboardInterrupt:
        print(f"interrupted; --part {part.name} goes on from here", file=sys.stderr)
        return INTERRUPTED
    print(report.summary(deal.results))
    return int(bool(deal.results.wrong))


def _begun(part: Part, words: argparse.Namespace, seed: int | None, servers: int) -> Results:
    """What an earlier call has left of this commit, or nothing yet. Raises WrongInput where it is of another."""
    commit, found = kept.commit(), kept.load(words.folder, part.name)
    if found and found.commit != commit and not words.replace:
        path = kept.path_of(words.folder, part.name)
        raise WrongInput(f"{path} is of commit {found.commit}, and this is {commit}", "--replace begins it anew")
    if found and found.commit == commit:
        if seed not in (None, found.seed):
            raise WrongInput(f"the part {part.name} was begun with --seed {found.seed}", "leave --seed out")
        return dataclasses.replace(found, servers=servers)
    begun = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Results(part.name, commit, secrets.randbelow(1 << 32) if seed is None else seed, begun, servers=servers)


def _chosen(tracks: list[Track], only: str | None) -> list[Track]:
    """A track of points is no longer endless where some of them are left out."""
    if only is None:
        return tracks
    found = [Track([case for case in track.cases if only in case.name], track.ground) for track in tracks]
    if not any(track.cases for track in found):
        raise WrongInput(f"no case of this part has {only!r} in its name", "names are as the part prints them")
    return [track for track in found if track.cases]


def _make_page(folder: Path) -> int:
    found = [results for name in PARTS if (results := kept.load(folder, name))]
    if not found:
        raise WrongInput(f"{folder} has no file of any part", "--part NAME makes one")
    known = {one.part for one in found}
    missing = [(part.name, part.what) for part in PARTS.values() if part.name not in known]
    PAGE.write_text(report.page(found, missing))
    print(f"{PAGE.relative_to(CHECKOUT)} is made of {len(found)} of {len(PARTS)} parts")
    return 0


def _listed(folder: Path) -> str:
    lines = []
    for part in PARTS.values():
        about = "" if part.counted else "about "
        found = kept.load(folder, part.name)
        lines.append(f"{part.name:8} {about + str(part.cases):>9} cases  {part.what}\n")
        if found:
            lines.append(f"{'':8} {report.summary(found)}\n")
    return "".join(lines)


def _part(name: str) -> Part:
    if name not in PARTS:
        raise WrongInput(f"there is no part {name!r}", f"known: {', '.join(PARTS)}")
    return PARTS[name]


def _number(flag: str, text: str, least: int, most: int = 1 << 32) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 11 and least <= int(text) <= most):
        raise WrongInput(f"{flag} {text!r} is no whole number from {least} to {most}", "python -m tests.faults --help")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
