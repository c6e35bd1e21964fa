"""What a part has found out, as it is kept: a file of its own, to which every case is added as soon as it is over."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from gpu_runbook.laptop.errors import RunbookError
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed
from sandbox.place import CHECKOUT

FOLDER = CHECKOUT / "docs/reliability"
TRIED = (".", ":(exclude)docs", ":(exclude)*.md")  # what a commit's results are of: pages change nothing


class WrongInput(RunbookError):
    """A command line or a file of results that nothing can be made of; nothing was tried."""

    exit_code = 2


@dataclass(frozen=True)
class Outcome:
    """How one case went, or `cases` of a kind. `row`: the row of the page's table that counts it.

    came: whether it came to what it is about; where not, it is no case. helped: somebody had to help. twice: messages
    that were handled again. seconds: how long it took.
    """

    case: str
    row: str
    wrong: tuple[str, ...] = ()
    came: bool = True
    cases: int = 1
    helped: bool = False
    twice: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Results:
    """One part's file. begun: when the first case was (RFC 3339, UTC); seconds: for how long it was at work, in all.

    whole: every case of the part is in it. servers: how many stood side by side.
    """

    part: str
    commit: str
    seed: int
    begun: str
    seconds: float = 0.0
    servers: int = 1
    whole: bool = False
    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def cases(self) -> int:
        return sum(one.cases for one in self.outcomes if one.came)

    @property
    def wrong(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.wrong]

    @property
    def known(self) -> dict[str, Outcome]:
        return {one.case: one for one in self.outcomes}


def path_of(folder: Path, part: str) -> Path:
    return folder / f"{part}.json"


def load(folder: Path, part: str) -> Results | None:
    """What was found out of a part so far, None where nothing was. Raises WrongInput for a file that is damaged."""
    path = path_of(folder, part)
    try:
        found = decode(Results, json.loads(path.read_bytes()), "results")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, Malformed) as error:
        raise WrongInput(f"{path} is damaged: {error}", "remove it, and the part begins anew") from error
    if found.part != part:
        raise WrongInput(f"{path} is of the part {found.part!r}", "give the file its name again, or remove it")
    return found


def save(folder: Path, results: Results) -> None:
    """Replace the file in one step, with a line for each case: whoever reads it later sees what changed."""
    head = dataclasses.asdict(dataclasses.replace(results, outcomes=()))
    del head["outcomes"]
    lines = [f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    outcomes = ",\n".join(f"    {json.dumps(_short(one), ensure_ascii=False)}" for one in results.outcomes)
    path = path_of(folder, results.part)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text("{\n" + "".join(lines) + f'  "outcomes": [\n{outcomes}\n  ]\n}}\n')
    draft.replace(path)


def _short(one: Outcome) -> dict[str, object]:
    """Without what is as it is without being said."""
    usual = {entry.name: entry.default for entry in dataclasses.fields(Outcome)}
    return {name: value for name, value in dataclasses.asdict(one).items() if value != usual[name]}


def commit() -> str:
    """The newest commit that changed more than pages; with a mark of what was changed since, where something was.

    Raises WrongInput where that cannot be said.
    """
    newest = _git("log", "-1", "--format=%h", "--", *TRIED).strip()
    changed = _git("diff", "HEAD", "--", *TRIED)
    others = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *TRIED).split("\0")[:-1]
    digest = hashlib.sha256(changed.encode())
    for name in others:
        digest.update(name.encode() + _content(CHECKOUT / name))
    return f"{newest}+{digest.hexdigest()[:8]}" if changed or others else newest


def _content(path: Path) -> bytes:
    """What git would keep of it; of a repository of its own, nothing."""
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return b"" if path.is_dir() else path.read_bytes()


def _git(*words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", *words], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise WrongInput("git does not say which commit this is, and results are kept by commit", str(error)) from error
