"""The page of hosts.yaml: every key with what it is for, which values it takes and what holds without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docs.examples import EXAMPLES
from gpu_runbook.laptop.inventory import model as shapes
from gpu_runbook.laptop.inventory.container_keys import ContainerKeys
from gpu_runbook.laptop.inventory.entries import (
    DiskHealth,
    GpuHealth,
    HealthCheckEntry,
    Log,
    LogKeys,
    OffsetHealth,
    Tls,
)
from gpu_runbook.laptop.inventory.fields import Reads
from gpu_runbook.laptop.inventory.schedule_entries import Alert, Schedule

# Each section: its heading, the values it describes, the key that is the entry's name in the file, and a sentence.
SECTIONS: tuple[tuple[str, type, str], ...] = (
    ("The file", shapes.Inventory, "`defaults:` beside these holds what all servers share."),
    (
        "hosts",
        shapes.Host,
        "Each server under the name you type. A key under `defaults:` holds where a server has none.",
    ),
    (
        "env",
        shapes.EnvSource,
        "Of a server: where its variables and passwords are. One of these keys. `{server: …}` is read there by each "
        "command that needs it, over the same connection, and is not kept on the laptop: a regular file, no link, that "
        "root or the login owns and nobody else may read or write. `env_file: .env` is the old name of "
        "`env: {file: .env}`.",
    ),
    ("registry", shapes.Registry, "The password is `REGISTRY_PASSWORD` in `.env`."),
    (
        "services: what both kinds have",
        shapes.ContainerEntry,
        "Each service under the name of its container.\n\n"
        "`gpus: all`, `gpus: 2` and `gpus: \"device=0,1\"` are docker's `--gpus`, which takes NVIDIA's\n"
        "`nvidia-container-runtime-hook` on the engine's PATH when it is started; from docker 29.2 on\n"
        "`nvidia-cdi-hook` does as well. `gpus: {cdi: all}`, `{cdi: 0}`, `{cdi: [0, 1]}`, `{cdi: 0:1}` (of a GPU\n"
        "that MIG cuts up), `{cdi: GPU-8fe3a97d-…}` and `{cdi: nvidia.com/gpu=all}` are CDI devices by name,\n"
        "docker's `--device`, for a server without that hook. They take docker 25, before 28.2 with\n"
        '`"features": {"cdi": true}` in its `daemon.json`, and a spec in `/etc/cdi` or `/var/run/cdi`.\n'
        "`fab preflight` says in *docker GPU support* what works.",
    ),
    (
        "services: docker's options",
        ContainerKeys,
        "Of either kind of service, and of the command that `fab training.command` prints. They are part of what "
        "`fab diff`, the plan and the record say of a release, so that another value replaces a container.\n\n"
        "`options:` takes any other option of `docker create` by its long name, with one value or a list: "
        "`{pids-limit: 500, sysctl: [net.core.somaxconn=1024], read-only: true}`. What has a key is said with that. "
        "What would break a promise is refused by name: `name`, `label`, `label-file`, `restart`, `rm`, `env-file`, "
        "`cidfile`, `volumes-from`, `publish-all`, `use-api-socket`, `oom-kill-disable`, `pull`, `platform`, and those "
        "of a terminal. With `allow_privileged: true` alone a container may be as good as root on the server: "
        "`privileged`, `pid`, `userns`, `device-cgroup-rule`, a disk or the memory among its `devices`, capabilities "
        "such as `SYS_ADMIN`, `systempaths=unconfined`.\n\n"
        "A training whose loader workers hand batches over in shared memory, as PyTorch's do, needs `shm_size: 8g` or "
        "`ipc: host`: docker gives 64 MB, beyond which a worker ends with a bus error.\n\n"
        "A mount's source is a directory or the name of a volume, and behind its target stands `:ro`, `:z` or `:Z`, or "
        "`:ro,z`. `Z` is refused where another service mounts the same: it would lose it. A port of the server leads "
        "to one container. What has a colon (`22:22`, `1000:50`) is read as it is written.",
    ),
    ("services: a consumer", shapes.Consumer, "Reads a queue. It may be away for some seconds."),
    (
        "config",
        shapes.Config,
        "Of a consumer: a file that is rendered on the laptop and put on the server. Its template is one file below "
        "the folder of hosts.yaml. It is given variables of `.env`, `root` and `server`, and of jinja2 the filters, "
        "the tests, `range`, `dict` and `namespace`. It may take 5 s and 256 MiB, and give 1 MiB.",
    ),
    ("offset", shapes.Offset, "Of a consumer: the file in which it keeps its position."),
    ("stream", shapes.Stream, "Of a consumer: what it reads. Keys that end in `_variable` name variables of `.env`."),
    (
        "tls",
        Tls,
        "Of a stream whose port speaks TLS. `tls: true` is short for no key at all: the certificates that the server\n"
        "trusts anyway. The broker's certificate has to be for the name or address in `host_variable`.",
    ),
    (
        "watch",
        shapes.WatchEntry,
        "Of a consumer: how a new release proves itself after the swap. With `failure_level` a line of its log "
        "that says its level is judged by that alone, and `failure_text` is searched for in lines that say none, "
        "as those of a traceback. A level is read in JSON lines, and where loggers put it at the beginning of a "
        "line: `2026-03-28 14:30:00,123 ERROR …`, `ERROR:root:…`, `[ERROR] …`, `… - name - ERROR - …`, `… | ERROR"
        " | …`, `level=error …`, in logging's spellings and the usual ones (`WARN`, `FATAL`, `ERR`); never as a "
        "number.",
    ),
    (
        "log_keys",
        LogKeys,
        "Of a service: the keys of the lines that it logs as JSON, to docker's log or to its `log_files`.\n\n"
        "`log_files` are paths on the server, below a mount, with `*` and `?` in any part and `%Y`, `%m`, `%d`, "
        "`%H` for the digits of a date: of any date, as nobody knows by whose clock the next file is named. What "
        "a file is called once it is rotated (`queue.log.1`, `queue.log-20260328`) is read with it; what is "
        "packed is not. The 50 files that were written to last are read. The watch after a swap and a restart, "
        "the row *log*, a run that is brought to its end and a release that is proven later read what was written"
        " since the container was started. Rotation by a new name or date, and by a copy before the file is cut "
        "off, is followed. That a log is silent is said, and no fault. Those of a batch service "
        "are for `fab logs` alone, and with `process` they may lie below no mount. "
        "With `log_files` or `failure_level` a row *log* of `fab health` and of each round counts the lines that "
        "mean a failure among the last ones, and shows none. "
        "`fab logs` shows the same files. `--since` goes by the time that a line says, else by that of the line "
        "before it, and where no line says one by when the file was written to last; a time without a zone is of "
        "the zone by which the last line agrees with its file.",
    ),
    (
        "healthcheck",
        HealthCheckEntry,
        "Of a consumer: how docker asks its container whether it is well, for an image without a HEALTHCHECK or\n"
        "instead of its own. What it says counts in the watch and in `fab health`.",
    ),
    ("log", Log, "Of a consumer: rotation of its log."),
    ("env_file", shapes.EnvFileEntry, "Of a service: a file of variables that it reads from a mount."),
    (
        "services: a batch service",
        shapes.Batch,
        "Runs for days. A deploy fetches the image of its next run. A container that is recognised as a run, by\n"
        "`container`, `label` (its own or its image's) or `image` (where no consumer has the same), is left alone,\n"
        "whatever else it looks like: no command stops, starts, renames, changes or removes it. So is a process that\n"
        "`process` recognises, and such a service may do without an image.",
    ),
    (
        "process",
        shapes.ProcessEntry,
        "Of a batch service: what a run looks like that is a process of the server itself, in no container.\n"
        "`process: python* *train.py*` is short for `command` alone. In the pattern `*` stands for any text, `?` for\n"
        "any one character and `[ab]` for one of these; the command line is the words of the process with blanks\n"
        "between. What a run has started is of that run. Of a command line the names of program and script are\n"
        "shown, and nothing else. Its row stands in `fab preflight`, `status`, `health`, `report` and each round.",
    ),
    (
        "ci",
        shapes.Ci,
        "Is the code of an image green? Words in braces are put into texts: `{service}`, `{image}`, `{tag}`.",
    ),
    ("scan", shapes.Scan, "The report of Trivy or Grype that must be clean before a deploy."),
    (
        "tree",
        shapes.FolderEntry,
        "Each directory under its path, absolute or below the server's root, which is `.` itself.",
    ),
    (
        "models",
        shapes.ModelsEntry,
        "Dated directories of trained models, and how one of them is in force. `config`: `config.model_key` of a "
        "consumer names it. `copy`: the chosen file is copied over `current`, whose owner and mode stay; training may "
        "write there as well. `link`: `current` is made a link to it; whoever writes through it writes into the dated "
        "directory. With those two `config.model_key` is not used: the template names `current`.",
    ),
    ("health.disk", DiskHealth, "In percent, of space and of inodes."),
    ("health.gpu", GpuHealth, "In degrees Celsius; without them temperature is shown and not judged."),
    ("health.offset", OffsetHealth, "An offset that does not move while messages wait."),
    (
        "schedule",
        Schedule,
        "The check of every few minutes while nobody looks, on every server: [while-nobody-looks.md]"
        "(while-nobody-looks.md). Keys that end in `_variable` name variables of `.env`.",
    ),
    (
        "schedule.alerts",
        Alert,
        "Each under a name of your choice. Addresses of webhooks and passwords stand in `.env`.",
    ),
)

TOP = """\
# hosts.yaml

