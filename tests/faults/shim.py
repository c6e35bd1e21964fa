"""The shims in front of docker and python3 on the sandbox's server, and the points at which they halt a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox import Sandbox, run_inside
from tests.real import STATE

HERE = "/var/faults"  # not below /run, which a reboot empties
SHIMS = {"docker": "docker.sh", "python3": "python.py"}
PLACE = "/usr/local/bin"

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
SYNC = "at sync"  # of any other file than the journal: in the middle of writing it
CHANGE = "at change"  # before a file or directory of the state, or the crontab, is changed


@dataclass(frozen=True)
class Point:
    """Before or after the nth call of docker that changes something, when the journal has n lines, at the nth sync, or
    at the nth change of the state.

    The run is halted there: whatever strikes, strikes exactly at that point. A line is written then, but not synced.
    """

    when: str
    number: int

    def __str__(self) -> str:
        return f"{self.when} {self.number}" if self.when.startswith("at ") else f"{self.when} call {self.number}"


def install(sandbox: Sandbox) -> None:
    """Put the shims in front of docker and python3; `remove` takes them away."""
    run_inside(
        sandbox,
        [
            "sh",
            "-ec",
            f"mkdir -p {HERE}; cd {HERE}; : >log; : >at; echo 0 >count; echo 0 >clock; : >synced; chmod -R 777 {HERE}",
        ],
    )
    for program, source in SHIMS.items():
        run_inside(sandbox, ["tee", f"{PLACE}/{program}"], input=Path(__file__).with_name(source).read_text())
        run_inside(sandbox, ["chmod", "755", f"{PLACE}/{program}"])


def remove(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["rm", "-rf", *(f"{PLACE}/{program}" for program in SHIMS), HERE])


def arm(sandbox: Sandbox, point: Point) -> None:
    """From now on calls and lines are counted from one, and the run halts at the point."""
    script = f"cd {HERE}; rm -f reached go; : >synced; echo 0 >count; echo '{point.when} {point.number}' >at"
    run_inside(sandbox, ["sh", "-ec", script])


def set_clock(sandbox: Sandbox, seconds: float = 0.0) -> None:
    """Everything of ours on the server takes it to be so much later than it is, until this is called again."""
    run_inside(sandbox, ["sh", "-c", f"echo {seconds} >{HERE}/clock"])


def let_go(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["sh", "-ec", f": >{HERE}/at; : >{HERE}/go"])


def go_on(sandbox: Sandbox, seconds: float) -> None:
    """Let whoever is halted go on, and then halt the next who comes to the point that was armed since."""
    run_inside(sandbox, ["sh", "-ec", f": >{HERE}/go; sleep {seconds}; rm {HERE}/go"])


def wait_for_point(sandbox: Sandbox, point: Point, ended: Callable[[], bool], seconds: float = 40) -> bool:
    """Wait until the run has come to the point; False when it ended without ever coming there."""
    until = time.monotonic() + seconds
    reached = sandbox.server.root / f"{HERE}/reached".lstrip("/")  # seen from outside: asking inside takes a process
    while time.monotonic() < until:
        if reached.exists() and reached.stat().st_size:  # it is made first, and written afterwards
            return True
        if ended():
            return reached.exists()
        time.sleep(0.02)
    raise AssertionError(f"the run came neither to {point} nor to its end")


def family(sandbox: Sandbox) -> list[int]:
    """The process ids, on the server, of the run that holds the lock and of its children; the run's own is first."""
    words = ["/usr/bin/python3", "-IS", "-c", _FAMILY, f"{STATE}/lock"]
    found: list[int] = json.loads(run_inside(sandbox, words, check=False).stdout or "[]")
    return found


def halted(sandbox: Sandbox) -> int:
    """The process id of whoever is halted: a run's, or that of one who has not got the lock yet."""
    return int(run_inside(sandbox, ["cat", f"{HERE}/reached"]).stdout)


def is_free(sandbox: Sandbox) -> bool:
    """Whether nobody holds the lock: neither a run nor a child that it left behind."""
    words = ["sh", "-c", f"[ ! -e {STATE}/lock ] || flock --shared --nonblock {STATE}/lock true"]
    return run_inside(sandbox, words, check=False).returncode == 0


def lose_what_was_not_synced(sandbox: Sandbox) -> None:
    """Cut the journal off where it was last synced, as a power cut may."""
    script = f"if read size journal; then truncate --no-create --size=$size $journal; fi <{HERE}/synced"
    run_inside(sandbox, ["sh", "-ec", script])


def logged(sandbox: Sandbox) -> list[list[str]]:
    """Every argument list that docker was called with."""
    log = run_inside(sandbox, ["cat", f"{HERE}/log"]).stdout
    return [line.split("\0")[:-1] for line in log.split("\n") if line]
