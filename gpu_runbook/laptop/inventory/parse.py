"""Turns the text of hosts.yaml into an Inventory, or into every error in it, each by line and key."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gpu_runbook.laptop.inventory.container_keys import share_a_port
from gpu_runbook.laptop.inventory.entries import Batch, Consumer, Host
from gpu_runbook.laptop.inventory.fields import is_private, is_read_only
from gpu_runbook.laptop.inventory.model import Inventory, Service
from gpu_runbook.laptop.inventory.problems import bad_input, nearest
from gpu_runbook.laptop.inventory.yaml_document import Document, Place, read_yaml
from gpu_runbook.protocol.models import is_dated
from gpu_runbook.protocol.plan import NO_CHECK

MISSING = "hosts.yaml says which servers and services there are; start from the sample that comes with the project."

_HINT = "Correct these lines; hosts.schema.json describes every key."

OLD_SOURCE = "env_file"  # of a host, as versions before `env:` have it

# The defaults are written out for every server; together they stay below this many characters.
MOST_DEFAULTS = 4 << 20

_SENTENCES = {
    "json_invalid": "the file is nested too deeply",
    "missing": "is missing",
    "string_type": "a text is expected; put it in quotes if it looks like a number, a date or yes and no",
    "bool_type": "true or false is expected",
    "tuple_type": "a list is expected",
    "dict_type": "a mapping (key: value) is expected",
    "dataclass_type": "a mapping (key: value) is expected",
    "union_tag_not_found": "kind is missing; consumer or batch is expected",
    "union_tag_invalid": "kind: consumer or batch is expected",
}


def load(path: Path) -> Inventory:
    """Read, check and freeze. Raises BadInput with everything that is wrong."""
    document = read_yaml(path, MISSING)
    data = _completed(document)
    _complain_of_given_keys(document)
    _complain_of_twins(document, data["hosts"])
    _complain_of_doubles(document, data["services"])
    try:
        # As JSON text, because that is where pydantic's strict reading lets a mapping become a value.
        inventory = adapter().validate_json(json.dumps(data))
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            document.complain(_place(details, document), _sentence(details))
    else:
        _complain_of_exposed_states(document, inventory)
        _complain_of_exposed_sources(document, inventory)
        _complain_of_exposed_certificates(document, inventory)
        _complain_of_the_current_model(document, inventory)
        _complain_of_log_files_elsewhere(document, inventory)
        _complain_of_options(document, inventory)
        _complain_of_private_mounts(document, inventory)
        _complain_of_shared_ports(document, inventory)
        if not document.problems:
            return _anchored(inventory, path.parent)
    problems = [text for _, text in sorted(document.problems)]
    raise bad_input(str(path), problems, _HINT)


@functools.cache
def adapter() -> TypeAdapter[Inventory]:
    """Making it takes ten times as long as reading a file with it."""
    return TypeAdapter(Inventory)


def _completed(document: Document) -> dict[str, Any]:
    """The file's data with the defaults in each host, and in each entry the name that is its key."""
    data = {key: value for key, value in document.data.items() if key != "defaults"}
    defaults = document.data.get("defaults", {})
    if not isinstance(defaults, dict):
        document.complain(("defaults",), _SENTENCES["dict_type"])
        defaults = {}
    defaults = _with_source(document, ("defaults",), defaults)
    hosts = data.get("hosts")
    if isinstance(hosts, dict) and len(hosts) * len(json.dumps(defaults)) > MOST_DEFAULTS:
        document.complain(("defaults",), f"are too long to be written out for {len(hosts)} servers")
        raise bad_input(str(document.path), [document.problems[-1][1]], _HINT)
    if isinstance(hosts, dict):
        hosts = {name: _with_source(document, ("hosts", name), entry) for name, entry in hosts.items()}
    data["hosts"] = _named(hosts, defaults)
    data["services"] = _spelt_out(_named(data.get("services", {}), {}))
    data["path"] = str(document.path)
    if not data["hosts"]:
        document.complain(("hosts",), "at least one server is expected")
        data["hosts"] = {}
    return data


