"""Does the NVIDIA driver answer for all GPUs, and can docker give them to containers? Asked without any image."""

from __future__ import annotations

import glob
import os
import threading
from typing import Any, Dict, List, Optional

from gpu_runbook.common import command, humanize
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import named, one_line, quoted
from gpu_runbook.protocol.forms import NONE
from gpu_runbook.server.checks.hung_nvidia_smi import SECONDS, stuck
from gpu_runbook.server.docker.engine import Engine

FIELDS = "index,uuid,name,driver_version"
HOOK = "nvidia-container-runtime-hook"  # dockerd takes --gpus when it finds this on its PATH
PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SAID, VALUE = 200, 80  # characters of a complaint, and of one value of an answer
NO_GPU = "hosts.yaml gives this server no GPU"
INFO = {"Runtimes": (dict, NONE), "CDISpecDirs": (list, NONE), "DiscoveredDevices": (list, NONE)}
INSTALL = "install nvidia-container-toolkit, run nvidia-ctk runtime configure, and restart docker once no training runs"


class Driver:
    """What nvidia-smi says of the GPUs, asked once however many want to know: one that hangs cannot be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Optional[command.Ended] = None
        self.stuck: Optional[int] = None  # the process of an earlier check that still hangs

    def asked(self) -> command.Ended:
        with self._lock:
            if self._ended is None:
                self.stuck = stuck()
                argv = query("gpu", FIELDS)
                self._ended = (
                    command.Ended(tuple(argv), None, "", "", 0.0) if self.stuck else command.run(argv, SECONDS)
                )
            return self._ended

    def cards(self) -> Optional[List[List[str]]]:
        """The values of FIELDS for each GPU, None for an answer that is none."""
        ended, width = self.asked(), FIELDS.count(",") + 1
        lines = [line.split(",") for line in ended.out.splitlines() if line.strip()]
        rows = [[one_line(value, VALUE) for value in line] for line in lines]
        return rows if ended.ok and all(len(row) == width for row in rows) else None

    def indices(self) -> Dict[str, int]:
        """By uuid, the number of each GPU that is known."""
        return {row[1]: int(row[0]) for row in self.cards() or () if row[0].isdigit()}


def query(what: str, fields: str) -> List[str]:
    return ["nvidia-smi", f"--query-{what}={fields}", "--format=csv,noheader,nounits"]


def driver(name: str, gpus: int, asked: Driver) -> Check:
    """`gpus` is how many there must be."""
    if not gpus:
        return Check(name, SKIPPED, NO_GPU)
    ended, cards = asked.asked(), asked.cards()
    hint = "fab health says more; see journalctl -k | grep NVRM on the server"
    if asked.stuck:
        sentence = (
            f"the driver does not answer: nvidia-smi (process {asked.stuck}) has been stuck since an earlier check"
        )
        return Check(name, CRITICAL, sentence, {"stuck": asked.stuck}, "reboot once no training runs")
    if ended.status is None:
        return Check(name, CRITICAL, f"the driver does not answer: nvidia-smi hung for {SECONDS:.0f} s", hint=hint)
    if ended.status == 127:
        return Check(name, CRITICAL, "nvidia-smi is not installed", hint="install the driver")
    if not ended.ok:
        return Check(name, CRITICAL, f"nvidia-smi: {one_line(ended.complaint, SAID)}", {"status": ended.status}, hint)
    if cards is None:
        return Check(name, UNKNOWN, "nvidia-smi gave an answer that cannot be read", hint="run it by hand")
    figures = {"gpus": len(cards), "expected": gpus, "driver": cards[0][3] if cards else ""}
    if len(cards) < gpus:
        return Check(name, CRITICAL, f"{len(cards)} of {gpus} GPUs answer", figures, hint)
    said = f"driver {named(cards[0][3])}, {humanize.several(len(cards), 'GPU')} ({quoted(cards[0][2])})"
    return Check(name, OK, said, figures)


def docker(name: str, gpus: int, engine: Engine) -> Check:
    """By the engine's own account of its runtimes and devices, and by what it would look for on its PATH."""
    if not gpus:
        return Check(name, SKIPPED, NO_GPU)
    ways = _ways(engine.get("/info", shape=INFO))
    if ways:
        return Check(name, OK, f"docker gives GPUs to containers by {ways[0]}", {"ways": ways})
    said = "docker has no GPU support: neither a runtime nvidia, nor CDI devices, nor NVIDIA's hook"
    return Check(name, CRITICAL, said, {"ways": ways}, INSTALL)


def _ways(info: Dict[str, Any]) -> List[str]:
    """How containers may come by a GPU, in words."""
    devices = [one for one in info.get("DiscoveredDevices") or () if "nvidia.com/gpu" in str(one)]
    written = [path for folder in info.get("CDISpecDirs") or () for path in glob.glob(f"{folder}/nvidia*")]
    hooks = [path for path in (os.path.join(place, HOOK) for place in PLACES) if os.access(path, os.X_OK)]
    found = {
        "its runtime nvidia": "nvidia" in (info.get("Runtimes") or {}),
        f"CDI ({humanize.several(len(devices), 'device')})": bool(devices),
        f"CDI ({', '.join(written)})": bool(written),
        f"NVIDIA's hook ({', '.join(hooks)})": bool(hooks),
    }
    return [way for way, there in found.items() if there]
