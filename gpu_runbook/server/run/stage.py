"""Prepares the swap of one consumer while the old one works on: config, container, kept copies. All can be undone.

What undoes it is in `server.run.unstage`.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Dict, Optional, Tuple

from gpu_runbook.common.container import labels, old_release, parked
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.journal import Staged, Staging, Unplaced
from gpu_runbook.protocol.plan import ConsumerStep, Plan, owner, spec_hash
from gpu_runbook.protocol.requests import Secrets
from gpu_runbook.protocol.swap import ConfigSwap, Swap
from gpu_runbook.protocol.values import dataclass, field
from gpu_runbook.server.docker.batch_containers import recognised
from gpu_runbook.server.docker.commands import Docker, StepFailed
from gpu_runbook.server.docker.inspected import Container, ListedContainer
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.run.unstage import is_of
from gpu_runbook.server.state.journal import Journal
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

if TYPE_CHECKING:
    from gpu_runbook.server.logs.reading import Reading


@dataclass(frozen=True)
class Site:
    """Where a run is carried out: its plan, the texts that travel beside it, and everything it may touch."""

    plan: Plan
    secrets: Secrets
    hashes: Dict[str, str]  # of the values of .env, by name
    store: Store
    docker: Docker
    journal: Journal
    logs: Dict[str, Reading] = field(default_factory=dict)  # by service, where there is more than docker's log

    def folder(self, service: str) -> str:
        """Where this run keeps what it needs to go back, and what its release is made of."""
        return self.store.release(self.plan.id, service)


def stage(site: Site, step: ConsumerStep) -> Swap:
    """Make everything ready; give the swap. Raises StepFailed or Refusal with nothing that matters changed."""
    files.make_folder(site.folder(step.service))
    text = _with_model(site, step, _config_text(site, step))
    hashed = site.store.keyed_hash(text) if text is not None else ""
    name = parked(step.service, site.plan.release)
    staged = files.staged_name(step.config.path, site.plan.id) if step.config else ""
    again = files.staged_name(step.offset.path, site.plan.id) if step.replay and step.offset else ""
    site.journal.write(Staging(step.service, name, staged, again, hashed))
    if again:
        from gpu_runbook.server.run import rewind  # it travels only with a plan that has messages read again

        rewind.stage(step, site.secrets.passwords.get(step.service, ""), site.plan.id)
    config = _stage_config(site, step, text, staged) if step.config and text is not None else None
    if step.offset:
        guarded.leads(os.path.dirname(step.offset.path))  # its links are asked about now, and not in the gap
    new = site.docker.inspect(step.container) if step.container else _create(site, step, name, hashed)
    if new is None:
        raise StepFailed(f"the container of release {site.plan.release} is gone since the look")
    swap = _swap(step, site.plan.id, new.id, name, site.folder(step.service), config, again)
    site.journal.write(Staged(step.service, new.id))
    return swap


def _config_text(site: Site, step: ConsumerStep) -> Optional[str]:
    """The config to go with the new container: as rendered on the laptop, or as a release kept it."""
    if step.config_from:
        kept = files.read(os.path.join(site.store.release(step.config_from, step.service), "config.yaml"))
        if kept is None:
            raise StepFailed(f"the config that release {step.config_from} kept for {step.service} is gone")
        return kept.decode()
    if step.config is None:
        return None
    return site.secrets.configs[step.service]


def _with_model(site: Site, step: ConsumerStep, text: Optional[str]) -> Optional[str]:
    """The config with the model that is chosen now; said in the journal where an older one has no place for it."""
    if text is None or step.config is None or not step.config.model_key:
        return text
    from gpu_runbook.server.models.apply import with_chosen  # it travels only with a config that names a model

    found = with_chosen(site.store, step.config, text)
    if found is None:
        site.journal.write(Unplaced(step.service))
    return found or text


def _stage_config(site: Site, step: ConsumerStep, text: str, staged: str) -> ConfigSwap:
    assert step.config is not None  # noqa: S101  the caller asked
    folder = site.folder(step.service)
    files.write(os.path.join(folder, "config.yaml"), text.encode())
    before, mode, uid, gid = _keep_present(step.config.path, folder, guarded.aside(staged))
    if step.old and not step.old.ours and before:
        adopted = site.store.release(old_release(step, site.plan.id), step.service)
        files.make_folder(adopted)
        files.write(os.path.join(adopted, "config.yaml"), files.read(before) or b"")
    guarded.stage(step.config.path, text.encode(), step.config.mode, owner(step.config), site.plan.id)
    return ConfigSwap(step.config.path, staged, before, mode, uid, gid)


def _keep_present(path: str, folder: str, aside: str) -> Tuple[str, int, int, int]:
    """Copy the config that is in place, and set it aside, so that it can come back as it was; its mode and owner."""
    try:
        with guarded.opened(path) as file:
            present, whose = guarded.content(file), guarded.identity(os.fstat(file.fileno()))
            guarded.set_aside(file, aside)
    except FileNotFoundError:
        return "", 0, 0, 0
    except OSError as error:
        raise Refusal(f"{path} is there but cannot be read: {error.strerror}", guarded.hint(error)) from error
    before = os.path.join(folder, "before.yaml")
    files.write(before, present)
    return (before, *whose)


def _create(site: Site, step: ConsumerStep, name: str, config_hash: str) -> Container:
    if step.spec is None:
        raise StepFailed(f"nothing is known of how {step.service} of release {site.plan.release} was created")
    _refuse_look_alike(site.docker, step, name)
    state = "" if site.store.is_in_root else site.store.folder
    marks = labels(step.service, site.plan.release, spec_hash(step.spec), config_hash, state)
    new = site.docker.create(step.spec, name, step.spec.image, marks)
    if not is_of(site.docker, step.service, site.plan.release, new):
        raise StepFailed(f"{name} is the name of a container that this tool did not make ({new.id[:12]})")
    return new


def _refuse_look_alike(docker: Docker, step: ConsumerStep, name: str) -> None:
    """Raise Refusal where a new container would be known for a run of a batch service: nobody could touch it again."""
    assert step.spec is not None  # noqa: S101  the caller has seen to it
    spec, image = step.spec, docker.image(step.spec.image)
    listed = ListedContainer("", (step.service, name), "created", spec.labels, spec.image)
    known = recognised(docker.batches, listed, image)
    if known:
        hint = "correct container:, label: or image: in hosts.yaml; an image of both stands as image: in both"
        raise Refusal(f"a container of {step.service} would be known for {known}", hint)


def _swap(
    step: ConsumerStep, run: str, new: str, name: str, folder: str, config: Optional[ConfigSwap], again: str
) -> Swap:
    swap = Swap(
        service=step.service,
        name=step.service,
        new=new,
        new_parked=name,
        new_restart=step.restart,
        grace=step.stop_grace,
        config=config,
        offset=step.offset.path if step.offset else "",
        offset_kept=os.path.join(folder, "offset.yaml"),
        offset_left=os.path.join(folder, "offset-left.yaml"),
        replay=again,
    )
    old = step.old
    if old is None:
        return swap
    left = parked(step.service, old_release(step, run))
    return dataclasses.replace(
        swap, old=old.container, old_name=old.name, old_parked=left, old_restart=old.restart, old_ran=old.running
    )
