"""The command that starts the next run of a batch service: made here, given to a person, and run by nobody else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpu_runbook.common import checkpoint, humanize
from gpu_runbook.common.clock import moment
from gpu_runbook.common.command_line import is_like
from gpu_runbook.common.container import create_command
from gpu_runbook.laptop.commands.status import named_image
from gpu_runbook.laptop.deploy.active import active
from gpu_runbook.laptop.errors import BadInput, Refused
from gpu_runbook.laptop.inventory.entries import CHECKPOINT
from gpu_runbook.laptop.inventory.model import Batch, Host, Inventory, Service, local_tag
from gpu_runbook.laptop.rpc.call import look, read
from gpu_runbook.laptop.rpc.requests import batch, place
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import GPU_SUPPORT, OK, Check
from gpu_runbook.protocol.foreign_text import named, one_line, quoted
from gpu_runbook.protocol.plan import Spec
from gpu_runbook.protocol.requests import TrainingRequest
from gpu_runbook.protocol.snapshot import BatchState
from gpu_runbook.protocol.training import LAST, Checkpoint, NextRun, is_plain
from gpu_runbook.protocol.values import dataclass

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import LaunchAnswer

SHELL = ("/bin/sh", "-c")
LONGEST_WORD = 1000  # characters of one that an image starts


@dataclass(frozen=True)
class Launch:
    """The command, and what to know before it is run. `resumes`: whether it goes on from the last checkpoint."""

    server: str
    service: str
    command: tuple[str, ...]
    resumes: bool
    notes: tuple[str, ...]
    beside: bool = False  # whether it is to go on by itself while the shell does

    @property
    def line(self) -> str:
        return shlex.join(self.command) + (" &" if self.beside else "")


def chosen(inventory: Inventory, services: Sequence[Service]) -> Batch:
    """The one batch service among those asked for. Raises BadInput."""
    batches = [service for service in services if isinstance(service, Batch)]
    if len(batches) == 1:
        return batches[0]
    known = ", ".join(name for name, service in inventory.services.items() if isinstance(service, Batch))
    what = "more than one batch service is asked for" if batches else "no batch service is asked for"
    raise BadInput(what, f"say which with --service: {known}" if known else "hosts.yaml has none (kind: batch)")


def of_server(session: Session, inventory: Inventory, host: Host, service: Batch) -> NextRun:
    """One exchange, which only looks. Raises what `call.ask` raises."""
    request = TrainingRequest(*place(host), batch(inventory, service), service.gpus if service.image else "")
    return read(session.host.name, NextRun, look(session, "training_command", request), "next run")


def launch(inventory: Inventory, host: Host, service: Batch, found: NextRun, resume: bool | None) -> Launch:
    """The command. `resume`: whether it is to go on from the last checkpoint, None for whenever there is one.

    Raises Refused where there is no image to start, or the resume arguments would go nowhere, and BadInput.
    """
    tag = local_tag(inventory, service) if service.image else ""
    state = found.look.batches.get(service.name, BatchState())
    if tag and not state.next_image:
        hint = f"fab deploy --service {service.name} brings it"
        raise Refused(f"{host.name}: {tag} names no image yet: there is nothing to start", hint)
    if not tag and not service.command:
        said = f"services.{service.name} has neither image: nor command:, so that nothing says how a run is started"
        raise BadInput(said, "say it there: command: [python, train.py]")
    if resume and not service.resume:
        raise BadInput(f"{service.name} has no resume: in hosts.yaml", "say there which arguments continue a run")
    resumes = bool(service.resume) and (_is_there(found) if resume is None else resume)
    words = service.arguments
    if resumes:
        words = (*_before(host, service, found), *_resume(host, service, found))
    if tag:
        options = create_command(_spec(service, tag, words), service.container, tag, {})[2:]
        command = (*_docker(host), "run", "--detach", *options)
    else:
        command = _outside(host, service, found, words)
    if "\n" in "".join(command):
        raise BadInput(f"services.{service.name}: a line break in it fits on no command line", "take it out")
    notes = tuple(_notes(host, service, found, tag, resumes, words))
    return Launch(host.name, service.name, command, resumes, notes, not tag and command[0] != "sudo")


def _is_there(found: NextRun) -> bool:
    return bool(found.checkpoint and found.checkpoint.name)


def _spec(service: Batch, image: str, command: tuple[str, ...]) -> Spec:
    key, equals, value = (service.label or "").partition("=")
    return Spec(
        image=image,
        command=command,
        user=service.user,
        environment=dict(service.environment),
        mounts=service.mounts,
        network=service.network,
        gpus=service.gpus,
        memory=service.memory,
        labels={key: value} if equals else {},
        options=service.words(),
    )


def _before(host: Host, service: Batch, found: NextRun) -> tuple[str, ...]:
    """What stands before the resume arguments: docker takes given words instead of the image's own."""
    if service.command or service.entrypoint:
        return service.arguments
    hint = f"say command: for {service.name} in hosts.yaml, or --fresh"
    if found.command[:2] == SHELL:
        raise Refused(
            f"{host.name}: the image of {service.name} starts a shell line, to which no arguments can be added", hint
        )
    odd = [word for word in found.command if not (word.isprintable() and len(word) <= LONGEST_WORD)]
    if odd:  # pasted, it could do something else than what is seen
        said = f"the image of {service.name} starts with a word that fits on no command line: {quoted(odd[0])}"
        raise Refused(f"{host.name}: {said}", hint)
    return found.command