def _named(entries: Any, defaults: dict[str, Any]) -> Any:
    """Entries that are no mappings stay as they are, for the validation to name them."""
    if not isinstance(entries, dict):
        return entries
    return {
        name: defaults | entry | {"name": name} if isinstance(entry, dict) else entry for name, entry in entries.items()
    }


def _with_source(document: Document, place: Place, entry: Any) -> Any:
    """`env_file: F` is the old name of `env: {file: F}`."""
    if not isinstance(entry, dict) or OLD_SOURCE not in entry:
        return entry
    new, old = (*place, "env"), (*place, OLD_SOURCE)
    if new in document.lines:
        document.complain(old, f"is the old name of env, which is in line {document.lines[new]}; one of them is enough")
    rest = {key: value for key, value in entry.items() if key != OLD_SOURCE}
    return {"env": {"file": entry[OLD_SOURCE]}} | rest


def _spelt_out(services: Any) -> Any:
    """`healthcheck: none` and `process: …` are short for ones whose command is that, and `tls: true` for one that says
    no more; a batch service without `container` is called by its own name.
    """
    for entry in services.values() if isinstance(services, dict) else ():
        if isinstance(entry, dict) and entry.get("healthcheck") == NO_CHECK:
            entry["healthcheck"] = {"command": NO_CHECK}
        if isinstance(entry, dict) and isinstance(entry.get("process"), str):
            entry["process"] = {"command": entry["process"]}
        if isinstance(entry, dict) and entry.get("kind") == "batch" and "process" in entry:
            entry.setdefault("container", entry["name"])
        stream = entry.get("stream") if isinstance(entry, dict) else None
        if isinstance(stream, dict) and isinstance(stream.get("tls"), bool):
            entry["stream"] = stream | {"tls": {} if stream["tls"] else None}
    return services


def _complain_of_given_keys(document: Document) -> None:
    """A name is the key of its entry; one that is written inside would be overruled in silence."""
    for place in document.lines:
        match place:
            case ("path",) | ("defaults", "name") | ("hosts" | "services", _, "name"):
                document.complain(place, "is not a known key")


def _complain_of_twins(document: Document, hosts: Any) -> None:
    """Two entries for one server would be deployed to twice; a group named like a server would hide it."""
    first: dict[tuple[str, Any], str] = {}
    for name, host in hosts.items() if isinstance(hosts, dict) else ():
        if not isinstance(host, dict):
            continue
        target = (str(host.get("address", name)).lower(), json.dumps(host.get("port") or 22))
        if target in first:
            document.complain(("hosts", name, "address"), f"is the same address and port as {first[target]}'s")
        first.setdefault(target, name)
        groups = host.get("groups")
        for index, group in enumerate(groups if isinstance(groups, list) else ()):
            if isinstance(group, str) and group in hosts:
                document.complain(("hosts", name, "groups", str(index)), "is also the name of a server")


def _complain_of_doubles(document: Document, services: Any) -> None:
    """A run of a batch service that has a consumer's name would be that consumer, which nobody could touch."""
    entries = services.items() if isinstance(services, dict) else ()
    known = {name: entry for name, entry in entries if isinstance(entry, dict)}
    consumers = [name for name, entry in known.items() if entry.get("kind") == "consumer"]
    for name, entry in known.items():
        if entry.get("kind") == "batch" and entry.get("container") in consumers:
            document.complain(("services", name, "container"), "is also the name of a consumer")


def _complain_of_exposed_states(document: Document, inventory: Inventory) -> None:
    """What is written down of deploys lies where no container writes: neither in a mount nor above one."""
    mounts = {mount.split(":")[0]: service.name for service in inventory.services.values() for mount in service.mounts}
    for host in inventory.hosts.values():
        if not host.state:
            continue
        own: Place = ("hosts", host.name, "state")
        place = own if own in document.lines else ("defaults", "state")
        if _is_below(host.state, host.root):
            document.complain(place, f"is below the root ({host.root}), where containers write")
        for source, service in mounts.items():
            if _is_below(host.state, source) or _is_below(source, host.state):
                document.complain(place, f"is not apart from {source}, which {service} mounts")


