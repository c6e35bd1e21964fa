"""Runs on the server, and prints everything that a case is judged by: one look, so that it is of one moment."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path("/azaion")
STATE = Path("/home/deploy/.local/state/gpu-runbook")
DEPLOY = next(STATE.glob("azaion*"), STATE)
LABEL = "gpu-runbook"


def docker(*words: str) -> str:
    return subprocess.run(["/usr/bin/docker", *words], check=True, capture_output=True, text=True).stdout


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def containers() -> list[dict[str, Any]]:
    ids = docker("ps", "--all", "--quiet", "--no-trunc").split()
    return [container(one) for one in json.loads(docker("inspect", *ids))] if ids else []


def container(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["Id"],
        "name": found["Name"].lstrip("/"),
        "runs": found["State"]["Running"] or found["State"]["Restarting"],
        "since": found["State"]["StartedAt"],
        "pid": found["State"]["Pid"],
        "policy": found["HostConfig"]["RestartPolicy"]["Name"],
        "service": (found["Config"]["Labels"] or {}).get(f"{LABEL}.service", ""),
    }


def events(since: float) -> list[dict[str, Any]]:
    window = ["--since", f"{since:.6f}", "--until", f"{time.time():.6f}"]
    answer = docker("events", *window, "--filter", "type=container", "--format", "{{json .}}")
    return [json.loads(line) for line in answer.splitlines()]


def journals() -> dict[str, list[Any]]:
    """Every journal's lines; None for one that is torn."""
    return {path.stem: [parsed(raw) for raw in read(path).splitlines()] for path in sorted(DEPLOY.glob("runs/*.jsonl"))}


def parsed(raw: bytes) -> Any:
    """A line of a journal; of its plan only the release it leads to, the one it leaves, and the containers found."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    plan = line.pop("plan", None)
    if plan is None:
        return line
    olds = [step["old"] for step in plan["consumers"] if step["old"]]
    return {**line, "release": plan["release"], "leaves": plan["leaves"], "olds": olds}


def lock_is_free() -> bool:
    try:
        with (DEPLOY / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def main(since: float) -> None:
    files = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*")) if path.is_file()}
    files |= {f"state/{path.relative_to(DEPLOY)}": path for path in sorted(DEPLOY.rglob("*")) if path.is_file()}
    configs = {name: path for name, path in files.items() if path.name in ("config.yaml", "before.yaml")}
    seen = {
        "containers": containers(),
        "events": events(since),
        "journals": journals(),
        "record": json.loads(read(DEPLOY / "previous-tags.json") or b'{"current": "", "releases": []}'),
        "files": list(files),
        "digests": {name: hashlib.sha256(read(path)).hexdigest() for name, path in configs.items()},
        "offset": read(ROOT / "offset.yaml").decode(),
        "annotations": read(ROOT / "annotations.log").decode(),
        "free": lock_is_free(),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(float(sys.argv[1]))
