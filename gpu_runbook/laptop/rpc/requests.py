"""Parts of requests that are made of hosts.yaml and .env."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.entries import LogKeys
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Host, Inventory, Service, full_image, local_tag
from gpu_runbook.protocol.consumer import OffsetFile
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.processes import ProcessMarks
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.protocol.training import LAST


def place(host: Host) -> tuple[str, str, str]:
    """What every request begins with: where the data lies, where the state, and the docker engine's address."""
    return (*host.place, host.docker_host or "")


def request_for(wanted: Inventory, host: Host, services: Sequence[Service], resolved: Resolved) -> Request:
    """The questions that hosts.yaml raises about one server. Holds the monitoring user's password."""
    gpu = wanted.health.gpu
    return Request(
        disk=disk_limits(wanted, host),
        gpus=Expected(host.gpus, gpu.warning, gpu.critical),
        docker_host=host.docker_host or "",
        consumers=tuple(_consumer(one, resolved) for one in services if isinstance(one, Consumer)),
        root=host.root,
        state=host.place[1],
        batches=tuple(batch(wanted, one) for one in services if isinstance(one, Batch) and one.process),
    )


def _consumer(service: Consumer, resolved: Resolved) -> CheckedConsumer:
    password, rules = resolved.stream_password(service), log_rules(service)
    return CheckedConsumer(
        service=service.name,
        container=service.name,
        offset=offset_file(service),
        stream=resolved.stream(service),
        password=password.reveal() if password else "",
        failure_text=service.watch.failure_text if rules.files or rules.level else (),
        log=rules,
    )


def disk_limits(inventory: Inventory, host: Host) -> DiskLimits:
    """Which file systems are checked against what, in percent."""
    limits = inventory.health.disk
    return DiskLimits(limits.paths or (host.root,), limits.warning, limits.critical)


def offset_file(service: Service) -> OffsetFile | None:
    """Where a consumer keeps its position, None where that is not known."""
    if not isinstance(service, Consumer) or service.offset is None:
        return None
    entry = service.offset
    return OffsetFile(entry.file, entry.key, entry.means, entry.saved_every)


def log_rules(service: Service) -> LogRules:
    """Where a service logs beside docker's log, and how a line of it says how grave it is."""
    level = service.watch.failure_level if isinstance(service, Consumer) else None
    return LogRules(service.log_files, level or "", *_keys(service.log_keys))


def _keys(keys: LogKeys) -> tuple[str, str, str]:
    return keys.level or "", keys.message or "", keys.time or ""


def batch_marks(inventory: Inventory) -> tuple[BatchMarks, ...]:
    """What the runs of every batch service are recognised by."""
    return tuple(marks_of(inventory, one) for one in inventory.services.values() if isinstance(one, Batch))


def marks_of(inventory: Inventory, service: Batch) -> BatchMarks:
    """The same of one. An image that consumers are made from as well tells nothing."""
    label = service.label or ""
    if not service.image:
        return BatchMarks(service.name, service.container, label)
    image, services = full_image(inventory, service), inventory.services.values()
    shared = any(full_image(inventory, one) == image for one in services if isinstance(one, Consumer))
    return BatchMarks(service.name, service.container, label, "" if shared else image, local_tag(inventory, service))


def batch(inventory: Inventory, service: Batch, image: str = "") -> Wanted:
    """What is asked of a batch service. `image`: to ask the registry for, empty to leave it alone."""
    process = service.process
    return Wanted(
        *(service.name, "batch", image),
        marks=marks_of(inventory, service),
        process=ProcessMarks(process.command, process.user, process.folder or "") if process else None,
        checkpoints=service.checkpoints or "",
        checkpoint=LAST if service.resumes_from_a_file else "",
    )
