"""Brings hosts.yaml, .env and the templates together: everything a server will be sent, or everything that is wrong.

Nothing is contacted. What several servers share is complained of once. Of a server whose variables stand on itself only
what needs none of them is known before they were read there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import secrecy
from gpu_runbook.laptop.inputs.dotenv import Env, read_env
from gpu_runbook.laptop.inputs.secrecy import REFUSED, REGISTRY_PASSWORD, Uses
from gpu_runbook.laptop.inputs.secret import Secret, spellings
from gpu_runbook.laptop.inputs.templates import Rendered, rendered
from gpu_runbook.laptop.inventory.model import Consumer, Host, Inventory, Service
from gpu_runbook.laptop.inventory.problems import bad_input
from gpu_runbook.laptop.inventory.yaml_document import complaint
from gpu_runbook.protocol.consumer import STREAM_VARIABLES, StreamAddress
from gpu_runbook.protocol.values import dataclass, field

# What a command wants of .env. A deploy must have every variable that the templates and the registry need, and renders.
# To compare with what was deployed, those that are there will do: a missing one is one of the reasons to roll back.
# To ask, those that say where the streams are; for the schedule, those of its alerts as well. A preflight says what is
# missing instead of ending with it.
Purpose = Literal["deploy", "compare", "ask", "preflight", "schedule"]

_CORRECT = "Correct these."
_UNSET = "Correct these; .env.example names every variable, and what it is for."


@dataclass(frozen=True)
class RegistryLogin:
    """Who pulls images."""

    server: str
    username: str
    password: Secret


@dataclass(frozen=True)
class Resolved:
    """What one server will be sent. `used` are the variables of .env that any of it is made of.

    `configs` are there where a deploy is to come of it; `read_there` are variables that services read from env files.
    `unread`: the variables stand on the server, are asked for, and were not read there yet; so nothing is made of them.
    """

    host: Host
    env: Env
    used: dict[str, Secret]
    login: RegistryLogin | None = None
    missing: tuple[str, ...] = ()  # a sentence for each variable without a value that a deploy would need
    uses: Uses = field(default_factory=Uses)
    read_there: frozenset[str] = frozenset()
    configs: Mapping[str, Secret] = field(default_factory=dict)  # by service
    unread: bool = False

    def config(self, service: Service) -> Secret | None:
        """The service's configuration, None without one. The model that was chosen is put in on the server."""
        return self.configs.get(service.name)

    def stream(self, service: Service) -> StreamAddress | None:
        """Where the service's stream is; `user` is empty when .env names nobody who may ask it."""
        if not isinstance(service, Consumer) or service.stream is None:
            return None
        stream = service.stream
        port = self.used[stream.port_variable].reveal()
        if not re.fullmatch(r"[1-9]\d{0,4}", port, re.ASCII) or int(port) > 65535:
            raise BadInput(f"{self.env.source}: {stream.port_variable} is not a port from 1 to 65535")
        host = self.used[stream.host_variable].reveal()
        if not re.fullmatch(r"[\w.:%\[\]-]+", host, re.ASCII):
            raise BadInput(f"{self.env.source}: {stream.host_variable} is not a host name or an address")
        user = self.used.get(stream.user_variable, Secret(""))
        tls = (stream.tls.ca or "") if stream.tls else None
        own = stream.host_variable, stream.port_variable, stream.user_variable, stream.password_variable
        variables = {usual: name for usual, name in zip(STREAM_VARIABLES, own, strict=True) if usual != name}
        return StreamAddress(host, int(port), stream.name, user.reveal(), stream.vhost, tls, variables)

    @property
    def hidden(self) -> tuple[str, ...]:
        """What is covered wherever a server or a container says it: the secrets among what goes there anyway."""
        known = {name: value for name, value in self.env.values.items() if name in self.read_there}
        return spellings(secrecy.covered(known | self.used, self.uses))

    @property
    def hidden_here(self) -> tuple[str, ...]:
        """The same of every variable of .env, whoever uses it: what this machine covers before it shows it."""
        return spellings(secrecy.covered(self.env.values, self.uses))

    def stream_password(self, service: Service) -> Secret | None:
        """What the stream's user logs in with."""
        if not isinstance(service, Consumer) or service.stream is None:
            return None
        return self.used.get(service.stream.password_variable)


