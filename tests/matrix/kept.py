"""What was found out about one row, as it is kept: a file of its own, replaced in one step when the row is over."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple  # noqa: UP035 -- the codec reads these annotations

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed
from sandbox.place import CHECKOUT
from tests.faults.kept import WrongInput

FOLDER = CHECKOUT / "docs/compatibility"


@dataclass(frozen=True)
class Step:
    """One step of a life that went as it should, and how long it took."""

    step: str
    seconds: float


@dataclass(frozen=True)
class Result:
    """How a row ended. begun: RFC 3339, UTC. versions: what each program says of itself.

    wrong: the step and a sentence, where it is not whole; absent: why it was not tried, where it was not.
    """

    row: str
    commit: str
    begun: str
    seconds: float = 0.0
    versions: Dict[str, str] = dataclasses.field(default_factory=dict)  # noqa: UP006
    steps: Tuple[Step, ...] = ()  # noqa: UP006
    wrong: str = ""
    absent: str = ""

    @property
    def whole(self) -> bool:
        return not self.wrong and not self.absent


def path_of(folder: Path, row: str) -> Path:
    return folder / f"{row}.json"


def load(folder: Path, row: str) -> Result | None:
    """What is known of a row, None where nothing is. Raises WrongInput for a file that is damaged."""
    path = path_of(folder, row)
    try:
        found = decode(Result, json.loads(path.read_bytes()), "result")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, Malformed) as error:
        raise WrongInput(f"{path} is damaged: {error}", f"remove it; --row {row} makes it anew") from error
    if found.row != row:
        raise WrongInput(f"{path} is of the row {found.row!r}", "give the file its name again, or remove it")
    return found


def save(folder: Path, result: Result) -> None:
    """With a line for each step: whoever reads it later sees what changed."""
    path = path_of(folder, result.row)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    entries = dataclasses.asdict(result)
    steps = ",\n".join(f"    {json.dumps(step)}" for step in entries.pop("steps"))
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n" for key, value in entries.items()]
    draft.write_text("{\n" + "".join(lines) + f'  "steps": [\n{steps}\n  ]\n}}\n')
    draft.replace(path)
