"""Drivers of several generations, as `tests/data/nvidia-smi` has them, in the place of nvidia-smi."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_runbook.common.command import Ended

KNOWN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/nvidia-smi/drivers.json").read_text())
NEWER, OLDER = "clocks_event_reasons.", "clocks_throttle_reasons."


class Smi:
    """Answers as the driver of that name does. `change`: values of all cards; `refuses`: beside what it refuses."""

    def __init__(self, name: str, refuses: Sequence[str] = (), names_it: bool = True, **change: str) -> None:
        told = KNOWN["answers"][name]
        given = {field.replace("__", "."): value for field, value in change.items()}
        self.gpus = [
            {"index": str(at), "uuid": f"GPU-{at}", "gpu_uuid": f"GPU-{at}", **told["each"], **given}
            for at in range(told["count"])
        ]
        self.mig = told.get("mig", [])
        self.refuses = (*told["refuses"], *refuses)
        self.names_it = names_it
        self.asked: list[str] = []

    def __call__(self, argv: Sequence[str], deadline: float) -> Ended:
        self.asked.append(argv[1])
        what, _, fields = argv[1].partition("=")
        if what == "-L":
            return self._ends(argv, 0, "\n".join(self._listed()))
        for field in fields.split(","):
            of_rows = what == "--query-remapped-rows"
            known = field.replace(NEWER, OLDER) in self.gpus[0]
            if not known or (not of_rows and field.startswith(self.refuses)):
                said = f'Field "{field}" is not a valid field to query.\n' if self.names_it else "Bad argument.\n"
                return self._ends(argv, 2, said)
        rows = [", ".join(gpu[field.replace(NEWER, OLDER)] for field in fields.split(",")) for gpu in self.gpus]
        return self._ends(argv, 0, "\n".join(rows) + "\n")

    def _listed(self) -> list[str]:
        return [
            line
            for gpu in self.gpus
            for line in (
                f"GPU {gpu['index']}: {gpu['name']} (UUID: {gpu['uuid']})",
                *(f"  MIG {one:<11} Device  {at}: (UUID: MIG-{at})" for at, one in enumerate(self.mig)),
            )
        ]

    @staticmethod
    def _ends(argv: Sequence[str], status: int, text: str) -> Ended:
        return Ended(tuple(argv), status, text, "", 0.1)