def _complain_of_exposed_sources(document: Document, inventory: Inventory) -> None:
    """Who could write a server's variables would say which broker is asked, and with which password."""
    mounts = {mount.split(":")[0]: service.name for service in inventory.services.values() for mount in service.mounts}
    for host in inventory.hosts.values():
        for source, service in mounts.items():
            if host.env.server and (_is_below(host.env.server, source) or _is_below(source, host.env.server)):
                place = _as_written(("hosts", host.name, "env", "server"), document)
                document.complain(place, f"is not apart from {source}, which {service} mounts")


def _complain_of_exposed_certificates(document: Document, inventory: Inventory) -> None:
    """Who could write the file of a CA would say who is the broker, and let whoever reads it wait."""
    mounts = [mount for one in inventory.services.values() for mount in one.mounts]
    written = [mount.split(":")[0] for mount in mounts if not is_read_only(mount)]
    for service in inventory.services.values():
        tls = service.stream.tls if isinstance(service, Consumer) and service.stream else None
        for source in dict.fromkeys(written):
            if tls and tls.ca and _is_below(tls.ca, source):
                place = ("services", service.name, "stream", "tls", "ca")
                document.complain(place, f"is below {source}, which containers mount and write to")


def _complain_of_the_current_model(document: Document, inventory: Inventory) -> None:
    """The file that is replaced by a chosen model is nobody else's, and lies where models or data are."""
    if inventory.models is None or not inventory.models.place:
        return
    models, path = inventory.models, inventory.models.place
    place: Place = ("models", "current")
    states = [host.state for host in inventory.hosts.values() if host.state and _is_below(path, host.state)]
    outside = [host for host in inventory.hosts.values() if not _is_below(path, host.root)]
    if _is_below(path, models.folder):
        inner = path[len(models.folder) + 1 :].split("/")
        if is_dated(inner[0], models.name):
            document.complain(place, f"is in {inner[0]}, which is one of the models it is chosen from")
    elif outside:
        document.complain(place, f"is neither below models.folder nor below the root of {outside[0].name}")
    if states or _is_below(models.folder, path):
        document.complain(place, f"is {states[0] if states else models.folder} or in the way of it")
    for service in inventory.services.values():
        for key, file in _written_files(service).items():
            if _is_below(file, path):
                document.complain(place, f"is {key} of {service.name}, or above it")


def _complain_of_log_files_elsewhere(document: Document, inventory: Inventory) -> None:
    """What lies below no mount, its container did not write."""
    for service in inventory.services.values():
        anywhere = isinstance(service, Batch) and service.process is not None  # a run may be in no container
        for number, pattern in enumerate(service.log_files):
            if not anywhere and not any(pattern.startswith(mount.split(":")[0] + "/") for mount in service.mounts):
                own: Place = ("services", service.name, "log_files", str(number))
                place = own if own in document.lines else own[:3]
                document.complain(place, f"({pattern}) lies below none of the mounts; the container could not write it")


def _complain_of_options(document: Document, inventory: Inventory) -> None:
    """Keys of a container that do not go together, or give it more than is meant."""
    for service in inventory.services.values():
        for place, sentence in service.flaws(service.network, isinstance(service, Consumer)):
            document.complain(("services", service.name, *place), sentence)


def _complain_of_private_mounts(document: Document, inventory: Inventory) -> None:
    """With Z another container loses what it works with, a training that runs among it."""
    for service in inventory.services.values():
        others = [one for one in inventory.services.values() if one is not service]
        used = [(mount.split(":")[0], one.name) for one in others for mount in one.mounts]
        for index, mount in enumerate(service.mounts):
            source = mount.split(":")[0]
            hit = [name for path, name in used if _is_below(path, source) or _is_below(source, path)]
            if hit and is_private(mount):
                said = f"Z takes {source} away from {hit[0]}, which mounts it as well; z lets both at it"
                document.complain(("services", service.name, "mounts", str(index)), said)


