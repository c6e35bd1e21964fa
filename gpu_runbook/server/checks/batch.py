"""Sees batch runs and does nothing about them: by `docker.batch_containers`, and by the processes on the GPU."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from gpu_runbook.common import checkpoint, humanize
from gpu_runbook.common.clock import moment, now
from gpu_runbook.protocol.check import OK, UNKNOWN, Check
from gpu_runbook.protocol.foreign_text import named, one_line, quoted
from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.protocol.training import Checkpoint
from gpu_runbook.server.checks.gpu_support import Driver
from gpu_runbook.server.checks.nvidia_smi import Slice, query
from gpu_runbook.server.docker.batch_containers import is_listed_run
from gpu_runbook.server.docker.containers import AT_WORK, occupant
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system.processes import container_of

MOST = 10_000  # entries of a folder of checkpoints that are looked at


class Process(NamedTuple):
    """One process on the GPUs: what it calls itself; the container it is in, or nothing; the uuids of its GPUs."""

    pid: int
    program: str
    container: str
    gpus: Tuple[str, ...]


def runs(entry: Wanted, engine: Engine, listed: Sequence[ListedContainer]) -> Tuple[Occupant, ...]:
    """The running containers that hosts.yaml recognises as this service's."""
    found, marks = [], [entry.marks] if entry.marks else []
    for one in listed:
        if one.state in AT_WORK and is_listed_run(engine, marks, one):
            container = engine.container(one.id)
            if container is not None:
                found.append(occupant(container))
    return tuple(found)


def check(
    name: str,
    entry: Wanted,
    engine: Engine,
    listed: Sequence[ListedContainer],
    gpus: int,
    driver: Driver,
) -> Check:
    """What runs, since when and where. Whatever it is: a deploy leaves it alone."""
    found = runs(entry, engine, listed)
    processes = on_gpu(driver) if gpus else []
    indices = driver.indices() if processes else {}
    slices = driver.by_process() if processes else {}
    at_work = {run.container: _gpus(run.container, processes or (), indices) for run in found}
    said = [_said(run, entry, _where(_of(run.container, processes or ()), indices, slices)) for run in found]
    figures: Dict[str, Any] = {"runs": len(found), "active": [_figures(run, at_work[run.container]) for run in found]}
    if found and not _outlives(engine):
        said.append("a restart of docker would end it: live-restore is off")
    if entry.checkpoints:
        last = newest(entry.checkpoints)
        said.append(checkpoint.told(last, entry.checkpoints))
        figures.update({"checkpoint": last.name, "age": max(last.age, 0.0)} if last.name else {})
    if processes is None:
        said += ["what is on the GPUs could not be asked"]
        return Check(name, UNKNOWN, "; ".join(said), figures, "see nvidia-smi on the server")
    said += dict.fromkeys(_foreign(one, indices, slices) for one in processes if one.container not in at_work)
    none = [] if found else [f"no run of {entry.service} is active"]
    return Check(name, OK, "; ".join(none + said), figures)


def on_gpu(driver: Driver) -> Optional[List[Process]]:
    """The processes on the GPUs; None when the driver does not say."""
    ended = driver.ask(query(("pid", "gpu_uuid", "process_name"), "compute-apps"))
    if ended is None or not ended.ok:
        return None
    found: Dict[int, Process] = {}
    for line in ended.out.splitlines():
        pid, gpu, program = (*map(one_line, line.split(",", 2)), "", "")[:3]
        if re.fullmatch(r"[0-9]{1,9}", pid):
            known = found.get(int(pid)) or Process(int(pid), program, container_of(int(pid)), ())
            found[int(pid)] = known._replace(gpus=(*known.gpus, gpu))
    return list(found.values())


def _outlives(engine: Engine) -> bool:
    """Whether containers go on while their engine is restarted; so taken where it does not say."""
    try:
        info = engine.get("/info", shape={"LiveRestoreEnabled": bool})
    except EngineError:
        return True
    return bool(info["LiveRestoreEnabled"])


def _of(container: str, processes: Sequence[Process]) -> List[Process]:
    return [one for one in processes if one.container == container]


def _gpus(container: str, processes: Sequence[Process], indices: Dict[str, int]) -> List[int]:
    """The numbers of the GPUs on which a container works."""
    return _numbers(_of(container, processes), indices)


def _numbers(processes: Sequence[Process], indices: Dict[str, int]) -> List[int]:
    return sorted({indices[uuid] for one in processes for uuid in one.gpus if uuid in indices})


def _where(processes: Sequence[Process], indices: Dict[str, int], slices: Dict[int, Slice]) -> str:
    """The GPUs of processes, or the MIG devices of those that are on some; empty where none is known."""
    parts = sorted({slices[one.pid] for one in processes if one.pid in slices})
    whole = [gpu for gpu in _numbers(processes, indices) if gpu not in {one.gpu for one in parts}]
    numbers = [f"GPU {', '.join(map(str, whole))}"] if whole else []
    return ", ".join([*numbers, *map(str, parts)])


def _said(run: Occupant, entry: Wanted, where: str) -> str:
    on = f" on {where}" if where else ""
    since = humanize.span(moment(now()) - moment(run.started_at))
    name = named(run.name, entry.marks.container if entry.marks else "")
    return f"{name} runs for {since}{on} from image {named(run.image[7:19])}, and is left alone"


def _figures(run: Occupant, gpus: List[int]) -> Dict[str, Any]:
    return {
        "container": run.container,
        "name": run.name,
        "image": run.image,
        "started_at": run.started_at,
        "gpus": gpus,
    }


def _foreign(one: Process, indices: Dict[str, int], slices: Dict[int, Slice]) -> str:
    what = f"container {one.container[:12]}" if one.container else f"process {one.pid} ({quoted(one.program)})"
    return f"{what} is on {_where([one], indices, slices) or 'the GPU'} and is left alone"


def newest(folder: str) -> Checkpoint:
    """The newest checkpoint in a folder."""
    try:
        found = max(_files(folder), default=None)
    except OSError as error:
        return Checkpoint(trouble=str(error.strerror))
    leads = guarded.leads(folder)
    if found is None:
        return Checkpoint(leads=leads)
    modified, path = found
    name = one_line(os.path.relpath(path, folder))
    return Checkpoint(name, round(time.time() - modified, 1), leads=leads)


def _files(folder: str) -> Iterator[Tuple[float, str]]:
    """(time of its last change, path) of files in a folder and in those right below it. Raises OSError."""
    left, inner = MOST, []
    with guarded.folder(folder) as at:
        with os.scandir(at) as entries:
            for entry in itertools.islice(entries, left):
                left -= 1
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.name)
                yield from _file(entry, folder)
        for name in inner:
            with contextlib.suppress(OSError), guarded.inner(at, name) as below, os.scandir(below) as entries:
                for entry in itertools.islice(entries, left):
                    left -= 1
                    yield from _file(entry, os.path.join(folder, name))


def _file(entry: os.DirEntry[str], folder: str) -> Iterator[Tuple[float, str]]:  # novm: nobody evaluates that
    with contextlib.suppress(OSError):  # it was renamed into its place meanwhile
        if entry.is_file(follow_symlinks=False):
            yield entry.stat(follow_symlinks=False).st_mtime, os.path.join(folder, entry.name)
