"""What a property is: cases to draw, and what has to hold for each. `make test` tries few, `make faults` many.

A property fails by an exception: whatever the code under test lets through that is none of its documented errors.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.ssh.config import Source, SshConfig
from gpu_runbook.laptop.ssh.session import Session, SessionOptions
from tests.unit.scene import Scene, deployed
from tests.wire.sshd import Sshd


class Ground:
    """Where cases are tried: a folder of their own and, for whoever asks, a server behind a real sshd.

    `scene` is what a laptop knows of that server; `speaks` is what the server answers, to the last byte.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        self.scene: Scene = deployed(self.place("scene"), "r2", "r1")
        self._sshd: Sshd | None = None
        self._session: Session | None = None

    def place(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def speaks(self, said: bytes) -> Session:
        """The session with a server whose every answer is `said`."""
        if self._session is None:
            # A bash that believes to be within another one spends no time on the start-up files of whoever tests.
            self._sshd = Sshd(self.place("sshd"), "SetEnv SHLVL=2")
            python = self.folder / "python"
            python.write_text(f"#!/bin/sh\nexec cat {self.folder}/said\n")
            python.chmod(0o755)
            own = SshConfig(Source(usual=False))  # that of whoever tests plays no part
            self._session = Session(self._sshd.entry.but(python=str(python)), SessionOptions(ssh_config=own))
        (self.folder / "said").write_bytes(said)
        return self._session

    def __enter__(self) -> Ground:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None and self._sshd is not None:
            self._session.close()
            self._sshd.stop()
        shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Property:
    """`holds` tries one case on a ground and raises when the property does not hold for it."""

    name: str
    cases: st.SearchStrategy[Any]
    holds: Callable[[Any, Ground], None]


def try_out(one: Property, ground: Ground, count: int, beginning: int | None = None) -> int:
    """Try `count` cases, the same ones every time unless there is a seed to begin from; give how many were tried.

    A property that does not hold raises what its first bad case raises.
    """
    tried = 0

    @settings(
        max_examples=count,
        derandomize=beginning is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # a case that fails is shown as it came: making it smaller can take minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(one.cases)
    def holds(case: Any) -> None:
        nonlocal tried
        tried += 1
        one.holds(case, ground)

    if beginning is not None:
        seed(beginning)(holds)
    holds()
    return tried
