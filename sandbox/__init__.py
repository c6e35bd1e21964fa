"""A GPU server of real parts on this very machine, for the demo and the tests.

A sandbox is two machines within the machine, each with its own mounts, processes and host name, on the real one's
loopback: the server (sshd, docker engine, cron, a stand-in for nvidia-smi, /azaion) and the services (registry,
RabbitMQ). Nothing of the real machine is touched but the packages that have to be installed; `down` ends and removes
the rest.
"""

from __future__ import annotations

from sandbox.events import docker_events
from sandbox.gpu import set_gpu
from sandbox.lifecycle import down, found, reboot, up
from sandbox.line import set_line
from sandbox.machine import run_inside
from sandbox.parts import kill, running, start, stop
from sandbox.place import Sandbox
from sandbox.producer import finish, keep_publishing, publish, renew_stream, start_publishing
from sandbox.status import describe, is_up, status

__all__ = [
    "Sandbox",
    "describe",
    "docker_events",
    "down",
    "finish",
    "found",
    "is_up",
    "keep_publishing",
    "kill",
    "publish",
    "reboot",
    "renew_stream",
    "run_inside",
    "running",
    "set_gpu",
    "set_line",
    "start",
    "start_publishing",
    "status",
    "stop",
    "up",
]
