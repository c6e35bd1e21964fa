"""Does the NVIDIA driver answer for all GPUs, and on which of them, and on what parts of them, does what run?"""

from __future__ import annotations

import threading
from typing import Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common import command, humanize
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.server.checks import nvidia_smi
from gpu_runbook.server.checks.hung_nvidia_smi import Asking, Stopped, stuck
from gpu_runbook.server.checks.nvidia_smi import IDENTITY, MIG, Slice
from gpu_runbook.server.docker.engine import Engine

NO_GPU = "hosts.yaml gives this server no GPU"
LIST = ("nvidia-smi", "-L")


class Driver:
    """nvidia-smi in one look at a server: however many want to know, each thing is asked once, and one at a time.

    `hangs`: how a question ended that somebody else has asked it before and that hung: it is then asked nothing.
    """

    def __init__(self, hangs: Optional[command.Ended] = None) -> None:
        self._lock = threading.RLock()
        self._ask = Asking(hangs=hangs)
        self._answers: Dict[str, Optional[command.Ended]] = {}
        self._fields: Tuple[str, ...] = (*IDENTITY, MIG)
        self.stuck: Optional[int] = None  # the process of an earlier check that still hangs

    def ask(self, argv: Sequence[str]) -> Optional[command.Ended]:
        """Its answer, without a status where the driver hangs; None where it is not asked: one is stuck, or it is slow.

        What was asked before is not asked of the driver again.
        """
        asked = " ".join(argv)
        with self._lock:
            if not self._answers:
                self.stuck = stuck()
            if asked not in self._answers:
                self._answers[asked] = None if self.stuck else self._asked(argv)
            return self._answers[asked]

    def _asked(self, argv: Sequence[str]) -> Optional[command.Ended]:
        try:
            return self._ask(argv)
        except Stopped:
            return self._ask.hangs

    def asked(self) -> Optional[command.Ended]:
        """What it says of the GPUs, as `ask`."""
        with self._lock:
            ended = self.ask(nvidia_smi.query(self._fields))
            if ended and ended.status == nvidia_smi.REFUSED and MIG in self._fields:  # a driver from before MIG
                self._fields = IDENTITY
                ended = self.ask(nvidia_smi.query(self._fields))
            return ended

    def rows(self) -> Optional[nvidia_smi.Rows]:
        """The values of each GPU, None for an answer that is none."""
        ended = self.asked()
        return nvidia_smi.rows(self._fields, ended.out) if ended and ended.ok else None

    def slices(self) -> List[Slice]:
        """The MIG devices, which are asked for where MIG cuts up any GPU."""
        found = self.rows()
        listed = self.ask(LIST) if found and nvidia_smi.in_mig_mode(found.cards) else None
        return nvidia_smi.slices(listed.out) if listed and listed.ok else []

    def indices(self) -> Dict[str, int]:
        """By uuid, its own or that of a MIG device, the number of each GPU that is known."""
        found = self.rows()
        cards = {one["uuid"]: int(one["index"]) for one in found.cards if one["index"].isdigit()} if found else {}
        return {**cards, **{one.uuid: one.gpu for one in self.slices()}}

    def by_process(self) -> Dict[int, Slice]:
        """By process, the MIG device that it works on; of those that work on one, as far as the driver tells."""
        slices = self.slices()
        ended = self.ask(["nvidia-smi", "-q"]) if slices else None
        if ended is None or not ended.ok:
            return {}
        numbers, known = self.indices(), {(one.gpu, one.number): one for one in slices}
        places = {pid: (numbers.get(uuid, -1), at) for pid, (uuid, at) in nvidia_smi.on_slices(ended.out).items()}
        return {pid: known[place] for pid, place in places.items() if place in known}


def by_docker(name: str, gpus: int, wanted: Sequence[str], engine: Engine) -> Check:
    """`gpus`: how many the server has; `wanted`: `gpus` of each service that wants any, as a Spec has it."""
    if not gpus:
        return Check(name, SKIPPED, NO_GPU)
    from gpu_runbook.server.checks import docker_gpus  # it travels only to a server with GPUs

    return docker_gpus.check(name, wanted, engine)


def driver(name: str, gpus: int, asked: Driver) -> Check:
    """`gpus` is how many there must be."""
    if not gpus:
        return Check(name, SKIPPED, NO_GPU)
    ended, found = asked.asked(), asked.rows()
    if ended is None:
        return nvidia_smi.is_stuck(name, asked.stuck) if asked.stuck else nvidia_smi.is_slow(name)
    trouble = nvidia_smi.failed(name, ended)
    if trouble:
        return trouble
    if found is None:
        return Check(name, UNKNOWN, "nvidia-smi gave an answer that cannot be read", hint="run it by hand")
    cards = found.cards
    version = cards[0]["driver_version"] if cards else ""
    figures = {"gpus": len(cards), "expected": gpus, "driver": version}
    known = nvidia_smi.known_trouble(found.beside)
    if len(cards) < gpus:
        hint = known[1] if known else f"fab health says more; {nvidia_smi.HINT}"
        return Check(name, CRITICAL, f"{len(cards)} of {gpus} GPUs answer", figures, hint)
    if known:
        return Check(name, CRITICAL, f"nvidia-smi says {quoted(known[0])}", figures, known[1])
    kinds = dict.fromkeys(quoted(one["name"]) for one in cards)
    said = [f"driver {named(version)}, {humanize.several(len(cards), 'GPU')} ({', '.join(kinds)})"]
    cut = nvidia_smi.in_mig_mode(cards)
    said += nvidia_smi.told(asked.ask(LIST), cut) if cut else []
    said += [f"nvidia-smi also says {quoted(one)}" for one in found.beside]
    return Check(name, OK, "; ".join(said), figures)
