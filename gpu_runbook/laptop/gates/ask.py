"""Asks the gates of several services at once: is the code green, is the image free of known holes.

What speaks to forges is imported only where hosts.yaml names one: it takes longer than the rest of a start.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.model import Inventory, Service
from gpu_runbook.protocol.check import SKIPPED, Check
from gpu_runbook.protocol.snapshot import ImageIdentity, Snapshot

if TYPE_CHECKING:
    from gpu_runbook.laptop.inventory.address import Target

SPARE = 10  # seconds beyond a gate's own deadline, in which it ends what it has begun

Identities = Mapping[str, ImageIdentity]  # of images (repository@digest) that are on the server


def by_the_branch(known: Identities) -> Identities:
    """Without the revisions: nothing is deployed, and the question is whether the branch is green."""
    return {image: dataclasses.replace(one, revision="") for image, one in known.items()}


def absent(inventory: Inventory) -> list[Check]:
    """A row for each gate that hosts.yaml does not name."""
    entries = (("CI", "ci", inventory.ci), ("scan", "scan", inventory.scan))
    return [Check(name, SKIPPED, f"hosts.yaml has no entry {key}") for name, key, entry in entries if entry is None]


def rows(
    inventory: Inventory,
    resolved: Resolved,
    services: Sequence[Service],
    tags: Mapping[str, str],
    look: Snapshot,
    known: Identities,
) -> list[Check]:
    """A row for each gate of each service whose image the registry has; all are asked at once.

    Ctrl-C does not wait for an answer, and a gate that fails by itself is a row that says so.
    """
    asked: list[Question] = []
    wanted = [service for service in services if service.name in look.digests]
    targets = [_target(service, tags, look, known) for service in wanted] if inventory.ci or inventory.scan else []
    hidden = resolved.hidden_here if targets else ()
    if inventory.ci:
        from gpu_runbook.laptop.gates import ci, forges

        token = ci.token(inventory.ci, resolved.env.values, os.environ)
        seconds = forges.ROW * inventory.ci.timeout + SPARE
        ask_ci = partial(ci.check, ci=inventory.ci, token=token, hidden=hidden)
        asked += [Question(f"{one.service} CI", partial(ask_ci, target=one), seconds) for one in targets]
    if inventory.scan:
        from gpu_runbook.laptop.gates import scan

        now = datetime.now(timezone.utc)
        ask_scan = partial(scan.check, scan=inventory.scan, now=now, hidden=hidden)
        seconds = inventory.scan.timeout + SPARE
        asked += [Question(f"{one.service} scan", partial(ask_scan, target=one), seconds) for one in targets]
    return ask_all(asked)


def _target(service: Service, tags: Mapping[str, str], look: Snapshot, known: Identities) -> Target:
    from gpu_runbook.laptop.inventory.address import Target

    reference = look.digests[service.name]
    here = known.get(reference, ImageIdentity())
    return Target(service.name, service.image, tags[service.name], reference, here.id, here.revision, here.layers)
