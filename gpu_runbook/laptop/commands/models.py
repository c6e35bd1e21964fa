"""Trained models on a server: which there are, and putting another one in force."""

from __future__ import annotations

import dataclasses
import getpass
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gpu_runbook.common import humanize
from gpu_runbook.laptop.commands import models_text
from gpu_runbook.laptop.commands.models_text import named
from gpu_runbook.laptop.deploy.recovery import ended_first
from gpu_runbook.laptop.deploy.snapshot import config_file
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inventory.model import Host, Inventory
from gpu_runbook.laptop.rpc.call import DAY, Deadline, cancelled, change, look, read
from gpu_runbook.laptop.rpc.requests import place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.laptop.terminal.screen import Screen
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.models import (
    CHANGED,
    CONFIG,
    DATE,
    PREVIOUS,
    WHOLE,
    WRITING,
    Chosen,
    ModelFile,
    Models,
    is_dated,
)
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.requests import ModelsRequest, ModelUseRequest
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import ModelUseAnswer

KNOWN = 5  # names of models that an error tells
STILL = 600.0  # seconds in which not a megabyte of a model was read: a disk that hangs
ASK_AGAIN = "fab models says which one it is"


@dataclass(frozen=True)
class ModelTerms:
    """What hosts.yaml says of models. `configs`: by service, those that name one.

    `files`: where the model is in each directory. `name`: what the directories are called. `way`, `place`: how one is
    in force, and the path of the copy or link.
    """

    folder: str
    files: tuple[str, ...]
    configs: Mapping[str, ConfigFile]
    name: str = DATE
    way: str = CONFIG
    place: str = ""

    def directory(self, date: str) -> str:
        """The name of a model's directory, of which the date is enough."""
        return self.name.replace(DATE, date) if date and is_dated(date) else date


@dataclass(frozen=True)
class ModelWish:
    """What somebody wants: the model of a date, or without one the choice before."""

    date: str = ""
    force: bool = False
    dry_run: bool = False


def terms(inventory: Inventory) -> ModelTerms:
    """Raises BadInput where hosts.yaml says nothing of models."""
    if inventory.models is None:
        raise BadInput(
            f"{inventory.path} does not say where the models are", "models: {folder: /azaion/models, file: best.pt}"
        )
    found = {service.name: config_file(service) for service in inventory.services.values()}
    configs = {name: config for name, config in found.items() if config and config.model_key}
    said = inventory.models
    return ModelTerms(said.folder, said.file, configs, said.name, said.in_force, said.place)


def checked(inventory: Inventory, date: str | None) -> ModelTerms:
    """What it takes to choose a model. Raises BadInput for a name that is no date, or when no config names a model."""
    known = terms(inventory)
    if date is not None and not is_dated(known.directory(date), known.name):
        more = "2026-04-20-b" if known.name == DATE else known.directory("2026-04-20")
        raise BadInput(f"{date} is no date such as 2026-04-20 or {more}", "fab models lists what there is")
    if known.way == CONFIG and not known.configs:
        raise BadInput(
            f"{inventory.path} does not say which key of a config names the model",
            "config.model_key of a consumer does, such as model_key: model; for a file that is replaced there are "
            "models.in_force and models.current",
        )
    return known


def listed(
    session: Session, where: tuple[str, str], known: ModelTerms, verify: str, passing: Callable[[str], None]
) -> Models:
    """One exchange. `verify`: as in a ModelsRequest. Raises what `call.ask` raises."""
    request = ModelsRequest(
        *where,
        folder=known.folder,
        files=known.files,
        configs=dict(known.configs),
        verify=verify,
        name=known.name,
        way=known.way,
        place=known.place,
        who=getpass.getuser(),
        laptop=socket.gethostname(),
    )
    reads = verify or known.way != CONFIG  # which of the models a copy or a link is, is told by its content
    deadline = Deadline(DAY, STILL) if reads else Deadline()
    answer = look(session, "models", request, on_event=lambda event: passing(_progress(event)), deadline=deadline)
    return read(session.host.name, Models, answer, "models")


