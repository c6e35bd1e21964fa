"""What the templates that hosts.yaml names want of .env, and what they render to; nothing of them runs in this process.

A template lies below the folder of hosts.yaml, links included: it comes with hosts.yaml and is read like it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import child_process, secrecy
from gpu_runbook.laptop.inputs import template as render
from gpu_runbook.laptop.inputs.child_process import KILLED_AFTER, MEMORY
from gpu_runbook.laptop.inputs.dotenv import Env
from gpu_runbook.laptop.inputs.secret import Secret, spellings
from gpu_runbook.laptop.inputs.template import Template
from gpu_runbook.laptop.inventory.entries import Config, Consumer, Host
from gpu_runbook.laptop.inventory.model import Inventory, Service
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.laptop.inventory.yaml_document import complaint
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Rendered:
    """By template the variables of .env that it uses, and by server and service the config; or what is wrong.

    Of a template that does not come to an end nothing more is known, nor of those after it.
    """

    variables: dict[Path, frozenset[str] | BadInput] = field(default_factory=dict)
    configs: dict[tuple[str, str], Secret | BadInput] = field(default_factory=dict)


def rendered(inventory: Inventory, services: Sequence[Service], servers: Sequence[tuple[Host, Env]]) -> Rendered:
    """All templates of the services in one child process, for each server with the variables of its .env.

    A config for which variables are missing is empty.
    """
    done = Rendered()
    wanted = [(one, one.config) for one in services if isinstance(one, Consumer) and one.config]
    templates: dict[Path, Template] = {}
    for service, config in wanted:
        try:
            templates[config.template] = _read(inventory, service, config)
        except BadInput as error:
            done.variables[config.template] = error
    if not templates:
        return done
    wanted = [(one, config) for one, config in wanted if config.template in templates]
    wishes = [(host, env, one, config) for one, config in wanted for host, env in servers]
    uses = secrecy.uses(inventory)
    tasks = [partial(_variables, template) for template in templates.values()]
    tasks += [partial(_config, templates[config.template], config, host, env, uses) for host, env, _, config in wishes]
    answers = child_process.each(tasks)
    for path, answer in zip(templates, answers, strict=False):
        done.variables[path] = frozenset(answer.split()) if isinstance(answer, str) else answer or _endless(path)
    for (host, _, service, config), answer in zip(wishes, answers[len(templates) :], strict=False):
        text = Secret(answer) if isinstance(answer, str) else answer or _endless(config.template)
        done.configs[host.name, service.name] = text
    return done


def _read(inventory: Inventory, service: Service, config: Config) -> Template:
    """Raises BadInput for a template that is not there, or lies elsewhere, by the line of hosts.yaml."""
    folder, found = (Path(os.path.realpath(path)) for path in (inventory.path.parent, config.template))
    sentence = ""
    if not found.is_relative_to(folder):
        sentence = f"leads to {printable(str(found), 200)}; a template lies below the folder of hosts.yaml"
    elif not found.exists():
        sentence = f"{printable(str(config.template), 200)} does not exist"
    elif not found.is_file():
        sentence = "is no file"
    if sentence:
        raise BadInput(complaint(inventory.path, ("services", service.name, "config", "template"), sentence))
    return render.read(config.template)


def _variables(template: Template) -> str:
    return " ".join(sorted(template.variables))


def _config(template: Template, config: Config, host: Host, env: Env, uses: secrecy.Uses) -> str:
    values = {name: env.values[name] for name in template.variables if env.values.get(name)}
    if len(values) < len(template.variables):
        return ""
    text = template.render(values, host)
    if config.model_key:
        hidden: Iterable[str] = spellings(secrecy.covered(env.values, uses))
        render.check_model_key(template.path, text, config.model_key, hidden)
    return text


def _endless(path: Path) -> BadInput:
    return BadInput(f"{path} does not come to an end within {KILLED_AFTER:g} s and {MEMORY >> 20} MiB.")
