"""`python -m tests.hostile`: every property of hostile and broken input, tried with many cases that nobody has seen."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Sequence

from gpu_runbook.laptop.errors import BadInput
from tests.hostile import kept, laptop, peers, server, vocabulary
from tests.hostile.properties import Ground, Property, try_out
from tests.wire.sshd import sshd_program

# Properties of few cases first: what they leave over is tried on the others.
PROPERTIES: tuple[Property, ...] = tuple(
    one
    for module in (server, vocabulary, kept, peers, laptop)
    for one in sorted(module.PROPERTIES, key=lambda one: "sound" not in one.name)
)
CASES = 10_000
LONGEST = 300  # characters of the line about it
SHOWN = 4000  # characters of a case that breaks a property


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--cases", default=str(CASES), help=f"how many in all, {CASES} without it")
    parser.add_argument("--seed", help="of an earlier run, to try its cases again; without it new ones")
    words = parser.parse_args(arguments)
    try:
        cases = _number("--cases", words.cases, len(PROPERTIES))
        beginning = secrets.randbelow(1 << 32) if words.seed is None else _number("--seed", words.seed, 0)
    except BadInput as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    if sshd_program() is None:
        print("There is no sshd for the server's answers to travel through.", "Debian: openssh-server.", sep="\n")
        return BadInput.exit_code
    try:
        return _try_all(cases, beginning)
    except KeyboardInterrupt:
        print(f"stopped (--seed {beginning})", file=sys.stderr)
        return 130


def _number(flag: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise BadInput(f"{flag} {text!r} is no whole number from {least} up.", "Leave it out, or give a number.")
    return int(text)


def _try_all(cases: int, beginning: int) -> int:
    """A line per property, and how many cases held in all; exit status 1 when one did not."""
    tried, broken = 0, 0
    with Ground() as ground:
        for index, one in enumerate(PROPERTIES):
            begun = time.monotonic()
            try:
                count = try_out(one, ground, (cases - tried) // (len(PROPERTIES) - index), beginning)
            except Exception as error:
                broken += 1
                print(f"{one.name:36} BROKEN  {type(error).__name__}: {error}"[:LONGEST], flush=True)
                print("\n".join(getattr(error, "__notes__", []))[:SHOWN], file=sys.stderr, flush=True)
                continue
            tried += count
            print(f"{one.name:36} {count:6} cases  {time.monotonic() - begun:5.1f} s", flush=True)
    held = f"{len(PROPERTIES) - broken} of {len(PROPERTIES)} properties hold"
    print(f"{held}, in {tried} cases (--seed {beginning})")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