def _progress(event: dict[str, Any]) -> str:
    what = "copying" if event.get("event") == "copying" else "reading"
    done, total = event.get("done"), event.get("total")
    if not isinstance(done, int) or not isinstance(total, int):
        return what
    return f"{what} {event.get('path')}: {humanize.size(done)} of {humanize.size(total)}"


def choose(
    session: Session, inventory: Inventory, host: Host, known: ModelTerms, wish: ModelWish, screen: Screen
) -> ModelUseAnswer:
    """Verify a model, and point the server's configs at it; the result is what --json prints.

    Ctrl-C changes nothing until the model is verified; after that, the server does what it was told.
    """
    server, back = session.host.name, not wish.date
    wish = dataclasses.replace(wish, date=known.directory(wish.date))
    try:
        found = _verified(session, inventory, host, known, wish, screen)
        model = _fit(server, known, found, wish)
    except KeyboardInterrupt:
        raise cancelled(session) from None
    screen.say(f"{server}: {named(model)} is whole: {humanize.size(model.size)}, sha256 {model.sha256[:16]}…")
    request = ModelUseRequest(
        *place(host),
        folder=known.folder,
        configs=dict(known.configs),
        model=model,
        back=back,
        was=found.choices.path,
        who=getpass.getuser(),
        laptop=socket.gethostname(),
        force=wish.force,
        dry_run=wish.dry_run,
        way=known.way,
        in_force=found.in_force,
    )
    with screen.working(f"{server}: choosing", short=True) as passing:
        answer = _ask(session, request, passing)
    for text, style in models_text.told(server, model, answer, wish.dry_run, found.in_force):
        screen.say(text, style)
    return {
        "server": server,
        "outcome": "up-to-date" if not answer.needed else "dry-run" if wish.dry_run else "done",
        "run": answer.run,
        "model": encode(model),
        "configs": answer.before,
    }


def _verified(
    session: Session, inventory: Inventory, host: Host, known: ModelTerms, wish: ModelWish, screen: Screen
) -> Models:
    """The models, with the one that is wanted read as a whole; a run that was cut off is brought to an end first."""
    server, verify = session.host.name, wish.date or PREVIOUS
    with screen.working(f"{server}: verifying") as passing:
        found = listed(session, host.place, known, verify, passing)
        if wish.dry_run or not ended_first(session, inventory, host, getpass.getuser(), found.run, screen):
            return found
        return listed(session, host.place, known, verify, passing)


def _fit(server: str, known: ModelTerms, found: Models, wish: ModelWish) -> ModelFile:
    """The model to be chosen. Raises BadInput or Refused for one that cannot be."""
    if found.damaged:
        raise Refused(f"{server}: {found.damaged}", "move it away, then choose again: fab models.use")
    model = found.target
    if model is None and wish.date:
        names = ", ".join(one.date for one in found.models[-KNOWN:]) or "none"
        raise BadInput(f"{server}: there is no model {wish.date} in {known.folder}", f"the newest are: {names}")
    if model is None:
        raise Refused(f"{server}: there is no earlier choice to go back to", "fab models.use DATE chooses a model")
    if model.state == WHOLE or (model.state == CHANGED and wish.force):
        return model
    hint = {
        CHANGED: "if that was meant, choose it with --force",
        WRITING: "wait until it is written",
    }.get(model.state, "fab models lists what there is")
    raise Refused(f"{server}: {named(model)} is not chosen: {model.sentence}; nothing was changed", hint)


def _ask(session: Session, request: ModelUseRequest, passing: Callable[[str], None]) -> Chosen:
    server = session.host.name
    if request.dry_run:
        answer = look(session, "model_use", request)
    else:
        how: dict[str, Any] = {"on_event": lambda event: passing(_progress(event))}
        how["deadline"] = Deadline(DAY, STILL) if request.in_force else Deadline()  # gigabytes may have to be copied
        answer = change(session, "model_use", request, "the model may be chosen", ASK_AGAIN, **how)
    return read(server, Chosen, answer, "choice", "fab models says what is in force")
