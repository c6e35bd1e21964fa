"""Will docker give a container the GPUs that hosts.yaml wants for it? Told from the engine, and changes nothing.

The engine has a driver for `--gpus` only if it found NVIDIA's hook on its PATH when it was started: the runtime nvidia
plays no part in that. From 29.2 on NVIDIA's CDI hook does as well, and `--gpus` then becomes a CDI device. A CDI device
that is asked for by its name (`--device nvidia.com/gpu=all`) needs no hook, but an engine from 25 on that reads specs.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from gpu_runbook.common.clock import moment
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import named, one_line
from gpu_runbook.protocol.forms import NONE
from gpu_runbook.protocol.plan import CDI
from gpu_runbook.server.docker import engine_process
from gpu_runbook.server.docker.engine import Engine, EngineError

HOOK, CDI_HOOK = "nvidia-container-runtime-hook", "nvidia-cdi-hook"
INFO = {
    "ServerVersion": (str, NONE),
    "Runtimes": (dict, NONE),
    "CDISpecDirs": ([str], NONE),
    "DiscoveredDevices": ([dict], NONE),
    "Warnings": ([str], NONE),
    "LiveRestoreEnabled": (bool, NONE),
}
# Of the engine's version: it knows CDI; reads specs without being told to; makes CDI devices of --gpus.
KNOWS_CDI, READS_CDI, GPUS_BY_CDI = (25, 0), (28, 2), (29, 2)
FOLDERS = ("/etc/cdi", "/var/run/cdi")  # where specs are, unless the engine is told otherwise
SPEC = 1 << 20  # bytes of a spec that are read
MOST = 50  # containers that are looked at
# Of a spec, YAML or JSON: what kind its devices are of, and what has a name there, which is more than the devices.
_KIND = re.compile(r"""\bkind["']?\s*:\s*["']?([\w.-]+/[\w.-]+)""", re.ASCII)
_NAME = re.compile(r"""\bname["']?\s*:\s*["']?([\w.:-]+)""", re.ASCII)

Verdict = Tuple[str, str, str]  # level, sentence, hint


class Hook(NamedTuple):
    """A program of NVIDIA's where the engine looks for it. `newer`: whether it came there after the engine's start."""

    path: str
    newer: Optional[bool]


class Ability:
    """What an engine says of itself, and what is seen of its process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.info: Dict[str, Any] = engine.get("/info", shape=INFO)
        self.said = self.info.get("ServerVersion") or ""
        found = re.match(r"([0-9]{1,3})\.([0-9]{1,3})", self.said)
        self.version = (int(found[1]), int(found[2])) if found else None
        pid = engine_process.find(engine.address)
        self.since = pid and engine_process.started(pid)
        self.path = pid and engine_process.path(pid)
        self.folders: Sequence[str] = self.info.get("CDISpecDirs") or ()  # none where it reads no specs

    def is_before(self, version: Tuple[int, int]) -> bool:
        return self.version is not None and self.version < version

    @property
    def restart(self) -> str:
        lives = self.info.get("LiveRestoreEnabled")
        ends = "live-restore is on, so that containers go on" if lives else "it ends containers: live-restore is off"
        return f"systemctl restart docker, once no training runs ({ends})"

    @property
    def enable(self) -> str:
        """How CDI comes to be read."""
        wrong = 'write "features": {"cdi": true} into' if self.is_before(READS_CDI) else 'take "cdi": false out of'
        return f"{wrong} /etc/docker/daemon.json, then {self.restart}"

    def hook(self, program: str) -> Optional[Hook]:
        """The first of that name on its PATH, as the engine itself would find it."""
        for path in (os.path.join(folder, program) for folder in self.path or engine_process.USUAL):
            try:
                changed, mode = max(os.lstat(path).st_ctime, os.stat(path).st_ctime), os.stat(path).st_mode
            except OSError:
                continue
            if mode & 0o111 and not os.path.isdir(path):
                sure = changed > self.since if self.since else None
                # What has not changed since the server's start was there at the engine's, whenever that was.
                return Hook(path, False if changed < engine_process.booted() else sure)
        return None

    def elsewhere(self) -> str:
        """NVIDIA's hook beside its runtime, outside of the usual PATH, where the engine's own may not be seen."""
        runtime = (self.info.get("Runtimes") or {}).get("nvidia")
        program = str(runtime.get("path", "")) if isinstance(runtime, dict) else ""
        beside = os.path.join(os.path.dirname(program), HOOK)
        return beside if self.path is None and program.startswith("/") and os.path.exists(beside) else ""

    def has_given(self) -> bool:
        """Whether a container was started with --gpus since the engine's start: it can, whatever it finds by now."""
        try:
            listed = self.engine.containers()[:MOST] if self.since else []
            return any(_was_given(self.engine.full_spec(one.id) or {}, self.since or 0) for one in listed)
        except EngineError:
            return False

    def devices(self) -> Optional[Set[str]]:
        """The CDI devices that it knows, by name; None where that cannot be seen."""
        told = self.info.get("DiscoveredDevices")
        return specified(self.folders) if told is None else {str(one.get("ID", "")) for one in told}


def _was_given(spec: Dict[str, Any], since: float) -> bool:
    wanted = (spec.get("HostConfig") or {}).get("DeviceRequests") or ()
    began = (spec.get("State") or {}).get("StartedAt")
    try:
        by_gpus = [one for one in wanted if isinstance(one, dict) and one.get("Driver") != "cdi"]
        return bool(by_gpus) and moment(str(began)) > since
    except ValueError:
        return False


def specified(folders: Sequence[str]) -> Optional[Set[str]]:
    """The devices that specs in these folders name, by what their text has of names; None where one cannot be read."""
    found: Set[str] = set()
    try:
        for path in _specs(folders):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(SPEC)
            kind = _KIND.search(text)
            found |= {f"{kind[1]}={one}" for one in _NAME.findall(text)} if kind else set()
    except OSError:
        return None
    return found


def _specs(folders: Sequence[str]) -> Iterator[str]:
    for folder in filter(os.path.isdir, folders):
        for entry in os.listdir(folder):
            path = os.path.join(folder, entry)
            if entry.endswith((".yaml", ".json")) and os.path.isfile(path):
                yield path


def check(name: str, wanted: Sequence[str], engine: Engine) -> Check:
    """`wanted`: `gpus` of each service that wants any, as a Spec has it."""
    able = Ability(engine)
    found = [_by_name(able, one) if one.startswith(CDI) else _by_gpus(able, one) for one in wanted]
    found = found or [_either(able)]
    level, _, hint = max(found, key=lambda one: (OK, UNKNOWN, CRITICAL).index(one[0]))
    said = dict.fromkeys(said for one, said, _ in found if one != OK or level == OK)
    return Check(name, level, "; ".join(said), {"wanted": list(wanted)}, hint)


def _either(able: Ability) -> Verdict:
    """No service wants any: what is there for one that will."""
    by_gpus, by_name = _by_gpus(able, "all"), _by_name(able, f"{CDI}gpu=all")
    return by_name if by_gpus[0] != OK and by_name[0] == OK else by_gpus


def _by_name(able: Ability, wanted: str) -> Verdict:
    """CDI devices that are asked for by their names."""
    if able.is_before(KNOWS_CDI):
        hint = "say gpus: all in hosts.yaml, which takes NVIDIA's hook, or update docker"
        return CRITICAL, f"docker {named(able.said)} knows no CDI, which comes with 25: {wanted} is nothing to it", hint
    if not able.folders:
        return CRITICAL, f"docker reads no CDI specs, and so does not know {wanted}", able.enable
    known, where = able.devices(), " or ".join(map(named, able.folders))
    if known is None:
        return UNKNOWN, f"a CDI spec in {where} cannot be read", "let the login user read it"
    missing = ", ".join(one for one in wanted.split(",") if one not in known)
    if not missing:
        return OK, f"docker gives GPUs to containers by CDI ({wanted})", ""
    some = one_line(", ".join(sorted(known))) or "none"
    wrong = [one_line(one) for one in able.info.get("Warnings") or () if one.startswith("CDI: ")]
    said = "; ".join([f"docker knows no CDI device {missing} (it knows {some})", *wrong[:1]])
    return CRITICAL, said, f"name others in hosts.yaml, or have root write a spec: nvidia-ctk cdi generate to {where}"


def _by_gpus(able: Ability, wanted: str) -> Verdict:
    """What `docker create --gpus` will come to."""
    hook, by_cdi = able.hook(HOOK), None if able.is_before(GPUS_BY_CDI) else able.hook(CDI_HOOK)
    known = able.devices() or set()
    missing = [one for one in _as_cdi(wanted) if one not in known]
    ways = [one for one in (hook, None if missing or not able.version else by_cdi) if one]
    sure = [one.path for one in ways if one.newer is False]
    if sure or (ways and able.has_given()):
        return OK, f"docker gives GPUs to containers by --gpus ({(sure or [ways[0].path])[0]})", ""
    if ways:
        when = "was put there or changed after" if ways[0].newer else "may be newer than"
        said = f"{ways[0].path} {when} the engine's start: docker takes --gpus only if it was there by then"
        return UNKNOWN, f"{said}, which cannot be told", able.restart
    beside = able.elsewhere()
    if beside:
        said = f"whether {named(beside)} is on the engine's PATH, so that it takes --gpus, this user may not see"
        return UNKNOWN, said, f"put it there, then {able.restart}"
    why = f"it takes --gpus only with {HOOK} on its PATH, which is not there"
    if by_cdi:
        why = f"it makes CDI devices of --gpus, and does not know {', '.join(missing)}"
    runtime = "; its runtime nvidia does not change that" if "nvidia" in (able.info.get("Runtimes") or {}) else ""
    said = f"docker {named(able.said)} has no GPU support for gpus: {named(wanted)}: {why}{runtime}"
    return CRITICAL, said, _remedy(able, wanted)


def _as_cdi(wanted: str) -> List[str]:
    """The CDI devices of `all`, a count or `device=0,1`."""
    ids = map(str, range(int(wanted))) if wanted.isdigit() else wanted.rpartition("=")[2].split(",")
    return [f"{CDI}gpu={one}" for one in ids]


def _remedy(able: Ability, wanted: str) -> str:
    """What to install; or to write in hosts.yaml, where CDI works as it is or once it is let."""
    install = f"install nvidia-container-toolkit (its -base package lacks the hook), then {able.restart}"
    known = able.devices() if able.folders else specified(FOLDERS)
    devices = _as_cdi(wanted)
    if able.is_before(KNOWS_CDI) or not known or not known.issuperset(devices):
        return install
    ids = ", ".join(f'"{one.partition("=")[2]}"' for one in devices)
    let = "" if able.folders else f"{able.enable}, and "
    return f"{let}write gpus: {{cdi: {'all' if wanted == 'all' else f'[{ids}]'}}} in hosts.yaml; or {install}"
