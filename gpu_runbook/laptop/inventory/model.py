"""hosts.yaml as one frozen value: which servers there are, which services run on them, which thresholds hold.

Importing this costs nothing; `load_inventory` brings in pydantic when a file is read that is new or was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory import cache, fields
from gpu_runbook.laptop.inventory.entries import (
    Batch,
    Config,
    Consumer,
    ContainerEntry,
    EnvFileEntry,
    EnvSource,
    FolderEntry,
    Health,
    Host,
    ModelsEntry,
    Offset,
    ProcessEntry,
    Registry,
    Stream,
    WatchEntry,
)
from gpu_runbook.laptop.inventory.gate_entries import Ci, Scan
from gpu_runbook.laptop.inventory.problems import nearest, printable
from gpu_runbook.laptop.inventory.schedule_entries import Schedule
from gpu_runbook.laptop.inventory.strict import Strict, about
from gpu_runbook.protocol.values import dataclass, field

__all__ = [
    "Batch",
    "Ci",
    "Config",
    "Consumer",
    "ContainerEntry",
    "EnvFileEntry",
    "EnvSource",
    "FolderEntry",
    "Health",
    "Host",
    "Inventory",
    "ModelsEntry",
    "Offset",
    "ProcessEntry",
    "Registry",
    "Scan",
    "Schedule",
    "Service",
    "Stream",
    "WatchEntry",
    "full_image",
    "load_inventory",
]

Service = Consumer | Batch


@dataclass(frozen=True, kw_only=True)
class Inventory(Strict):
    """Everything hosts.yaml says; hosts and services in the order of the file."""

    path: Path
    hosts: dict[fields.Name, Host] = field(metadata=about("The servers, each under the name you type."))
    services: dict[fields.Name, Annotated[Service, fields.ByKind()]] = field(
        default_factory=dict, metadata=about("What runs on every server, each under the name of its container.")
    )
    registry: Registry | None = field(default=None, metadata=about("Where the images come from."))
    ci: Ci | None = field(default=None, metadata=about("Where it is asked whether an image's code is green."))
    scan: Scan | None = field(default=None, metadata=about("The security scan of the images."))
    tree: dict[fields.Below, FolderEntry] = field(
        default_factory=dict, metadata=about("Directories that have to be on every server; fab setup makes them.")
    )
    models: ModelsEntry | None = field(default=None, metadata=about("Dated directories of trained models."))
    health: Health = field(default_factory=Health, metadata=about("The thresholds of the checks."))
    schedule: Schedule = field(
        default_factory=Schedule, metadata=about("The same checks while nobody looks, and who is told.")
    )
    public: tuple[fields.Variable, ...] = field(
        default=(), metadata=about("Variables of .env that are no secrets, whatever they are called or look like.")
    )
    keep_releases: Annotated[int, fields.whole(1, 100)] = field(
        default=5, metadata=about("How many releases a server keeps, and so how far back fab rollback can go.")
    )

    def select_hosts(self, wanted: str | None) -> list[Host]:
        """The servers that a comma list of names and groups means, each once, in its order; None means all.

        Raises BadInput for a name that is neither, with the nearest one.
        """
        if wanted is None:
            return list(self.hosts.values())
        groups = {group: None for host in self.hosts.values() for group in host.groups}
        chosen: dict[str, Host] = {}
        for name in _names(wanted, "server or group", [*self.hosts, *groups], self.path):
            members = [host for host in self.hosts.values() if name == host.name or name in host.groups]
            chosen.update((host.name, host) for host in members)
        return list(chosen.values())

    def select_services(self, wanted: str | None) -> list[Service]:
        """The services that a comma list names, in the order of the file; None means all."""
        if wanted is None:
            return list(self.services.values())
        names = _names(wanted, "service", self.services, self.path)
        return [service for name, service in self.services.items() if name in names]


def full_image(inventory: Inventory, service: Service) -> str:
    """The image as docker knows it, without a tag: the registry's server in front, if there is one."""
    return f"{inventory.registry.server}/{service.image}" if inventory.registry else service.image


def load_inventory(path: Path) -> Inventory:
    """Read hosts.yaml. Raises BadInput with every error in it, each by line and key."""
    mark = cache.fingerprint(path)
    known: Inventory | None = cache.recall(path, mark)
    if known is not None:
        return known

    from gpu_runbook.laptop.inventory.parse import load

    inventory = load(path)
    if mark and mark == cache.fingerprint(path):  # else it was changed while it was read
        cache.keep(path, mark, inventory)
    return inventory


def _names(wanted: str, what: str, known: Iterable[str], path: Path) -> list[str]:
    known = list(known)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        asked = ", ".join(f'"{printable(name)}"{nearest(name, known)}' for name in unknown) or "an empty name"
        sentence = f"{path} has no {what} {asked}"
        raise BadInput(sentence + "." * (not sentence.endswith("?")), f"Known: {', '.join(known) or 'none'}.")
    return names


def local_tag(inventory: Inventory, service: Batch) -> str:
    """The name on the server that the next run of a batch service is started from."""
    return f"{full_image(inventory, service)}:{service.local_tag}"
