"""Troubles that are no death: something is away, full, read-only or stuck for a while, at a point of a run."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

from sandbox import Sandbox, run_inside
from sandbox.machine import wait_until
from tests.faults import disk
from tests.faults.deaths import UNSAVED, Death, Relief
from tests.real import docker, inspected

ABSENCE = 5.0  # seconds, in which nothing of a swap is in vain: a run waits that long for whatever it needs
SOCKET = "/run/docker.sock"
CONTAINERD = "/usr/local/sbin/containerd"  # found before the real one by the engine that starts it again
STUCK = "/run/stuck-consumer"


def take_engine(sandbox: Sandbox) -> None:
    """Nobody can reach the engine any more; its containers run on."""
    run_inside(sandbox, ["mv", SOCKET, f"{SOCKET}.away"])


def bring_engine(sandbox: Sandbox) -> None:
    run_inside(sandbox, ["mv", f"{SOCKET}.away", SOCKET])


def take_containerd(sandbox: Sandbox) -> None:
    """The engine answers what it is asked, and can neither make nor start nor stop anything; its containers run on."""
    script = f"printf '#!/bin/sh\\nexit 1\\n' >{CONTAINERD}; chmod 755 {CONTAINERD}; kill -KILL $(pgrep -x containerd)"
    run_inside(sandbox, ["sh", "-ec", script])


def bring_containerd(sandbox: Sandbox) -> None:
    """The engine starts it again by itself, within a second or two."""
    run_inside(sandbox, ["rm", CONTAINERD])


def for_a_while(take: Callable[[Sandbox], None], bring: Callable[[Sandbox], None]) -> Callable[..., Relief]:
    """What is taken away while the run goes on comes back by itself; the relief waits until it has."""

    def strike(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
        take(sandbox)
        timer = threading.Timer(ABSENCE, bring, (sandbox,))
        timer.start()
        return timer.join

    return strike


def _away(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    take_engine(sandbox)
    return lambda: bring_engine(sandbox)


def _engines_disk(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    filler = disk.fill(sandbox, greedy=True, filler=disk.ENGINES_FILLER)
    return lambda: disk.make_room(sandbox, filler, disk.ENGINES_FILLER)


def _inodes(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    disk.take_inodes(sandbox)
    return lambda: disk.give_inodes_back(sandbox)


def _read_only(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    disk.break_down(sandbox)
    return lambda: disk.repair(sandbox)


def _unkillable(sandbox: Sandbox, laptop: subprocess.Popen[str]) -> Relief:
    """A process of the consumer's waits for a driver that never answers: so long the kernel lets no container end."""
    run_inside(sandbox, ["setsid", "--fork", "sh", "-c", f"exec stuck-driver {STUCK} >/dev/null 2>&1"])
    wait_until(lambda: f" {STUCK} " in run_inside(sandbox, ["cat", "/proc/mounts"]).stdout, 5, "stuck driver")
    consumer = docker(sandbox, "ps", "--quiet", "--filter=label=gpu-runbook.service")
    look = (
        f"exec nsenter --target {inspected(sandbox, consumer)['State']['Pid']} --pid cat {STUCK}/driver >/dev/null 2>&1"
    )
    run_inside(sandbox, ["setsid", "--fork", "sh", "-c", look])
    return lambda: release(sandbox)


def release(sandbox: Sandbox) -> None:
    """Unmounting by force answers whoever waits: what was to be killed is dead, and the engine sees that soon."""
    run_inside(sandbox, ["umount", "--force", "--lazy", STUCK])
    running = ("ps", "--quiet", "--filter=label=gpu-runbook.service")
    wait_until(lambda: not docker(sandbox, *running), 20, "consumer (its end)")


TROUBLES = {
    trouble.name: trouble
    for trouble in (
        Death(
            "engine absent",
            "the docker engine cannot be reached for 5 s, while its containers run on",
            for_a_while(take_engine, bring_engine),
            ends_by_itself=True,
        ),
        Death(
            "containerd absent",
            "containerd is killed and cannot be started for 5 s: the engine answers and can do nothing",
            for_a_while(take_containerd, bring_containerd),
            ends_by_itself=True,
            twice=UNSAVED,  # a stop that cannot be sent is followed by a kill as soon as containerd is there again
        ),
        Death(
            "engine away",
            "the docker engine cannot be reached until the run has given up waiting for it",
            _away,
            blinds=True,
            seconds=150.0,
        ),
        Death(
            "docker's disk full",
            "the docker engine's own file system takes nothing more until the run has come to rest",
            _engines_disk,
            twice=UNSAVED,
            ground=disk.ENGINES,
        ),
        Death(
            "no inode left",
            "the file system of root and state takes no new file, and whoever helps does so while it is still so",
            _inodes,
            twice=UNSAVED,
            ground=disk.OWN,
            serves=True,
            outlasts=True,
        ),
        Death(
            "read-only root",
            "the kernel finds a fault in the file system of root and state and takes no write any more, until the"
            " server is booted and the file system repaired",
            _read_only,
            twice=UNSAVED,
            ground=disk.OWN,
            reboots=True,
        ),
        Death(
            "consumer cannot be killed",
            "a process of the old consumer waits in the kernel, so that neither docker nor SIGKILL ends it, until the"
            " run has come to rest",
            _unkillable,
            ends=(14, 16),
            for_a_person=True,
            seconds=240.0,
        ),
    )
}