Every key of `hosts.yaml`: what it is for, what it may hold, and what holds without it. The file that comes with the
project is the commented sample; this page is for looking things up.

A time is written 15 (seconds), 90s, 30m, 2h or 1d. Paths on the laptop are relative to `hosts.yaml`; paths on a server
are absolute. A key that is not on this page is an error, with its line. An editor that knows JSON Schema checks all of
this while you type (`hosts.schema.json`).

Made from the code by `make docs`.
"""

GIVEN: dict[type, set[str]] = {
    shapes.Inventory: {"path"}
}  # by the loader; in every other entry `name` is the key it stands under


def page() -> str:
    """The page as it should be."""
    return TOP + "".join(_section(*section) for section in SECTIONS)


def _section(heading: str, shape: type, sentence: str) -> str:
    lines = ["", f"## {heading}", ""]
    lines += [sentence, ""] if sentence else []
    lines += ["| key | what | values | without it |", "|---|---|---|---|"]
    lines += [_row(field, kind) for field, kind in fields_of(shape)]
    example = EXAMPLES.get(heading)
    lines += ["", "```yaml", example.strip("\n"), "```"] if example else []
    return "\n".join(lines) + "\n"


def fields_of(shape: type) -> Iterable[tuple[dataclasses.Field[Any], Any]]:
    """The keys a person writes, with their kinds; of a service only what the section adds to those before."""
    hints = get_type_hints(shape, include_extras=True)
    above = [one for one in (ContainerKeys, shapes.ContainerEntry) if issubclass(shape, one) and shape is not one]
    others = {field.name for one in above for field in dataclasses.fields(one)}
    for field in dataclasses.fields(shape):
        if field.name not in others | GIVEN.get(shape, {"name"} if shape in NAMED else set()):
            yield field, hints[field.name]


NAMED = {shapes.Host, shapes.ContainerEntry, shapes.Consumer, shapes.Batch}


def _row(field: dataclasses.Field[Any], kind: Any) -> str:
    what = str(field.metadata.get("description", "")).replace("|", "\\|")
    return f"| `{field.name}` | {what} | {_values(kind).replace('|', chr(92) + '|')} | {_default(field)} |"


def _values(kind: Any) -> str:
    """What a key may hold, in words."""
    for mark in getattr(kind, "__metadata__", ()):
        if isinstance(mark, Reads):
            return mark.says
    if hasattr(kind, "__metadata__"):
        return _values(kind.__origin__)
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if get_origin(kind) is tuple:
        return f"a list, each {_values(arguments[0])}"
    if get_origin(kind) is dict:
        return f"a mapping, {_values(arguments[0])} → {_values(arguments[1])}"
    if NoneType in arguments:
        return _values(next(part for part in arguments if part is not NoneType))
    if arguments:  # a service of either kind
        return " or ".join(_values(part) for part in arguments)
    if dataclasses.is_dataclass(kind):
        return _link(kind)
    return {bool: "true or false", str: "a text", Any: "anything"}.get(kind, str(kind))


def _link(shape: Any) -> str:
    """Where on this page the keys of an entry are."""
    if shape is shapes.Health:
        return "`disk`, `gpu` and `offset`, below"
    heading = next(heading for heading, described, _ in SECTIONS if described is shape)
    return f"[{heading.removeprefix('services: ')}](#{anchor(heading)})"


def anchor(heading: str) -> str:
    """How a heading is linked to."""
    return "".join(char for char in heading.lower().replace(" ", "-") if char.isalnum() or char in "-_")


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "**needed**"
    factory: Any = field.default_factory
    value = factory() if field.default is dataclasses.MISSING else field.default
    if value in (None, "", (), {}) or dataclasses.is_dataclass(value):
        return ""
    return _written(field.name, value)


def _written(key: str, value: Any) -> str:
    """A default as somebody would write it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    if key == "mode":
        return f'`"{value:04o}"`'
    if isinstance(value, int | float) and key in TIMES:
        unit, size = next(
            (unit, size) for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if value % size == 0
        )
        return f"`{value // size:g}{unit}`" if value else "`0`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if isinstance(value, int | str | Path) else str(value)


TIMES = {
    *(
        "connect_timeout",
        "settle",
        "window",
        "stop_grace",
        "stale_after",
        "timeout",
        "max_age",
        "interval",
        "start_period",
    ),
    *("every", "repeat", "keep"),
}
