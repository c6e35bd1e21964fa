"""Wall time of whole commands: questions over one bare ssh with the same ones, `fab --list` over an empty fabfile's."""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.pairs import Figure, Pairs, measure
from gpu_runbook.laptop.errors import Defect
from sandbox import Sandbox
from sandbox.place import CHECKOUT, CONSUMER_REPOSITORY, LOGIN_USER, TRAINING_REPOSITORY
from sandbox.services import REGISTRY_USER
from tests.deploy.laptop import FAB, QUEUE, Laptop

STARTED, TRIPS = "start of fab itself, without a line of ours", "round trips of `fab health`"
MISSED = """\
**{what} misses its limit.** The script over `ssh` needs {floor:.2f} s in all. Fabric alone takes {started:.2f} s
to start, before a line of this project is read, where `ssh` takes next to nothing; connecting, logging in and asking
are {trips:.1f} round trips, which is {way:.2f} s. That leaves {left:.2f} s for sshd's own work, the key exchange,
Python on the server and the five questions; these and our own start-up take {rest:.2f} s. At a greater distance the
fewer round trips outweigh Fabric's start.
"""
EMPTY = 'from invoke import task\n\n\n@task\ndef nothing(context):\n    """Do nothing."""\n'


def health(laptop: Laptop, count: int, rtt: int) -> list[Pairs]:
    """Start-up included on both sides, and the same key exchange."""
    return _over_ssh(laptop, count, "health", {f"fab health, {rtt} ms": 1.0 if rtt else None}, floor_health(laptop))


def status(laptop: Laptop, count: int, rtt: int) -> list[Pairs]:
    return _over_ssh(laptop, count, "status", {f"fab status, {rtt} ms": 1.0}, floor_status(laptop))


def preflight(laptop: Laptop, count: int, rtt: int) -> list[Pairs]:
    return _over_ssh(laptop, count, "preflight", {f"fab preflight, {rtt} ms": 1.0}, floor_preflight(laptop))


def logs(laptop: Laptop, count: int, rtt: int) -> list[Pairs]:
    words = f"logs {QUEUE} --tail 20"
    return _over_ssh(laptop, count, words, {f"fab logs --tail 20, {rtt} ms": 1.1}, _script("logs"))


def _over_ssh(laptop: Laptop, count: int, words: str, row: dict[str, float | None], script: str) -> list[Pairs]:
    ours, floor = [*FAB, *words.split()], bare_ssh(laptop.sandbox)
    return measure(row, lambda: seconds(ours, laptop.folder), lambda: seconds(floor, laptop.folder, script), count)


def floor_health(laptop: Laptop) -> str:
    return _script("health") + _stream(laptop)


def floor_status(laptop: Laptop) -> str:
    training = f"TRAINING={laptop.sandbox.registry}/{TRAINING_REPOSITORY}"
    return _script("status").replace("REPOSITORY\n", f"{training}\n") + _stream(laptop)


def floor_preflight(laptop: Laptop) -> str:
    registry = laptop.sandbox.registry
    login = {"username": REGISTRY_USER, "password": laptop.variables["REGISTRY_PASSWORD"], "serveraddress": registry}
    images = " ".join(f"{registry}/{name}:1.0" for name in (CONSUMER_REPOSITORY, TRAINING_REPOSITORY))
    encoded = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
    return (
        _script("preflight").replace("LOGIN\n", f"LOGIN={encoded}\n", 1).replace("IMAGES\n", f"IMAGES='{images}'\n", 1)
    )


def _script(name: str) -> str:
    """A floor without its comments: they name what is replaced."""
    lines = Path(__file__).with_name(f"floor_{name}.sh").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("#"))


def _stream(laptop: Laptop) -> str:
    known = laptop.variables
    address = (known["RABBITMQ_HOST"], int(known["RABBITMQ_PORT"]), known["RABBITMQ_QUEUE_NAME"])
    login = (known["RABBITMQ_MONITOR_USER"], known["RABBITMQ_MONITOR_PASSWORD"])
    return _script("stream").replace("ADDRESS\n", f"HOST, PORT, STREAM, USER, PASSWORD = {(*address, *login)!r}\n")


def listing(folder: Path, count: int) -> list[Pairs]:
    (folder / "fabfile.py").write_text(EMPTY)
    listed = [sys.executable, "-m", "fabric", "--list"]
    return measure({"fab --list": 1.25}, lambda: seconds(listed, CHECKOUT), lambda: seconds(listed, folder), count)


def made_of(measured: Sequence[Pairs], count: int) -> list[Figure]:
    """What of a health check no code of ours can make shorter: Fabric's own start, and the round trips of SSH.

    `measured`: the pairs of `health` at 0, 20 and 100 ms of round trip.
    """
    near, *_, far = measured
    started = statistics.median(
        seconds([sys.executable, "-m", "fabric", "--version"], CHECKOUT)[0] for _ in range(count)
    )
    return [
        Figure(STARTED, started, "s"),
        Figure(TRIPS, _between(near.ours, far.ours) / 0.1, ""),
        Figure("round trips of the script over one `ssh`", _between(near.floor, far.floor) / 0.1, ""),
    ]


def why_missed(pairs: Pairs, figures: Sequence[Figure]) -> str:
    """What a health check that is slower than its floor spends its time on; empty for anything else."""
    if pairs.kept or not pairs.what.startswith("fab health"):
        return ""
    known = {figure.what: figure.value for figure in figures}
    distance = int(pairs.what.split()[-2]) / 1000
    started, way = known[STARTED], known[TRIPS] * distance
    ours, floor = statistics.median(pairs.ours), statistics.median(pairs.floor)
    return MISSED.format(
        what=pairs.what,
        floor=floor,
        started=started,
        trips=known[TRIPS],
        way=way,
        left=floor - started - way,
        rest=ours - started - way,
    )


def _between(near: Sequence[float], far: Sequence[float]) -> float:
    return statistics.median(far) - statistics.median(near)


def bare_ssh(sandbox: Sandbox) -> list[str]:
    return [
        *("ssh", "-F", "none", "-i", str(sandbox.key_file), "-p", str(sandbox.ssh_port)),
        *("-o", f"UserKnownHostsFile={sandbox.known_hosts}", "-o", "KexAlgorithms=curve25519-sha256"),
        *(f"{LOGIN_USER}@127.0.0.1", "sh -s"),
    ]


def seconds(words: list[str], folder: Path, script: str = "") -> list[float]:
    """How long a command took, in a folder; Python may keep what it compiled, as on anybody's laptop."""
    begun = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "HOME": str(folder)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    ended = subprocess.run(words, cwd=folder, input=script, capture_output=True, text=True, env=env)
    taken = time.monotonic() - begun
    if ended.returncode:
        raise Defect(f"what was to be measured ended with {ended.returncode}: {' '.join(words)}", ended.stderr)
    return [taken]
