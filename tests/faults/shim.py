"""The shim in front of docker on the sandbox's server, and the points at which it halts a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox import Sandbox, run_inside
from tests.real import ROOT

HERE = "/var/faults"  # not below /run, which a reboot empties
SHIM = "/usr/local/bin/docker"

# The processes of a run: the one that holds the lock, by the lock's own word, and all that descend from it.
_FAMILY = r"""
import json, os, sys
try:
    top = json.load(open(sys.argv[1]))["pid"]
except (OSError, ValueError, KeyError):
    sys.exit()
parents = {}
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        parents[int(name)] = int(open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        continue
family = [top] if top in parents else []
for pid in family:
    family += [child for child, parent in parents.items() if parent == pid]
print(json.dumps(family))
"""


WHENS = ("before", "after", "at line")


@dataclass(frozen=True)
class Point:
    """Before or after the nth call of docker that changes something, or as soon as the journal has n lines.

    A run is halted at a call; it is not halted at a line of its journal, so that a death there strikes a little later.
    """

    when: str
    number: int

    def __str__(self) -> str:
        return f"{self.when} {self.number}" if self.when == "at line" else f"{self.when} call {self.number}"


def install(sandbox: Sandbox) -> None:
    """Put the shim in front of docker; `remove` takes it away."""
    run_inside(
        sandbox,
        ["sh", "-ec", f"mkdir -p {HERE}; : >{HERE}/log; : >{HERE}/at; echo 0 >{HERE}/count; chmod -R 777 {HERE}"],
    )
    run_inside(sandbox, ["tee", SHIM], input=Path(__file__).with_name("docker.sh").read_text())
    run_inside(sandbox, ["chmod", "755", SHIM])


def remove(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["rm", "-rf", SHIM, HERE])


def arm(sandbox: Sandbox, point: Point) -> None:
    """From now on calls are counted from one, and the run halts at the point."""
    script = f"rm -f {HERE}/reached {HERE}/go; echo 0 >{HERE}/count; echo '{point.when} {point.number}' >{HERE}/at; "
    # The journals that are there already are not the one that is waited for.
    script += f"ls {ROOT}/.deploy/runs >{HERE}/runs 2>/dev/null || true"
    run_inside(sandbox, ["sh", "-ec", script])


def let_go(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["sh", "-ec", f": >{HERE}/at; : >{HERE}/go"])


def wait_for_point(sandbox: Sandbox, point: Point, ended: Callable[[], bool], seconds: float = 40) -> bool:
    """Wait until the run has come to the point; False when it ended without ever coming there."""
    until = time.monotonic() + seconds
    reached = _line_reached if point.when == "at line" else _call_reached
    while time.monotonic() < until:
        if reached(sandbox, point):
            return True
        if ended():
            return point.when != "at line" and reached(sandbox, point)
        time.sleep(0.02)
    raise AssertionError("the run came neither to the point nor to its end")


def _call_reached(sandbox: Sandbox, point: Point) -> bool:
    return run_inside(sandbox, ["test", "-e", f"{HERE}/reached"], check=False).returncode == 0


def _line_reached(sandbox: Sandbox, point: Point) -> bool:
    """Whether a journal that is new has so many lines, and its run has not ended."""
    new = f"ls {ROOT}/.deploy/runs 2>/dev/null | grep '[.]jsonl$' | grep -vxFf {HERE}/runs"
    script = (
        f"cd {ROOT}/.deploy/runs && run=$({new}) && [ $(wc -l <$run) -ge {point.number} ] && ! grep -q '\"end\"' $run"
    )
    return run_inside(sandbox, ["sh", "-c", script], check=False).returncode == 0


def family(sandbox: Sandbox) -> list[int]:
    """The process ids, on the server, of the run that holds the lock and of its children; the run's own is first."""
    out = run_inside(sandbox, ["python3", "-IS", "-c", _FAMILY, f"{ROOT}/.deploy/lock"], check=False).stdout
    found: list[int] = json.loads(out or "[]")
    return found


def logged(sandbox: Sandbox) -> list[list[str]]:
    """Every argument list that docker was called with."""
    log = run_inside(sandbox, ["cat", f"{HERE}/log"]).stdout
    return [line.split("\0")[:-1] for line in log.split("\n") if line]
