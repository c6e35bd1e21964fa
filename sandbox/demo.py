"""`make demo`: the main job on real input, typed as a person would type it, with the messages counted at the end."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from gpu_runbook.laptop.errors import Defect, Refused, RolledBack, RunbookError
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.terminal.screen import Screen, show_error
from sandbox import docker_events, finish, found, run_inside, start_publishing, up
from sandbox.place import CHECKOUT, DEFAULT_DIRECTORY, Sandbox
from sandbox.say import with_time

HOST = "gpu-sandbox"
LOG = "/azaion/annotations.log"
COUNT, RATE = 8_000, 100  # messages, and messages a second: a load that outlasts the swaps
BAD = "bad-labels"  # handles every message, and says in its log file that it could not label some
OTHER_MODEL = "2026-03-02"  # than the one in force
PATIENCE = 60.0  # seconds the consumer may take for what is left after the last message


@dataclass(frozen=True)
class Tally:
    """What became of the messages. `together`: whether two consumers ever ran at the same moment."""

    published: int
    consumed: int
    lost: int
    twice: int
    together: bool


def main() -> int:
    screen = Screen()
    try:
        sandbox = found(DEFAULT_DIRECTORY)
        _refuse_another_server(sandbox)
        screen.say("A GPU server of real parts comes up on this machine (on loopback only).", "bold")
        up(sandbox, with_time())
        return _show(sandbox, screen)
    except RunbookError as error:
        show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        screen.say("stopped; the sandbox stays up until you take it down: .venv/bin/fab sandbox.down")
        return 130


def _show(sandbox: Sandbox, screen: Screen) -> int:
    begun = time.time()
    first = len(set(_written(sandbox))) + 1
    _next(screen, f"A producer publishes {COUNT} numbered messages to the stream, {RATE} a second.")
    producer = start_publishing(sandbox, COUNT, RATE, first)
    _fab(screen, "The first deploy puts a consumer there.", "deploy", "--hosts", HOST)
    _fab(screen, "How is the server?", "health", "--hosts", HOST)
    deploy = ("deploy", "--hosts", HOST, "--tag")
    _fab(screen, "The next version replaces it, under load.", *deploy, "annotation-queue=1.1")
    bad = "A bad one: it runs, handles what comes, and errs in its log file alone. It goes back by itself."
    _fab(screen, bad, *deploy, f"annotation-queue={BAD}", ends=RolledBack.exit_code)
    _fab(screen, "And back by hand, to the first one.", "rollback", "--hosts", HOST)
    _fab(screen, "Another model is put in force, and the one before it back.", "models.use", OTHER_MODEL)
    _fab(screen, "", "models.rollback")
    _fab(screen, "", "models")
    _next(screen, "The consumer reads what is left …")
    tally = _tally(sandbox, finish(producer), first, begun)
    _conclude(screen, tally)
    return 0 if not (tally.lost or tally.twice or tally.together) else 1


def _refuse_another_server(sandbox: Sandbox) -> None:
    """hosts.yaml may have been edited; a demo deploys to nothing but the sandbox."""
    host = load_inventory(CHECKOUT / "hosts.yaml").hosts.get(HOST)
    if host is None or (host.address, host.port) != ("127.0.0.1", sandbox.ssh_port):
        raise Refused(
            f"hosts.yaml has no server {HOST} at 127.0.0.1:{sandbox.ssh_port} any more; the demo deploys to no other",
            "run the demo in a fresh clone; yours is ready for your own servers: fab deploy --dry-run",
        )


def _next(screen: Screen, text: str) -> None:
    """Something else begins; what, where that is not plain."""
    screen.say("")
    if text:
        screen.say(text, "bold")


def _fab(screen: Screen, why: str, *words: str, ends: int = 0) -> None:
    """`ends`: the exit status that it has to end with."""
    _next(screen, why)
    screen.say(f"$ fab {shlex.join(words)}", "cyan")
    ended = subprocess.run([sys.executable, "-m", "fabric", *words], cwd=CHECKOUT, check=False)
    if ended.returncode != ends:
        raise Defect(f"fab {words[0]} ended with exit status {ended.returncode}", "fab status; fab sandbox.status")


def _written(sandbox: Sandbox) -> list[str]:
    """The messages that consumers have written down, in their order."""
    log = run_inside(sandbox, ["cat", LOG], check=False).stdout
    return [line.split()[1] for line in log.splitlines()]


def _tally(sandbox: Sandbox, published: int, first: int, begun: float) -> Tally:
    expected = {f"msg-{number:06d}" for number in range(first, first + published)}
    until = time.monotonic() + PATIENCE
    while not expected <= set(_written(sandbox)) and time.monotonic() < until:
        time.sleep(0.5)
    times = Counter(_written(sandbox))
    lost = sum(1 for message in expected if not times[message])
    twice = sum(1 for message in expected if times[message] > 1)
    return Tally(published, published - lost, lost, twice, _ran_together(docker_events(sandbox, begun)))


def _ran_together(events: Sequence[dict[str, object]]) -> bool:
    """By the engine's own events, whether two containers ever ran at the same moment."""
    running: set[str] = set()
    for event in events:
        if event["Action"] == "start":
            running.add(str(event["id"]))
        elif event["Action"] == "die":
            running.discard(str(event["id"]))
        if any(combinations(running, 2)):
            return True
    return False


def _conclude(screen: Screen, tally: Tally) -> None:
    good = not (tally.lost or tally.twice or tally.together)
    together = "two consumers ran at once" if tally.together else "never two consumers at once"
    screen.say("")
    screen.say(
        f"{tally.published} published, {tally.consumed} consumed, {tally.lost} lost, {tally.twice} seen twice; "
        f"three deploys, two ways back, {together}.",
        "bold green" if good else "bold red",
    )
    _next(screen, "What to type next (after . .venv/bin/activate):")
    for command, why in (
        ("fab --list", "everything there is"),
        ("fab status", "what runs, and which releases are kept"),
        ("fab deploy --tag annotation-queue=bad-exits", "an image that cannot even start"),
        ("fab training.command", "the line that starts a training run: paste it at the server"),
        ("fab deploy --dry-run --force", "the plan, with every docker command"),
        ("fab sandbox.down", "take the sandbox away; nothing stays behind"),
    ):
        screen.say(f"  {command:46} {why}")


if __name__ == "__main__":
    sys.exit(main())