def resolve(
    inventory: Inventory,
    hosts: Sequence[Host],
    services: Sequence[Service],
    purpose: Purpose = "deploy",
    there: Mapping[str, tuple[Env, list[str]]] | None = None,
) -> dict[str, Resolved]:
    """By server, what it will be sent. Raises BadInput with every problem of every server and service at once.

    `there`: by server, the variables that were read on itself, and what is wrong with their lines.
    """
    problems: list[str] = []
    hints: list[str] = []
    rendering = purpose in ("deploy", "preflight")
    uses = secrecy.uses(inventory)
    envs = _read_envs(hosts, there or {}, problems)
    empty = {host.name: _unread(host) for host in hosts if host.env.server and host.name not in envs}
    known = envs | empty
    servers = [(host, known[host.name]) for host in hosts if host.name in known] if rendering else []
    comparing = purpose == "compare" and envs  # it takes templates as they are, and only beside variables
    templates = rendered(inventory, services if rendering or comparing else (), servers)
    needs = _needs(inventory, services, templates, problems) if rendering else _stream_needs(services)
    if purpose == "schedule":
        needs |= {name: [key] for name, key in inventory.schedule.variables.items()}
    problems.extend(_no_variables(inventory, envs, uses))
    for env in {env.source: env for env in envs.values()}.values():
        if purpose != "preflight" and (unset := [*_unset(env, needs)]):
            problems.extend(unset)
            hints.append(_UNSET)
        problems.extend(_half_a_login(env, services))
        problems.extend(_exposed(env, services, uses))
    if not problems:
        needs |= _needs(inventory, services, templates, []) if purpose == "compare" else {}
        wished = inventory.schedule.variables if purpose == "ask" else {}
        unread = set(empty) if _asks(inventory, templates) else set()
        resolved = {
            host.name: _resolved(inventory, host, known[host.name], needs, services, wished, templates, uses)
            for host in hosts
        }
        resolved |= {name: replace(resolved[name], unread=True) for name in unread}
        complete = [one for one in resolved.values() if not one.unread]
        errors = [error for one in complete for error in _unusable(one, services, templates, rendering)]
        problems, hints = [error.message for error in errors], [error.hint for error in errors if error.hint]
    if problems:
        source = ", ".join(env.source for env, _ in (there or {}).values())
        hint = " ".join(dict.fromkeys(hints)) or _CORRECT
        raise bad_input(source or str(inventory.path), problems, hint, contacted=bool(there))
    return resolved


def _read_envs(
    hosts: Sequence[Host], there: Mapping[str, tuple[Env, list[str]]], problems: list[str]
) -> dict[str, Env]:
    """By server; without those whose file cannot be read, and those that were not asked for theirs yet."""
    files: dict[Path, Env] = {}
    for path in dict.fromkeys(host.env.file for host in hosts if host.env.file):
        try:
            files[path], wrong = read_env(path)
        except BadInput as error:
            problems.append(f"{error.message} {error.hint}")
        else:
            problems.extend(wrong)
    problems.extend(problem for _, wrong in there.values() for problem in wrong)
    read = {name: env for name, (env, _) in there.items()}
    return read | {host.name: files[host.env.file] for host in hosts if host.env.file in files}


def _unread(host: Host) -> Env:
    """The variables of a server that stand on itself, before they were read there."""
    return Env(f"{host.name}:{host.env.server}", {})


def _asks(inventory: Inventory, templates: Rendered) -> bool:
    """Whether anything of hosts.yaml is made of variables. A template that was not looked at may be."""
    registry, services = inventory.registry, inventory.services.values()
    configs = (one.config for one in _consumers(services) if one.config)
    return bool(
        (registry and registry.username)
        or (inventory.ci and inventory.ci.token_variable)
        or inventory.schedule.variables
        or any(one.stream for one in _consumers(services))
        or any(one.env_file for one in services)
        or any(templates.variables.get(config.template, True) for config in configs)
    )


def _needs(
    inventory: Inventory, services: Sequence[Service], templates: Rendered, problems: list[str]
) -> dict[str, list[str]]:
    """Each variable that a deploy must have a value for, with who needs it."""
    needs = {REGISTRY_PASSWORD: ["registry.username"]} if inventory.registry and inventory.registry.username else {}
    needs |= _stream_needs(services)
    for service in _consumers(services):
        if service.config is None:
            continue
        names = templates.variables.get(service.config.template, frozenset())
        if isinstance(names, BadInput):
            problems.append(names.message)
            continue
        for name in sorted(names):
            needs.setdefault(name, []).append(str(service.config.template))
    return needs


def _stream_needs(services: Sequence[Service]) -> dict[str, list[str]]:
    """The variables that say where a stream is, with who needs them."""
    needs: dict[str, list[str]] = {}
    for service in _consumers(services):
        if service.stream:
            for name in (service.stream.host_variable, service.stream.port_variable):
                needs.setdefault(name, []).append(f"services.{service.name}.stream")
    return needs


def _consumers(services: Iterable[Service]) -> Iterator[Consumer]:
    return (service for service in services if isinstance(service, Consumer))


