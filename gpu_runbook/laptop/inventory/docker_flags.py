"""The flags of `docker create`: which a service may be given by name, which have a key, and which break a promise."""

from __future__ import annotations

import re
from typing import Annotated, Any

from gpu_runbook.laptop.inventory.fields import Reads
from gpu_runbook.laptop.inventory.problems import nearest

YES_OR_NO = {"privileged", "read-only"}
TAKEN = YES_OR_NO | {
    *("annotation", "blkio-weight", "blkio-weight-device", "cap-drop", "cgroup-parent", "cgroupns", "cpu-period"),
    *("cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "cpuset-cpus", "cpuset-mems", "device-cgroup-rule"),
    *("device-read-bps", "device-read-iops", "device-write-bps", "device-write-iops", "dns", "dns-option"),
    *("dns-search", "domainname", "expose", "hostname", "ip", "ip6", "link", "link-local-ip", "mac-address"),
    *("memory-reservation", "memory-swap", "memory-swappiness", "network-alias", "oom-score-adj", "pid", "pids-limit"),
    *("runtime", "storage-opt", "sysctl", "userns", "uts", "volume-driver"),
}
# Each has one spelling: that of its key.
KEYS = {
    "add-host": "extra_hosts",
    "cap-add": "cap_add",
    "cpus": "cpus",
    "device": "devices",
    "entrypoint": "entrypoint",
    "env": "environment",
    "gpus": "gpus",
    "group-add": "group_add",
    "init": "init",
    "ipc": "ipc",
    "log-driver": "log_driver",
    "log-opt": "log_options",
    "memory": "memory",
    "mount": "mounts",
    "network": "network",
    "net": "network",
    "publish": "ports",
    "security-opt": "security_opt",
    "shm-size": "shm_size",
    "tmpfs": "tmpfs",
    "ulimit": "ulimits",
    "user": "user",
    "volume": "mounts",
    "workdir": "working_dir",
    "restart": "restart",
    "stop-signal": "stop_signal",
    "stop-timeout": "stop_grace",
    **dict.fromkeys(("health-cmd", "health-interval", "health-retries", "health-start-period"), "healthcheck"),
    **dict.fromkeys(("health-start-interval", "health-timeout", "no-healthcheck"), "healthcheck"),
}
OF_A_CONSUMER = ("restart", "stop_signal", "stop_grace", "healthcheck")
_TERMINAL = "a container works by itself, and its log is read without a terminal"
_PULLED = "an image is fetched by its digest before anything is stopped"
_LABELS = "labels say which containers are this tool's and which are a training's"
PROMISES = {
    "name": "a container has the name of its service, and by that it is found again",
    "rm": "a container that has ended is kept: its exit status says why, and a rollback starts it again",
    "label": _LABELS,
    "label-file": _LABELS,
    "env-file": "docker inspect would show what is in it; env_file: writes one that the program reads itself",
    "cidfile": "it is written once, and the next container could not be made",
    "volumes-from": "what a container can write to stands in mounts: and is checked there",
    "publish-all": "a port would be another after each deploy; ports: says which",
    "use-api-socket": "whoever has docker's socket is root on the server",
    "oom-kill-disable": "where memory ends something else would be killed for it, a training among it",
    **dict.fromkeys(("attach", "detach", "detach-keys", "interactive", "sig-proxy", "tty"), _TERMINAL),
    **dict.fromkeys(("disable-content-trust", "platform", "pull", "quiet"), _PULLED),
}


def _flag(value: Any) -> str:
    if value in TAKEN:
        return str(value)
    key = KEYS.get(value)
    if key:
        raise ValueError(f"is said with {key}:{' of a consumer' if key in OF_A_CONSUMER else ''}")
    if value in PROMISES:
        raise ValueError(f"is not to be had: {PROMISES[value]}")
    raise ValueError(f"is no option of docker create{nearest(str(value), TAKEN)}")


def _values(value: Any) -> tuple[str, ...]:
    """One or several, as docker is given them."""
    return tuple(_text(one) for one in (value if isinstance(value, list) and value else [value]))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    if isinstance(value, str) and re.fullmatch(r"[^\x00-\x1f\x7f]{1,1000}", value):
        return value
    raise ValueError("a text of one line, a number, true or false is expected, or a list of these")


_VALUE = {"type": ["string", "number", "boolean"]}
Flag = Annotated[str, Reads(_flag, {"enum": sorted(TAKEN)}, "the name of an option of docker create")]
Text = Annotated[str, Reads(_text, _VALUE, "a text, a number, true or false")]
Values = Annotated[
    tuple[str, ...],
    Reads(
        _values,
        {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}]},
        "a text, a number, true or false, or a list of these",
    ),
]