def _resume(host: Host, service: Batch, found: NextRun) -> tuple[str, ...]:
    """The arguments that continue a run, with the checkpoint's path as the run will see it."""
    if service.resumes_from_a_file and not _is_there(found):
        said = checkpoint.told(found.checkpoint or Checkpoint(), service.checkpoints or "")
        raise Refused(f"{host.name}: there is no whole {LAST} to go on from ({said})", "--fresh begins anew")
    name = found.checkpoint.name if found.checkpoint else ""
    if service.resumes_from_a_file and not is_plain(name):
        raise Refused(f"{host.name}: the name of its checkpoint fits on no command line: {quoted(name)}", "rename it")
    path = service.inside(f"{service.checkpoints}/{name}")
    return tuple(word.replace(CHECKPOINT, path) for word in service.resume)


def _outside(host: Host, service: Batch, found: NextRun, words: tuple[str, ...]) -> tuple[str, ...]:
    """The command of a run that is in no container, which outlives the shell that it is pasted into."""
    user, folder = (service.process.user, service.process.folder) if service.process else ("", None)
    login = host.user or ("" if host.sudo else found.look.user)
    other = f"#{user}" if user.isdigit() else user
    sudo = ("sudo", "--background", "--user", other) if user not in ("", login) else ()
    chdir = (f"--chdir={folder}",) if folder else ()
    values = tuple(f"{name}={value}" for name, value in service.environment.items())
    return (*sudo, "env", *chdir, *values, "nohup", *words)


def _docker(host: Host) -> tuple[str, ...]:
    sudo = ("sudo",) if host.sudo else ()
    return (*sudo, "docker", *(("--host", host.docker_host) if host.docker_host else ()))


def _notes(
    host: Host, service: Batch, found: NextRun, tag: str, resumes: bool, words: tuple[str, ...]
) -> Iterator[str]:
    look = found.look
    state = look.batches.get(service.name, BatchState())
    login = f"{host.user}@{host.address}" if host.user else host.address
    yield f"a person pastes it into a shell there ({login}); nothing of ours starts it"
    if tag:
        image = named_image(service.name, look, state.next_image)
        release = next((one.id for one in look.record.releases if _brought(one.services.get(service.name), state)), "")
        yield f"{tag} is {image}{f', of release {named(release)}' if release else ''}"
    else:
        yield "it is a process of the server itself; what it says on its terminal goes to nohup.out, where it works"
    if not tag and service.process and not is_like(service.process.command, words):
        yield f"process: of hosts.yaml ({service.process.command}) does not fit it: this run would not be seen"
    yield _beginning(service, found, resumes)
    for run in active(state, service.container):
        since = humanize.span(moment(look.at) - moment(run.started_at))
        yield f"{run.name} runs already, for {since}: this is for when it has ended"
    if state.unseen:
        yield f"whether one runs already in no container is not known: {one_line(state.unseen)}"
    yield from (f"{row.name}: {row.sentence} ({row.hint})" for row in look.rows if _refuses_gpus(row))
    held = found.named
    if held and not held.running:
        began = re.sub("[^0-9]", "", held.started_at[:19])  # digits alone: it stands on a line to be pasted
        old = f"{service.container}.{began[:8]}-{began[8:]}"
        rename = shlex.join([*_docker(host), "rename", service.container, old])
        yield f"a container of that name is there, which has ended: {rename} keeps it and makes room"


def _refuses_gpus(row: Check) -> bool:
    """Whether docker will not take what the command says of GPUs, or that is not known."""
    return row.name == GPU_SUPPORT and row.level != OK


def _brought(placed: object, state: BatchState) -> bool:
    return getattr(placed, "image_id", None) == state.next_image


def _beginning(service: Batch, found: NextRun, resumes: bool) -> str:
    seen = found.checkpoint
    said = checkpoint.told(seen, service.checkpoints or "") if seen else "hosts.yaml names no folder of checkpoints"
    if resumes and not _is_there(found):
        return f"its resume arguments are in it, though there is nothing to go on from ({said})"
    if resumes:
        return f"it goes on from the last checkpoint ({said}); --fresh begins anew"
    if not service.resume:
        return f"{said}; hosts.yaml has no resume: for it, so that the program itself decides where it begins"
    return f"it begins anew ({said})" + ("; --resume goes on" if not _is_there(found) else "")


def lines(found: Launch) -> Iterator[str]:
    """What to know, for people."""
    yield f"{found.server}: the next run of {found.service}"
    yield from (f"  {note}" for note in found.notes)


def as_result(found: Launch) -> LaunchAnswer:
    """The same for scripts."""
    return {
        "server": found.server,
        "service": found.service,
        "command": list(found.command),
        "resumes": found.resumes,
        "notes": list(found.notes),
        "line": found.line,
    }