def _unset(env: Env, needs: dict[str, list[str]]) -> Iterator[str]:
    for name, users in needs.items():
        if not env.values.get(name):
            state = "is empty" if name in env.values else "is not set"
            yield f"{env.source}: {name} {state}; needed by {', '.join(dict.fromkeys(users))}"


def _half_a_login(env: Env, services: Sequence[Service]) -> Iterator[str]:
    """Without both, the stream is not asked and the check says so; with one alone, somebody forgot the other."""
    for service in _consumers(services):
        if service.stream:
            pair = (service.stream.user_variable, service.stream.password_variable)
            unset = [name for name in pair if not env.values.get(name)]
            if len(unset) == 1:
                yield f"{env.source}: {unset[0]} has no value; {' and '.join(pair)} are set together or not at all"


def _exposed(env: Env, services: Sequence[Service], uses: Uses) -> Iterator[str]:
    """Passwords of .env that somebody copied to where `docker inspect` shows them."""
    refused = [name for name, value in env.values.items() if secrecy.judge(name, value.reveal(), uses) == REFUSED]
    hidden = {name: spellings([env.values[name]]) for name in refused}
    for service in services:
        shown = {f"environment.{key}": value for key, value in service.environment.items()}
        shown |= {f"command.{index}": value for index, value in enumerate(service.command)}
        shown |= {f"entrypoint.{index}": value for index, value in enumerate(service.entrypoint)}
        for word in service.words():
            flag, _, value = word.partition("=")
            shown[flag] = f"{shown.get(flag, '')}\n{value}"
        if isinstance(service, Consumer) and service.healthcheck:
            shown["healthcheck.command"] = service.healthcheck.command
        for (place, text), (name, forms) in product(shown.items(), hidden.items()):
            if any(form in text for form in forms):
                yield f"services.{service.name}.{place}: holds the value of {name}, and docker inspect shows it"


def _resolved(
    inventory: Inventory,
    host: Host,
    env: Env,
    needs: dict[str, list[str]],
    services: Sequence[Service],
    wished: Iterable[str],
    templates: Rendered,
    uses: Uses,
) -> Resolved:
    """`wished`: variables beside the needed ones that are used where they have a value."""
    streams = [service.stream for service in _consumers(services) if service.stream]
    optional = [name for stream in streams for name in (stream.user_variable, stream.password_variable)]
    used = {name: env.values[name] for name in dict.fromkeys([*needs, *optional, *wished]) if env.values.get(name)}
    registry = inventory.registry
    login = None
    if registry and registry.username and REGISTRY_PASSWORD in used:
        login = RegistryLogin(registry.server, registry.username, used[REGISTRY_PASSWORD])
    return Resolved(
        host,
        env,
        used,
        login,
        missing=tuple(_unset(env, needs)),
        uses=uses,
        read_there=frozenset(name for one in services if one.env_file for name in one.env_file.variables),
        configs={
            service: text
            for (server, service), text in templates.configs.items()
            if server == host.name and isinstance(text, Secret)
        },
    )


def _unusable(
    resolved: Resolved, services: Sequence[Service], templates: Rendered, rendering: bool
) -> Iterator[BadInput]:
    """What only shows when everything is put together, so that nothing is left to fail after the first connection."""
    if rendering and resolved.missing:
        return
    for service in services:
        config = templates.configs.get((resolved.host.name, service.name))
        if isinstance(config, BadInput):
            yield config
        try:
            resolved.stream(service)
        except BadInput as error:
            yield error


def _no_variables(inventory: Inventory, envs: Mapping[str, Env], uses: Uses) -> Iterator[str]:
    """What is wrong with the names under `public:`: they are in no .env, or those of secrets by their use."""
    for index, name in enumerate(inventory.public):
        sentence = ""
        if name in uses.secret:
            sentence = f"{name} is a password, a token or the address of an alert, and so a secret"
        elif not any(name in env.values for env in envs.values()) and not _elsewhere(name, inventory, envs):
            sentence = f"{name} is no variable of {', '.join(dict.fromkeys(env.source for env in envs.values()))}"
        if sentence:
            yield complaint(inventory.path, ("public", str(index)), sentence)


def _elsewhere(name: str, inventory: Inventory, envs: Mapping[str, Env]) -> bool:
    """Whether the .env of a server that is not asked for has the variable, or may have it: not every laptop has all."""
    others = [host.env.file for host in inventory.hosts.values() if host.name not in envs]
    read = {env.source for env in envs.values()}
    for path in dict.fromkeys(others):
        if path is None:
            return True
        if str(path) in read:
            continue
        try:
            if not path.is_file() or name in read_env(path)[0].values:
                return True
        except BadInput:
            return True
    return False
