"""A server with two consumers and a batch service, as hosts.yaml, a look and a record show it."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

from gpu_runbook.laptop.deploy.plan import Order, make_spec
from gpu_runbook.laptop.inputs.resolve import Resolved, resolve
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Inventory, ProcessEntry, load_inventory
from gpu_runbook.protocol.plan import Occupant, Spec, spec_hash
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.protocol.snapshot import BatchState, Snapshot

HOSTS = """
hosts:
  gpu-1: {address: gpu-1.lan, root: /azaion}
registry: {server: "registry.lan:5000"}
services:
  annotation-queue:
    kind: consumer
    image: azaion/queue
    mounts: [/azaion:/azaion]
    config: {template: config.yaml.j2, path: /azaion/config.yaml}
    offset: {file: /azaion/offset.yaml}
    stream: {name: annotations}
  second-queue: {kind: consumer, image: azaion/queue, memory: 8g}
  training: {kind: batch, image: azaion/training, container: training}
keep_releases: 3
"""
ENV = "RABBITMQ_HOST=rabbit.lan\nRABBITMQ_PORT=5552\nQUEUE_PASSWORD=hunter2hunter2\n"
REPOSITORY = "registry.lan:5000/azaion/"
QUEUE, SECOND, TRAINING = "annotation-queue", "second-queue", "training"


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a plan is made from."""

    inventory: Inventory
    resolved: Resolved
    look: Snapshot

    @property
    def services(self) -> list[Any]:
        return list(self.inventory.services.values())

    def only(self, *names: str) -> list[Any]:
        return [self.inventory.services[name] for name in names]

    def seeing(self, **change: Any) -> Scene:
        return dataclasses.replace(self, look=dataclasses.replace(self.look, **change))

    def with_record(self, **change: Any) -> Scene:
        return self.seeing(record=dataclasses.replace(self.look.record, **change))

    def in_no_container(self, **change: Any) -> Batch:
        """The batch service as one of processes, without an image."""
        batch = self.inventory.services[TRAINING]
        assert isinstance(batch, Batch)
        return dataclasses.replace(
            batch, **{"image": "", "process": ProcessEntry(command="python* *train.py*"), **change}
        )

    def spec(self, service: str, digest: str) -> Spec:
        consumer = self.inventory.services[service]
        assert isinstance(consumer, Consumer)
        return make_spec(consumer, image("queue", digest))


def image(name: str, digest: str) -> str:
    return f"{REPOSITORY}{name}@sha256:{digest}"


def order(**more: Any) -> Order:
    return Order("ann", "laptop", {QUEUE: "1.1", SECOND: "1.1", TRAINING: "2.0"}, **more)


def bare(folder: Path) -> Scene:
    """A server on which nothing has been deployed; its registry holds digest 11 of everything."""
    inventory = _project(folder)
    host = inventory.hosts["gpu-1"]
    env = dataclasses.replace(_resolved().env, source=str(host.env.file))
    resolved = dataclasses.replace(_resolved(), host=host, env=env)
    digests = {QUEUE: image("queue", "11"), SECOND: image("queue", "11"), TRAINING: image("training", "11")}
    look = Snapshot("gpu-1", "2026-04-20T10:11:12.123Z", "deploy", digests=digests, same_config={QUEUE: False})
    return Scene(inventory, resolved, look)


def _project(folder: Path) -> Inventory:
    (folder / "config.yaml.j2").write_text("password: {{ QUEUE_PASSWORD }}\n")
    (folder / ".env").write_text(ENV)
    (folder / ".env").chmod(0o600)
    return loaded(folder / "hosts.yaml", HOSTS)


def loaded(path: Path, text: str) -> Inventory:
    """A hosts.yaml with this text, as `load_inventory` reads it: each text once, since that takes its time."""
    path.write_text(text)
    there, inventory = _loaded(path.name, text)
    return _elsewhere(inventory, there, path.parent)  # type: ignore[no-any-return]


@functools.cache
def _loaded(name: str, text: str) -> tuple[Path, Inventory]:
    """Where it was read, and what it says there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(text)
        return path.parent, load_inventory(path)


def _elsewhere(value: Any, there: Path, here: Path) -> Any:
    """The same, but for the paths below one folder, which are below the other."""
    match value:
        case Path() if value.is_relative_to(there):
            return here / value.relative_to(there)
        case tuple() | list():
            return type(value)(_elsewhere(item, there, here) for item in value)
        case dict():
            return {key: _elsewhere(item, there, here) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        entries = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        return dataclasses.replace(value, **{name: _elsewhere(item, there, here) for name, item in entries.items()})
    return value


@functools.cache
def _resolved() -> Resolved:
    """What is sent, wherever the folder is: a template is rendered in a process of its own, which takes its time."""
    with tempfile.TemporaryDirectory() as folder:
        inventory = _project(Path(folder))
        return resolve(inventory, list(inventory.hosts.values()), list(inventory.services.values()))["gpu-1"]


def deployed(folder: Path, *releases: str) -> Scene:
    """The same server after deploys, newest first: release r2 put digest 2 there, in containers queue-r2 and so on."""
    scene = bare(folder)
    record = Record(releases[0], tuple(_release(scene, name) for name in releases))
    digit = releases[0][1:]
    digests = {QUEUE: image("queue", digit), SECOND: image("queue", digit), TRAINING: image("training", digit)}
    placed = [entry for release in record.releases for entry in release.services.values()]
    return scene.seeing(
        record=record,
        digests=digests,
        same_config={QUEUE: True},
        occupants={name: (occupant(scene, name, releases[0]),) for name in (QUEUE, SECOND)},
        containers=tuple(entry.container for entry in placed if entry.container),
        images={entry.image: entry.image_id for entry in placed} | {entry.image_id: entry.image_id for entry in placed},
        batches={TRAINING: BatchState(record.releases[0].services[TRAINING].image_id)},
        variables={"QUEUE_PASSWORD": "aaaa"},
    )


def occupant(scene: Scene, service: str, maker: str, **change: Any) -> Occupant:
    """The container that a release made for a service, in its place."""
    hashed = spec_hash(scene.spec(service, maker[1:]))
    started = "2026-04-20T09:11:12.5Z"
    held = Occupant(f"{service}-{maker}", service, "sha256:i", True, started, "unless-stopped", True, maker, hashed)
    return dataclasses.replace(held, **change)


def _release(scene: Scene, name: str) -> Release:
    services = {service: _placed(scene, service, name) for service in (QUEUE, SECOND)}
    services[TRAINING] = Placed(
        *("batch", f"tag-{name}", image("training", name[1:]), f"sha256:training-{name}"),
        local_tag=f"{REPOSITORY}training:current",
    )
    return Release(name, "2026-04-20T09:00:00Z", "ann", "proven", services, {"QUEUE_PASSWORD": "aaaa"})


def _placed(scene: Scene, service: str, release: str) -> Placed:
    spec = scene.spec(service, release[1:])
    return Placed(
        kind="consumer",
        tag=f"tag-{release}",
        image=spec.image,
        image_id=f"sha256:queue-{release}",
        container=f"{service}-{release}",
        spec=spec,
        restart="always" if release == "r1" else "unless-stopped",
    )
