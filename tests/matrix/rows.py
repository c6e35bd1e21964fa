"""What the tool is tried on: one row each, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.place import API_FLOOR, CLASSIC, CONTAINERD

UNITS_SECONDS, LIFE_SECONDS = 1800, 900  # that one row may take, when its base is there already


@dataclass(frozen=True)
class Row:
    """A server on which a short life is lived, or a Python of the laptop with which the unit tests are run.

    base: the Debian that the server runs, this machine's own where it is empty; engine: as `sandbox.place` has it.
    python: another interpreter than the base's own, by its first two numbers. units: it is of the laptop.
    """

    name: str
    what: str
    base: str = ""
    engine: str = CLASSIC
    python: str = ""
    units: bool = False

    @property
    def seconds(self) -> int:
        return UNITS_SECONDS if self.units else LIFE_SECONDS


STORE = "images in containerd's store, a containerd beside the engine, control groups of version 2"
FLOOR = "no API before 1.44, as from engine 29 on"

ROWS = {
    row.name: row
    for row in (
        Row("own", "this machine's own Debian"),
        Row("bullseye", "Debian 11", "bullseye"),
        Row("trixie", "Debian 13", "trixie"),
        Row("trixie-containerd", f"Debian 13: {STORE}", "trixie", CONTAINERD),
        Row("trixie-api-floor", f"Debian 13: {FLOOR}", "trixie", API_FLOOR),
        Row("sid", "Debian unstable", "sid"),
        Row("sid-containerd", f"Debian unstable: {STORE}", "sid", CONTAINERD),
        Row("sid-api-floor", f"Debian unstable: {FLOOR}", "sid", API_FLOOR),
        *(
            Row(f"python-{one}", f"Python {one} on the server", python=one)
            for one in ("3.8", "3.9", "3.10", "3.12", "3.13", "3.14")
        ),
        *(
            Row(f"laptop-{one}", f"the unit tests with Python {one}", python=one, units=True)
            for one in ("3.10", "3.11", "3.12", "3.13", "3.14")
        ),
    )
}