def _complain_of_shared_ports(document: Document, inventory: Inventory) -> None:
    """Of two containers that take one port, the second cannot start; the one that it replaces is stopped by then."""
    services = inventory.services.values()
    taken = [(port, service.name, str(index)) for service in services for index, port in enumerate(service.ports)]
    for number, (port, name, index) in enumerate(taken):
        first = next((f"{one} of {owner}" for one, owner, _ in taken[:number] if share_a_port(one, port)), "")
        if first:
            document.complain(("services", name, "ports", index), f"takes a port of the server that {first} takes")


def _written_files(service: Service) -> dict[str, str]:
    files = {"env_file.path": service.env_file.path} if service.env_file else {}
    if isinstance(service, Consumer):
        files |= {"config.path": service.config.path} if service.config else {}
        files |= {"offset.file": service.offset.file} if service.offset else {}
    return files


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _place(details: ErrorDetails, document: Document) -> Place:
    """Where in the file an error is: pydantic's place, less what it adds, and `defaults` if the value is from there."""
    place = tuple(str(part) for part in details["loc"] if part != "[key]")
    if place[:1] == ("services",):
        place = place[:2] + place[3:]  # the third says which kind of service it took
    return _as_written(place, document)


def _as_written(place: Place, document: Document) -> Place:
    """Where the file has what stands at a place of a host: there or among the defaults, by its own name or its old."""
    if place[:1] == ("hosts",):
        for head in (place[:2], ("defaults",)):
            if (*head, *place[2:3]) in document.lines:
                return (*head, *place[2:])
            if place[2:3] == ("env",) and (*head, OLD_SOURCE) in document.lines:
                return (*head, OLD_SOURCE)
    return place


def _sentence(details: ErrorDetails) -> str:
    kind = details["type"]
    if kind == "unexpected_keyword_argument":
        *outer, key = (str(part) for part in details["loc"])
        return "is not a known key" + nearest(key, _known_keys(tuple(outer)))
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if kind == "literal_error":
        return f"{details['ctx']['expected']} is expected"
    return _SENTENCES.get(kind, details["msg"])


def _known_keys(loc: Place) -> list[str]:
    """The keys that a person may write at pydantic's place."""
    shape: Any = Inventory
    for part in loc:
        if get_origin(shape) is dict:
            shape = get_args(shape)[1]
        elif dataclasses.is_dataclass(shape):
            shape = get_type_hints(shape)[part]
        else:  # a service, told apart by its kind
            shape = next(member for member in get_args(shape) if member.__name__.lower() == part)
        optional = [member for member in get_args(shape) if member is not type(None)]
        if type(None) in get_args(shape):
            (shape,) = optional
    given = {Inventory: "path", Host: "name", **dict.fromkeys(get_args(Service), "name")}
    keys = [field.name for field in dataclasses.fields(shape) if field.name != given.get(shape)]
    return [*keys, "defaults"] if shape is Inventory else keys


def _anchored(inventory: Inventory, folder: Path) -> Inventory:
    """Paths on the laptop are written relative to hosts.yaml; from here on they stand on their own."""

    def below(path: Path | None) -> Path | None:
        return None if path is None else folder / path

    hosts = {
        name: dataclasses.replace(
            host,
            key=below(host.key),
            known_hosts=below(host.known_hosts),
            env=dataclasses.replace(host.env, file=below(host.env.file)),
        )
        for name, host in inventory.hosts.items()
    }
    services = dict(inventory.services)
    by_config = inventory.models is None or inventory.models.in_force == "config"
    for name, service in services.items():
        if isinstance(service, Consumer) and service.config:
            key = service.config.model_key if by_config else None  # else its template names the copy or link
            config = dataclasses.replace(service.config, template=folder / service.config.template, model_key=key)
            services[name] = dataclasses.replace(service, config=config)
    scan = inventory.scan
    if scan:
        scan = dataclasses.replace(scan, report=below(scan.report), allow=below(scan.allow))
    return dataclasses.replace(inventory, hosts=hosts, services=services, scan=scan)
