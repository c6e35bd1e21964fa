"""Sees batch runs and does nothing about them: containers by `docker.batch_containers`, others by `batch_processes`,
and what is on the GPUs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from gpu_runbook.common import checkpoint, humanize
from gpu_runbook.common.clock import moment, now
from gpu_runbook.protocol.check import OK, UNKNOWN, Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import named, one_line, quoted
from gpu_runbook.protocol.plan import Occupant
from gpu_runbook.protocol.processes import ProcessRun, ProcessRuns
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.protocol.training import Checkpoint
from gpu_runbook.server.checks.gpu_support import Driver
from gpu_runbook.server.checks.nvidia_smi import Slice, query
from gpu_runbook.server.docker.batch_containers import is_listed_run
from gpu_runbook.server.docker.containers import AT_WORK, occupant
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.system.processes import container_of, lineage

UNSEEN = "let the login see them (hidepid= and gid= of /proc), or say sudo: true; or correct process: in hosts.yaml"
MOST = 10_000  # entries of a folder of checkpoints that are looked at

Run = Union[Occupant, ProcessRun]


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
    seen: Optional[Dict[str, ProcessRuns]] = None,
) -> Check:
    """What runs, since when and where. Whatever it is: a deploy leaves it alone.

    `seen`: by service, to be told of the runs that are no containers, in which something may hang.
    """
    found = runs(entry, engine, listed)
    outside = of_server(entry)
    every: Sequence[Run] = (*found, *outside.runs)
    if seen is not None:
        seen[entry.service] = outside
    processes = on_gpu(driver) if gpus else []
    on = _by_run(processes or (), outside.runs)
    indices = driver.indices() if processes else {}
    slices = driver.by_process() if processes else {}
    said = [_said(run, entry, _where(on.get(_key(run), ()), indices, slices)) for run in every]
    active = [_figures(run, _numbers(on.get(_key(run), ()), indices)) for run in every]
    figures: Dict[str, Any] = {"runs": len(active), "active": active}
    if found and not _outlives(engine):
        said.append("a restart of docker would end it: live-restore is off")
    if entry.checkpoints:
        last = newest(entry.checkpoints, entry.checkpoint)
        said.append(checkpoint.told(last, entry.checkpoints))
        figures.update({"checkpoint": last.name, "age": max(last.age, 0.0)} if last.name else {})
    if outside.unseen:
        said += [
            f"{'what else' if outside.runs else 'whether one'} runs in no container is not known: {outside.unseen}"
        ]
        return Check(name, UNKNOWN, "; ".join(said), figures, UNSEEN)
    if processes is None:
        said += ["what is on the GPUs could not be asked"]
        return Check(name, UNKNOWN, "; ".join(said), figures, "see nvidia-smi on the server")
    of_runs = {one.pid for run in every for one in on.get(_key(run), ())}
    said += dict.fromkeys(_foreign(one, indices, slices) for one in processes if one.pid not in of_runs)
    none = [] if active else [f"no run of {entry.service} is active"]
    return Check(name, OK, "; ".join(none + said), figures)


def of_server(entry: Wanted) -> ProcessRuns:
    """The runs of a service that are processes of the server itself."""
    if entry.process is None:
        return ProcessRuns()
    from gpu_runbook.server.checks import batch_processes

    return batch_processes.find(entry.process)


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


def _by_run(processes: Sequence[Process], outside: Sequence[ProcessRun]) -> Dict[str, List[Process]]:
    """The processes on the GPUs, by the container that they are in or the run of these that they are of."""
    found: Dict[str, List[Process]] = {}
    for one in processes:
        run = one.container
        if outside and not run:
            run = next((str(pid) for pid in lineage(one.pid) if pid in [run.pid for run in outside]), "")
        found.setdefault(run, []).append(one)
    return found


def _key(run: Run) -> str:
    return run.container if isinstance(run, Occupant) else str(run.pid)


def _numbers(processes: Sequence[Process], indices: Dict[str, int]) -> List[int]:
    return sorted({indices[uuid] for one in processes for uuid in one.gpus if uuid in indices})


def _where(processes: Sequence[Process], indices: Dict[str, int], slices: Dict[int, Slice]) -> str:
    """The GPUs of processes, or the MIG devices of those that are on some; empty where none is known."""
    parts = sorted({slices[one.pid] for one in processes if one.pid in slices})
    whole = [gpu for gpu in _numbers(processes, indices) if gpu not in {one.gpu for one in parts}]
    numbers = [f"GPU {', '.join(map(str, whole))}"] if whole else []
    return ", ".join([*numbers, *map(str, parts)])


def _said(run: Run, entry: Wanted, where: str) -> str:
    on = f" on {where}" if where else ""
    since = humanize.span(moment(now()) - moment(run.started_at))
    if isinstance(run, ProcessRun):
        return f"{run.name} of {named(run.user)} runs for {since}{on}, and is left alone"
    name = named(run.name, entry.marks.container if entry.marks else "")
    return f"{name} runs for {since}{on} from image {named(run.image[7:19])}, and is left alone"


def _figures(run: Run, gpus: List[int]) -> Dict[str, Any]:
    if isinstance(run, ProcessRun):
        return {**encode(run), "gpus": gpus}
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


def newest(folder: str, name: str = "") -> Checkpoint:
    """The newest checkpoint in a folder, or of those of this name."""
    try:
        found = max(saved(folder, name), default=None)
    except OSError as error:
        return Checkpoint(trouble=str(error.strerror))
    leads = guarded.leads(folder)
    if found is None:
        return Checkpoint(leads=leads)
    modified, path = found
    return Checkpoint(one_line(os.path.relpath(path, folder)), round(time.time() - modified, 1), leads=leads)


def saved(folder: str, name: str = "") -> Iterator[Tuple[float, str]]:
    """(time of its last change, path) of files in a folder and in those right below it. Raises OSError.

    With a `name` only of files of that name, and also in the folders right below those.
    """
    left = itertools.repeat(None, MOST)
    with guarded.folder(folder) as at:
        yield from _within(at, folder, name, 2 if name else 1, left)


def _within(at: int, folder: str, name: str, deep: int, left: Iterator[None]) -> Iterator[Tuple[float, str]]:
    """Of an open folder and those below it, so `deep`; of so many entries as are `left`."""
    inner = []
    with os.scandir(at) as entries:
        for entry, _ in zip(entries, left):
            with contextlib.suppress(OSError):  # it was renamed into its place meanwhile
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.name)
                elif entry.is_file(follow_symlinks=False) and name in ("", entry.name):
                    yield entry.stat(follow_symlinks=False).st_mtime, os.path.join(folder, entry.name)
    for one in inner if deep else ():
        with contextlib.suppress(OSError), guarded.inner(at, one) as below:
            yield from _within(below, os.path.join(folder, one), name, deep - 1, left)
