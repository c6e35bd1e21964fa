"""What is away for longer than a run waits for it, or does not obey at all: at one point of each step of a run."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.place import CHECKOUT
from tests.faults.helpers import HELPERS
from tests.faults.kept import Outcome
from tests.faults.matrix import case_of
from tests.faults.servers import Case, Track
from tests.faults.shim import Point
from tests.faults.story import UNDONE, Stage
from tests.faults.troubles import TROUBLES

PATIENCE = 3.0  # seconds that a run waits for an engine here
PROGRAM = ("fabfile.py", "gpu_runbook", "sandbox", "tasks", "templates", "hosts.yaml")

# The calls of a deploy: create, update, rename, rename, stop, start, update. A rollback creates nothing. Undoing takes
# update, stop, rename, rename, start, update.
POINTS = (
    ("deploy", Point("before", 1)),  # it makes ready
    ("deploy", Point("before", 2)),  # the swap begins
    ("deploy", Point("before", 5)),  # nothing was stopped yet
    ("deploy", Point("after", 5)),  # nothing runs
    ("deploy", Point("before", 7)),  # the new one runs, and would not come back by itself
    ("deploy", Point("at line", 14)),  # the watch
    (UNDONE, Point("before", 8)),  # the bad one runs, or is about to
    (UNDONE, Point("before", 12)),  # nothing runs
    (UNDONE, Point("after", 12)),  # the old one runs, and would not come back by itself
    ("rollback", Point("before", 4)),
    ("rollback", Point("after", 4)),
)
STOPS = (("deploy", Point("before", 5)), ("rollback", Point("before", 4)))


def tracks(seed: int) -> list[Track]:
    away = [
        impatient(case_of(action, point, TROUBLES["engine away"], helper))
        for action, point in POINTS
        for helper in HELPERS
    ]
    stuck = [
        case_of(action, point, TROUBLES["consumer cannot be killed"], helper)
        for action, point in STOPS
        for helper in HELPERS
    ]
    return [Track([case]) for case in (*stuck, *away)]


def impatient(case: Case) -> Case:
    """The same by a laptop whose runs wait for an engine for 3 seconds."""

    def played(stage: Stage) -> Outcome:
        with hurried(stage):
            outcome: Outcome = case.play(stage)
        return outcome

    return Case(case.name, case.row, played)


@contextmanager
def hurried(stage: Stage) -> Iterator[None]:
    """Within it the stage's laptop has a copy of the tool that is less patient."""
    patient = stage.laptop
    with tempfile.TemporaryDirectory() as folder:
        stage.laptop = dataclasses.replace(patient, source=_copy(Path(folder)))
        try:
            yield
        finally:
            stage.laptop = patient


def _copy(folder: Path) -> Path:
    for name in PROGRAM:
        source = CHECKOUT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    changed = 0
    for module in (folder / "gpu_runbook").rglob("*.py"):
        text, count = re.subn(r"^PATIENCE = 90\.0\b", f"PATIENCE = {PATIENCE}", module.read_text(), flags=re.MULTILINE)
        module.write_text(text)
        changed += count
    assert changed, "nothing on the server waits 90 s for an engine any more"
    return folder
