"""Asks a server for the one view that every task decides from."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from gpu_runbook.laptop.deploy import clocks
from gpu_runbook.laptop.errors import Defect
from gpu_runbook.laptop.inputs.resolve import RegistryLogin, Resolved
from gpu_runbook.laptop.inventory.image_tag import may_be, reference
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Host, Inventory, Service, full_image
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.rpc.requests import batch, batch_marks, disk_limits, log_rules, offset_file, place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import CRITICAL, UNKNOWN
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.env_file import EnvFile
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.health import DiskLimits
from gpu_runbook.protocol.plan import BatchMarks, ConfigFile
from gpu_runbook.protocol.requests import Checklist, EngineLogin, LookRequest, SnapshotRequest, StatusRequest
from gpu_runbook.protocol.setup import Directory
from gpu_runbook.protocol.snapshot import Snapshot, Wanted

NUMBERS = re.compile(r"\d{1,9}(:\d{1,9})?", re.ASCII)  # of a user in a container; names are its image's own


def look(
    session: Session,
    inventory: Inventory,
    resolved: Resolved,
    services: Sequence[Service],
    tags: Mapping[str, str] | None = None,
) -> Snapshot:
    """One read-only exchange. `tags`: service -> tag to ask the registry for; None leaves the registry alone.

    Raises what the exchange raises, and Defect for an answer that is no Snapshot.
    """
    wanted = [_wanted(inventory, resolved, service, tags) for service in services]
    login = login_request(resolved.login) if tags is not None else None
    checklist = None if tags is None else _checklist(inventory, resolved, services)
    request = SnapshotRequest(
        *_common(inventory, resolved, wanted), variables=reveal_all(resolved), login=login, checklist=checklist
    )
    return _ask(session, "snapshot", request, {one.service: one.image for one in wanted if one.image})


def _checklist(inventory: Inventory, resolved: Resolved, services: Sequence[Service]) -> Checklist:
    tree = tuple(folders(inventory, resolved.host))
    return Checklist(tree, tuple(env_files(resolved, services)), wanted_gpus(services))


def wanted_gpus(services: Iterable[Service]) -> tuple[str, ...]:
    """The GPUs of each service that wants any, each way of having them once."""
    return tuple(dict.fromkeys(service.gpus for service in services if service.gpus))


def folders(inventory: Inventory, host: Host) -> list[Directory]:
    """The directories that have to be on a server, those above before those in them."""
    paths = {posixpath.normpath(posixpath.join(host.root, path)): entry for path, entry in inventory.tree.items()}
    return [Directory(path, entry.owner, entry.mode) for path, entry in sorted(paths.items())]


def env_files(resolved: Resolved, services: Sequence[Service]) -> list[EnvFile]:
    """The env files of the services, with the values of .env."""
    values = resolved.env.values
    return [
        EnvFile(
            service.name,
            service.env_file.path,
            {name: values[name].reveal() for name in service.env_file.variables if values.get(name)},
            service.env_file.owner,
            tuple(name for name in service.env_file.variables if not values.get(name)),
            service.env_file.mode,
            _numbers(service),
        )
        for service in services
        if service.env_file
    ]


def status(session: Session, inventory: Inventory, resolved: Resolved, services: Sequence[Service]) -> Snapshot:
    """One exchange for how the server is now, with a row for each thing that a deploy ends with. Raises as `look`."""
    wanted = [_watched(resolved, service, _wanted(inventory, resolved, service, None)) for service in services]
    request = StatusRequest(*_common(inventory, resolved, wanted), variables={}, hidden=tuple(resolved.hidden))
    return _ask(session, "status", request, {})


Common = tuple[str, str, str, int, DiskLimits, tuple[Wanted, ...], tuple[BatchMarks, ...]]


def _common(inventory: Inventory, resolved: Resolved, wanted: Sequence[Wanted]) -> Common:
    """What a LookRequest begins with."""
    host = resolved.host
    return (*place(host), host.gpus, disk_limits(inventory, host), tuple(wanted), batch_marks(inventory))


def _ask(session: Session, verb: str, request: LookRequest, asked: Mapping[str, str]) -> Snapshot:
    try:
        found = decode(Snapshot, call.look(session, verb, request), "snapshot")
        _see_through(found, asked)
        return dataclasses.replace(found, rows=(*found.rows, *clocks.rows(found.at)))
    except Malformed as error:
        raise Defect(f"{session.host.name}: the snapshot is not what it should be ({error})") from error


def _see_through(look: Snapshot, asked: Mapping[str, str]) -> None:
    """Raises Malformed for what has its form and no meaning. `asked`: the images that the registry was asked for."""
    told = {row.name for row in look.rows if row.level in (CRITICAL, UNKNOWN)}
    for service, image in asked.items():
        pinned = look.digests.get(service, "")
        if not pinned and f"{service} image" not in told:
            raise Malformed(f"the image of {service} is neither there nor missing")
        if pinned and not may_be(pinned, image):
            raise Malformed(f"snapshot.digests.{service}: not of the image that was asked for")


def login_request(login: RegistryLogin | None) -> EngineLogin | None:
    return EngineLogin(login.username, login.password.reveal(), login.server) if login else None


def reveal_all(resolved: Resolved) -> dict[str, str]:
    """The variables of .env that matter to this server, in the clear: for standard input only."""
    return {name: value.reveal() for name, value in resolved.used.items()}


def config_file(service: Service) -> ConfigFile | None:
    if not isinstance(service, Consumer) or service.config is None:
        return None
    entry = service.config
    return ConfigFile(entry.path, entry.owner, entry.mode, entry.model_key or "")


def _wanted(inventory: Inventory, resolved: Resolved, service: Service, tags: Mapping[str, str] | None) -> Wanted:
    image = reference(full_image(inventory, service), tags[service.name]) if tags and service.image else ""
    if isinstance(service, Batch):
        return batch(inventory, service, image)
    wanted = Wanted(
        *(service.name, "consumer", image, config_file(service)),
        offset=offset_file(service),
        user=_numbers(service),
    )
    if tags is None or resolved.missing:
        return wanted
    text = resolved.config(service)
    return _reading(resolved, service, dataclasses.replace(wanted, text=text.reveal() if text else ""))


def _numbers(service: Service) -> str:
    """Who a container of the service runs as, uid:gid or uid; empty where hosts.yaml gives none, or names."""
    return service.user if NUMBERS.fullmatch(service.user) else ""


def _watched(resolved: Resolved, service: Service, wanted: Wanted) -> Wanted:
    """With what it takes to see whether a consumer gets on."""
    if not isinstance(service, Consumer):
        return wanted
    watched = dataclasses.replace(wanted, failure_text=service.watch.failure_text, log=log_rules(service))
    return _reading(resolved, service, watched)


def _reading(resolved: Resolved, service: Consumer, wanted: Wanted) -> Wanted:
    """With the stream that a consumer reads, and the password of who may ask it."""
    password = resolved.stream_password(service)
    return dataclasses.replace(wanted, stream=resolved.stream(service), password=password.reveal() if password else "")
