"""Parts of requests that are made of hosts.yaml and .env."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory import model
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Host, Inventory, Service, full_image, local_tag
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from gpu_runbook.protocol.plan import BatchMarks


def place(host: Host) -> tuple[str, str, str]:
    """What every request begins with: where the data lies, where the state, and the docker engine's address."""
    return (*host.place, host.docker_host or "")


def request_for(wanted: Inventory, host: Host, services: Sequence[Service], resolved: Resolved) -> Request:
    """The questions that hosts.yaml raises about one server. Holds the monitoring user's password."""
    limits = wanted.health
    return Request(
        disk=DiskLimits(limits.disk.paths or (host.root,), limits.disk.warning, limits.disk.critical),
        gpus=Expected(host.gpus, limits.gpu.warning, limits.gpu.critical),
        docker_host=host.docker_host or "",
        consumers=tuple(_consumer(one, resolved) for one in services if isinstance(one, model.Consumer)),
        root=host.root,
        state=host.place[1],
    )


def batch_marks(inventory: Inventory) -> tuple[BatchMarks, ...]:
    """What the runs of every batch service are recognised by."""
    return tuple(marks_of(inventory, one) for one in inventory.services.values() if isinstance(one, Batch))


def _consumer(service: model.Consumer, resolved: Resolved) -> CheckedConsumer:
    file = service.offset
    password = resolved.stream_password(service)
    return CheckedConsumer(
        service=service.name,
        container=service.name,
        offset=OffsetFile(file.file, file.key, file.means, file.saved_every) if file else None,
        stream=resolved.stream(service),
        password=password.reveal() if password else "",
    )


def marks_of(inventory: Inventory, service: Batch) -> BatchMarks:
    """The same of one. An image that consumers are made from as well tells nothing."""
    image, services = full_image(inventory, service), inventory.services.values()
    shared = any(full_image(inventory, one) == image for one in services if isinstance(one, Consumer))
    label, tag = service.label or "", local_tag(inventory, service)
    return BatchMarks(service.name, service.container, label, "" if shared else image, tag)
