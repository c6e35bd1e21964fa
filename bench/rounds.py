"""What a round of the scheduled check costs: processor time, memory, and the size of a month of them."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from bench.pairs import Figure
from gpu_runbook.laptop.errors import Defect
from gpu_runbook.laptop.schedule.timeline import moment
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.rounds import Round
from gpu_runbook.server.schedule import history
from gpu_runbook.server.state.schedule_files import HISTORY, PROGRAM, SETTINGS
from sandbox import Sandbox, run_inside, set_gpu, start, stop
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import Laptop
from tests.real import STATE
from tests.schedule.receivers import HttpReceiver, self_signed

FOLDER = f"{STATE}/health"
AUTHORITIES = "/tmp/authorities.pem"  # noqa: S108  on the sandbox's own server
SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS, MEGABYTES, SIZE = 0.3, 40, 20  # of processor time, of memory and of the history, at most
MEGABYTE = 1e6
DAYS, EVERY = 30, 300  # days that a history goes back, and seconds from one round to the next
SOUND = (0, 1, 2)  # exit statuses of a round that has looked

# One round with what cron gives to it; processor time and peak memory as the kernel counted them for the process and
# all its children, and the children's part of the time, in ticks of the clock. Argument: the program.
_ROUND = """
import json, os, sys
home = os.path.expanduser("~")
given = {"HOME": home, "LOGNAME": os.path.basename(home), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
os.chdir(home)
silent = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
silent += [(os.POSIX_SPAWN_OPEN, handle, os.devnull, os.O_WRONLY, 0) for handle in (1, 2)]
pid = os.posix_spawn("/usr/bin/python3", ["python3", "-IS", sys.argv[1]], given, file_actions=silent)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
times = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[13:15]
_, status, used = os.wait4(pid, 0)
children = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
status = os.waitstatus_to_exitcode(status)
print(json.dumps([status, used.ru_utime + used.ru_stime, children, used.ru_maxrss * 1024]))
"""


@dataclass(frozen=True)
class Cost:
    """Of one round: processor time in seconds with and without what it started, and peak memory in bytes."""

    seconds: float
    own: float
    peak: int


def figures(laptop: Laptop, count: int) -> list[Figure]:
    """Leaves the check there, makes rounds, and takes it away again. No consumer may be younger than `LOOP`."""
    with tempfile.TemporaryDirectory() as name, _looked_after(laptop):
        quiet = _rounds(laptop.sandbox, count)
        loud = _loud(laptop, Path(name))
        sizes, long, trimming = _month(laptop.sandbox, Path(name), count)
    return [
        Figure("processor time of a round, with what it starts", _median(quiet), "s", SECONDS),
        Figure("processor time of a round's own process", statistics.median(cost.own for cost in quiet), "s"),
        Figure("processor time of a round that alerts over HTTPS, with what it starts", loud.seconds, "s"),
        Figure("peak memory of a round", _peak(quiet), "MB", MEGABYTES),
        Figure("peak memory of a round that alerts over HTTPS", loud.peak / MEGABYTE, "MB", MEGABYTES),
        Figure(f"history of {DAYS} days, a round every {EVERY // 60} minutes", sizes[0], "MB", SIZE),
        Figure("the same at its longest, before what is too old goes", sizes[1], "MB", SIZE),
        Figure("processor time of a round over that history", _median(long), "s", SECONDS),
        Figure("processor time of the round that shortens it, once in three days", trimming.seconds, "s"),
        Figure("peak memory of the round that shortens it", trimming.peak / MEGABYTE, "MB", MEGABYTES),
    ]


@contextmanager
def _looked_after(laptop: Laptop) -> Iterator[None]:
    """Cron itself starts no round meanwhile."""
    stop(laptop.sandbox, "cron")
    _fab(laptop, "schedule.install")
    try:
        yield
    finally:
        _fab(laptop, "schedule.remove")
        start(laptop.sandbox, "cron")


def _loud(laptop: Laptop, folder: Path) -> Cost:
    """A round that has to tell of a GPU that is gone, and calls a heartbeat, among all the authorities there are."""
    sandbox, certificate = laptop.sandbox, self_signed(folder)
    with HttpReceiver(certificate) as receiver:
        alerts = {"ops": {"kind": "webhook", "url_variable": "BENCH_URL"}}
        laptop.hosts["schedule"] = {"alerts": alerts, "heartbeat_variable": "BENCH_URL"}
        laptop.variables["BENCH_URL"] = receiver.url("/bench")
        laptop.save()
        _fab(laptop, "schedule.install")
        _trust(sandbox, SYSTEM.read_text() + certificate.file.read_text())
        set_gpu(sandbox, gpus=1)
        made = _rounds(sandbox, 1)  # a second one has to see it before anybody is told
        (request, *_) = receiver.wait_for(3)
        set_gpu(sandbox)
        told = [one for one in receiver.requests if one.method == "POST"]
        if len(told) != 1:
            raise Defect(f"{len(told)} alerts came, and not one", str(request))
    del laptop.hosts["schedule"], laptop.variables["BENCH_URL"]
    laptop.save()
    _fab(laptop, "schedule.install")
    return made[0]


def _trust(sandbox: Sandbox, authorities: str) -> None:
    """Let rounds trust these, as a login would say it that installs the check."""
    run_inside(sandbox, ["tee", AUTHORITIES], input=authorities)
    path = f"{FOLDER}/{SETTINGS}"
    settings = json.loads(run_inside(sandbox, ["cat", path]).stdout)
    settings["environment"]["SSL_CERT_FILE"] = AUTHORITIES
    run_inside(sandbox, ["tee", path], user=LOGIN_USER, input=json.dumps(settings))


def _month(sandbox: Sandbox, folder: Path, count: int) -> tuple[tuple[float, float], list[Cost], Cost]:
    """Sizes in MB of a month and of the longest history, rounds over it, and the round that shortens it."""
    place = f"{FOLDER}/{HISTORY}"
    last = run_inside(sandbox, ["cat", place]).stdout.splitlines()[-1]
    month = _past(folder / "month", last, DAYS)
    longest = _past(folder / "longest", last, DAYS * history.SLACK)
    run_inside(sandbox, ["tee", place], user=LOGIN_USER, input=longest.read_text())
    long = _rounds(sandbox, count)
    outgrown = _past(folder / "outgrown", last, DAYS * history.SLACK + 1)
    run_inside(sandbox, ["tee", place], user=LOGIN_USER, input=outgrown.read_text())
    (trimming,) = _rounds(sandbox, 1)
    if int(run_inside(sandbox, ["stat", "--format=%s", place]).stdout) >= longest.stat().st_size:
        raise Defect("the history was not shortened")
    sizes = month.stat().st_size / MEGABYTE, longest.stat().st_size / MEGABYTE
    return sizes, long, trimming


def _past(path: Path, line: str, days: float) -> Path:
    """A history of so many days before a round, each round of it as that one was."""
    found = decode(Round, json.loads(line), "round")
    number = int(days * 86400 / EVERY)
    for ago in reversed(range(number)):
        at = moment(found.at) - timedelta(seconds=ago * EVERY)
        why = history.append(str(path), replace(found, at=at.strftime("%Y-%m-%dT%H:%M:%SZ")), days * 86400, EVERY)
        if why:
            raise Defect(why)
    return path


def _rounds(sandbox: Sandbox, count: int) -> list[Cost]:
    """So many, after one that is thrown away."""
    return [_round(sandbox) for _ in range(count + 1)][1:]


def _round(sandbox: Sandbox) -> Cost:
    words = ["/usr/bin/python3", "-IS", "-c", _ROUND, f"{FOLDER}/{PROGRAM}"]
    status, seconds, children, peak = json.loads(run_inside(sandbox, words, user=LOGIN_USER).stdout)
    if status not in SOUND:
        raise Defect(f"a round ended with {status}")
    return Cost(seconds, seconds - children, peak)


def _median(costs: list[Cost]) -> float:
    return statistics.median(cost.seconds for cost in costs)


def _peak(costs: list[Cost]) -> float:
    return max(cost.peak for cost in costs) / MEGABYTE


def _fab(laptop: Laptop, *words: str) -> None:
    said = laptop.fab(*words)
    if said.status:
        raise Defect(f"fab {' '.join(words)} ended with {said.status}", said.all)
