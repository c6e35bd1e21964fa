"""What nvidia-smi is asked, and how its answers read: rows of values, fields it refuses, complaints, MIG devices.

Its text is promised to nobody: what is not what was asked for is told from what is, and is never a figure.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from gpu_runbook.common import command
from gpu_runbook.protocol.check import CRITICAL, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.server.checks.hung_nvidia_smi import LAST, SECONDS

LIMIT = 1 << 16  # characters of an answer that is read
SAID, VALUE = 200, 80  # characters of a complaint, and of one value of an answer
IDENTITY = ("index", "uuid", "name", "driver_version")
MIG = "mig.mode.current"
REFUSED, NO_PERMISSION, NOT_INSTALLED = 2, 4, 127  # exit statuses: of a field that it does not know; of whom it refuses
HINT = "see journalctl -k | grep NVRM on the server"
HINTS = {
    "version mismatch": "an update replaced the driver under the loaded one: reboot once no training runs",
    "is lost": "reboot once no training runs; if it happens again, the card or its power is at fault",
    "fallen off the bus": "reboot once no training runs; if it happens again, the card or its power is at fault",
    "requires reset": "reset it (nvidia-smi --gpu-reset) or reboot, once no training runs",
    "determine the device handle": "a card does not answer: see journalctl -k | grep NVRM on the server",
    "communicate with the nvidia driver": "the driver is not loaded, as after a kernel update without its module",
    "no devices were found": "the driver runs but sees no usable GPU: see journalctl -k | grep NVRM",
    "inforom is corrupted": "the card's own settings are damaged: ask for a replacement",
    "insufficient permissions": "the login user may not open /dev/nvidia*: see its groups and the mode of these files",
}
# A value that is none. A card that has no such thing, or is cut up, says so; what it says of no other is a fault.
_ABSENT = ("n/a", "not supported", "function not found", "requested functionality has been deprecated")
_WITHHELD = ("insufficient permissions", "no permission")
_BROKEN = ("unknown error", "gpu is lost", "gpu requires reset")  # with brackets or, of older drivers, without


_SLICE = re.compile(r"\s+MIG ([\w.+-]{1,40})\s+Device\s+([0-9]{1,4}): \(UUID: (MIG-[\w/-]{1,100})\)", re.ASCII)


class Rows(NamedTuple):
    """An answer: the values of each GPU, by field, and the lines that are no such row."""

    cards: List[Dict[str, str]]
    beside: List[str]


def query(fields: Sequence[str], what: str = "gpu") -> List[str]:
    return ["nvidia-smi", f"--query-{what}=" + ",".join(fields), "--format=csv,noheader,nounits"]


def rows(fields: Sequence[str], text: str) -> Optional[Rows]:
    """The rows of an answer to a query that begins with index or a uuid; None for one that cannot be read.

    What is said beside them, as of a corrupted infoROM, is no row. A name may have commas in it.
    """
    if len(text) > LIMIT:
        return None
    cards, beside = [], []
    for line in filter(None, map(str.strip, text.splitlines())):
        if not re.match(r"([0-9]+|GPU-[\w-]+)\s*,", line, re.ASCII):
            beside.append(one_line(line, SAID))
            continue
        values = [one_line(value, VALUE) for value in line.split(",")]
        more = len(values) - len(fields)
        if more > 0 and "name" in fields:
            at = fields.index("name")
            values[at : at + more + 1] = [", ".join(values[at : at + more + 1])]
        if len(values) != len(fields):
            return None
        cards.append(dict(zip(fields, values)))
    empty = not beside or "no devices were found" in text.lower()
    return Rows(cards, beside) if cards or empty else None


def is_absent(value: str) -> bool:
    """Whether a card has no such thing, or does not tell it for a reason that is no fault."""
    return _bare(value) in _ABSENT or is_withheld(value)


def is_withheld(value: str) -> bool:
    """Whether it is not told to this user, as much of a GPU that MIG has cut up."""
    return _bare(value) in _WITHHELD


def is_broken(value: str) -> bool:
    """Whether it stands for a fault: [Unknown Error], [GPU is lost], [GPU requires reset], ERR!."""
    return (value.startswith(("[", "ERR!")) and not is_absent(value)) or _bare(value) in _BROKEN


def _bare(value: str) -> str:
    return value.strip("[]").lower()


def refused(ended: command.Ended, fields: Sequence[str]) -> str:
    """Which of the fields it says that it does not know; empty where it names none of them."""
    found = re.search(r'Field "([\w.]{1,80})" is not a valid', f"{ended.out}\n{ended.err}", re.ASCII)
    return found[1] if found and found[1] in fields else ""


def is_missing(ended: command.Ended) -> bool:
    """Whether there is no such program; one that may not be run, or misses a library, ends with the same status."""
    said = f"{ended.out}\n{ended.err}".lower()
    return ended.status == NOT_INSTALLED and "librar" not in said and "permission denied" not in said


def may_not(ended: command.Ended) -> bool:
    """Whether it refuses this user: that says nothing of the GPUs."""
    said = f"{ended.out}\n{ended.err}".lower()
    denied = ended.status == NOT_INSTALLED and "permission denied" in said
    return ended.status == NO_PERMISSION or denied or (not ended.ok and "insufficient permissions" in said)


def failed(name: str, ended: command.Ended) -> Optional[Check]:
    """The row of an nvidia-smi that gave no answer, None of one that did."""
    figures = {"status": ended.status}
    if ended.status is None:
        return Check(name, CRITICAL, f"the driver does not answer: nvidia-smi hung for {SECONDS:.0f} s", hint=HINT)
    if is_missing(ended):
        return Check(name, CRITICAL, "nvidia-smi is not installed", figures, "install the driver")
    if ended.ok:
        return None
    text, hint = complaint(ended)
    if ended.status == REFUSED:
        return Check(name, UNKNOWN, f"nvidia-smi refuses what it is asked: {text}", figures, "run it by hand")
    if may_not(ended):
        return Check(name, UNKNOWN, f"the login user may not ask the driver: {text}", figures, hint)
    return Check(name, CRITICAL, f"nvidia-smi: {text} (status {ended.status})", figures, hint)


def is_stuck(name: str, pid: int) -> Check:
    """The row where an nvidia-smi of an earlier check, a process id, never ended."""
    said = f"the driver does not answer: nvidia-smi (process {pid}) has been stuck since an earlier check"
    return Check(name, CRITICAL, said, {"stuck": pid}, "reboot once no training runs: it cannot be killed")


def is_slow(name: str) -> Check:
    """The row where there was no time left for the question."""
    return Check(name, UNKNOWN, f"nvidia-smi takes more than {LAST:.0f} s to answer", hint="run it by hand")


def complaint(ended: command.Ended) -> Tuple[str, str]:
    """What it says is wrong, and what to do about it; its last line where the text is not known."""
    known = known_trouble((ended.out + "\n" + ended.err).splitlines())
    return known or (one_line(ended.complaint, SAID), HINT)


def known_trouble(lines: Sequence[str]) -> Optional[Tuple[str, str]]:
    """The first line that tells of a trouble which is known, and what to do about it."""
    for line in lines:
        for known, hint in HINTS.items():
            if known in line.lower():
                return one_line(line, SAID), hint
    return None


class Slice(NamedTuple):
    """A MIG device: the GPU it is a part of, its number there, its profile, such as 3g.40gb, and its uuid."""

    gpu: int
    number: int
    profile: str
    uuid: str

    def __str__(self) -> str:
        return f"GPU {self.gpu} MIG {self.number}" + (f" ({self.profile})" if self.profile else "")


def slices(text: str) -> List[Slice]:
    """The MIG devices in an answer to `nvidia-smi -L`."""
    found, gpu = [], None
    for line in text[:LIMIT].splitlines():
        card = re.match(r"GPU ([0-9]{1,4}):", line)
        gpu = int(card[1]) if card else gpu
        part = _SLICE.match(line)
        if part and gpu is not None:
            found.append(Slice(gpu, int(part[2]), part[1], part[3]))
    return found


def told(listed: Optional[command.Ended], gpus: Sequence[int]) -> List[str]:
    """What the GPUs in MIG mode are cut into, as parts of a sentence, by `nvidia-smi -L`. `gpus`: their numbers."""
    if listed is None or not listed.ok:
        return [f"what MIG cuts GPU {', '.join(map(str, gpus))} into could not be asked"]
    found, said = slices(listed.out), []
    for gpu in gpus:
        profiles = [one.profile for one in found if one.gpu == gpu]
        parts = [f"{profiles.count(one)} × {one}" for one in dict.fromkeys(profiles)]
        into = f"is cut by MIG into {', '.join(parts)}" if parts else "is in MIG mode and has no device yet"
        said.append(f"GPU {gpu} {into}")
    return said


def in_mig_mode(cards: Sequence[Dict[str, str]]) -> List[int]:
    """The numbers of the GPUs that MIG cuts up."""
    return [int(one["index"]) for one in cards if one.get(MIG) == "Enabled" and one["index"].isdigit()]


def on_slices(text: str) -> Dict[int, Tuple[str, int]]:
    """By process, the uuid of the GPU and the number there of the MIG device it is on, from `nvidia-smi -q`.

    The answer tells of each GPU its MIG devices, each with a number and two ids, and then its processes with two ids.
    """
    found: Dict[int, Tuple[str, int]] = {}
    devices: Dict[Tuple[str, str, str], int] = {}
    uuid, number, instance, part = "", "", "", ""
    place = ("", "", "")
    for line in text.splitlines():
        key, _, value = (word.strip() for word in line.partition(" : "))
        if key in ("MIG Device", "Processes"):
            part = key
        elif key == "GPU UUID":
            uuid = value
        elif key == "Index":
            number = value
        elif key.lower() == "gpu instance id":
            instance = value
        elif key.lower() == "compute instance id":
            place = (uuid, instance, value)
            if part == "MIG Device" and number.isdigit():
                devices[place] = int(number)
        elif key == "Process ID" and value.isdigit() and place in devices:
            found[int(value)] = (uuid, devices[place])
    return found
