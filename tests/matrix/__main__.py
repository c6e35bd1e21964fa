"""`make matrix`: the tool on what people have, row by row; and the page that says what was found out.

A row keeps what it has found out in a file of its own: --all goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from gpu_runbook.laptop.errors import RunbookError
from sandbox.bases import resolved
from sandbox.say import Say, with_time
from tests.faults.kept import WrongInput, commit
from tests.matrix import kept, page, servers, units
from tests.matrix.bounds import Late, within
from tests.matrix.kept import Result
from tests.matrix.rows import ROWS, Row

PORT_BASE, HIGHEST = 27300, 65535 - 100
INTERRUPTED = 130


class Words(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise WrongInput(message, "python -m tests.matrix --help")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Words(prog="python -m tests.matrix", description=__doc__, allow_abbrev=False)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--row", help=f"try one, whatever is known of it: {', '.join(ROWS)}")
    what.add_argument("--all", action="store_true", help="try all that this commit has no result of")
    what.add_argument("--page", action="store_true", help="make the page of what there is, as after every row")
    what.add_argument("--list", action="store_true", help="name the rows, with what is known of them")
    parser.add_argument("--port-base", default=str(PORT_BASE), help="where the server's ports begin")
    parser.add_argument("--folder", type=Path, default=kept.FOLDER, help="where the rows' files are")
    try:
        return _main(parser.parse_args(arguments))
    except RunbookError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code


def _main(words: argparse.Namespace) -> int:
    port_base = _port(words.port_base)
    if words.list:
        print(*_listed(words.folder), sep="\n")
        return 0
    if words.page:
        return _make_page(words.folder)
    if words.row is not None and words.row not in ROWS:
        raise WrongInput(f"there is no row {words.row!r}", f"known: {', '.join(ROWS)}")
    this = commit()
    rows = [ROWS[words.row]] if words.row else [row for row in ROWS.values() if not _is_known(words.folder, row, this)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this leaves no server behind
    try:
        for base in dict.fromkeys(row.base for row in rows if row.base):
            resolved(base, with_time())  # before anything is tried: it takes none of a row's time
        results = [_tried(row, this, port_base, words.folder) for row in rows]
    except KeyboardInterrupt:
        print("interrupted; what was found out until now is kept, and --all goes on from here", file=sys.stderr)
        return INTERRUPTED
    if words.all:
        results = list(_known(words.folder))
    return int(any(one.wrong for one in results))


def _tried(row: Row, this: str, port_base: int, folder: Path) -> Result:
    """Try a row, keep what was found out, and say it. Raises RunbookError for what is no fault of the tool's."""
    print(f"{row.name}: {row.what}", flush=True)
    begun, at = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    say = with_time()
    found: dict[str, Any] = {}
    try:
        with within(row.seconds):
            found = _units(row) if row.units else _server(row, port_base, say)
    except Late as late:
        found = {"wrong": f"up or down: {late}"}
    except servers.Absent as error:
        found = {"absent": str(error)}
    result = Result(row.name, this, at, round(time.monotonic() - begun, 1), **found)
    kept.save(folder, result)
    _write_page(folder)  # the unit tests of a row that follows hold it against the files
    print(page.summary(result), flush=True)
    return result


def _units(row: Row) -> dict[str, Any]:
    versions, wrong = units.play(row)
    return {"versions": versions, "wrong": wrong}


def _server(row: Row, port_base: int, say: Say) -> dict[str, Any]:
    with servers.server(row, port_base) as laptop:
        versions, steps, wrong = servers.play(row, laptop, say)
    return {"versions": versions, "steps": tuple(steps), "wrong": wrong}


def _is_known(folder: Path, row: Row, this: str) -> bool:
    found = kept.load(folder, row.name)
    return found is not None and found.commit == this


def _known(folder: Path) -> Iterator[Result]:
    return (found for name in ROWS if (found := kept.load(folder, name)))


def _make_page(folder: Path) -> int:
    count = len(list(_known(folder)))
    if not count:
        raise WrongInput(f"{folder} has no file of any row", "--row NAME makes one")
    print(f"{_write_page(folder)} is made of {count} of {len(ROWS)} rows")
    return 0


def _write_page(folder: Path) -> Path:
    """Beside the folder, under its name."""
    path = folder.with_name(f"{folder.name}.md")
    path.write_text(page.page(list(_known(folder))))
    return path


def _listed(folder: Path) -> Iterator[str]:
    for row in ROWS.values():
        yield f"{row.name:18} {row.what}"
        if found := kept.load(folder, row.name):
            yield f"{'':18} {page.summary(found)}"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1024 <= int(text) <= HIGHEST):
        message = f"--port-base {text!r} is no whole number from 1024 to {HIGHEST}"
        raise WrongInput(message, "python -m tests.matrix --help")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
