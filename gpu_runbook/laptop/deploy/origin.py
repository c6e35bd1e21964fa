"""What a tag names now: which image, for which platform, when it was built, from which commit; and whether it moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from gpu_runbook.laptop.deploy.snapshot import login_request
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.image_tag import SHOWN, has_moved
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import OK, Check
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.forms import Image, Revision, has, minute
from gpu_runbook.protocol.requests import ImagesRequest
from gpu_runbook.protocol.snapshot import ImageIdentity, Snapshot

Why = Mapping[str, str]  # by image: why nothing is known of it


def told(session: Session, resolved: Resolved, look: Snapshot, tags: Mapping[str, str]) -> Snapshot:
    """The look, with rows of the images that say so; the registry is asked for those that are not on the server.

    `tags`: service -> tag that was looked for. Raises what an exchange raises.
    """
    new = tuple(sorted(set(look.digests.values()) - set(look.identities)))
    if not new:
        return with_rows(look, tags, {})
    request = ImagesRequest(resolved.host.docker_host or "", new, login_request(resolved.login))
    answer = call.look(session, "origin", request)
    found = call.entry(session.host.name, answer, "images", dict[Image, ImageIdentity])
    untold = call.entry(session.host.name, answer, "untold", dict[Image, str])
    known = {**{image: one for image, one in found.items() if image in new}, **look.identities}
    return with_rows(dataclasses.replace(look, identities=known), tags, untold)


def with_rows(look: Snapshot, tags: Mapping[str, str], untold: Why) -> Snapshot:
    """The look, in which the row of each image says what is known of it."""
    by_row = {f"{service} image": service for service in look.digests}
    rows = (
        _row(row, by_row[row.name], look, tags, untold) if row.level == OK and row.name in by_row else row
        for row in look.rows
    )
    return dataclasses.replace(look, rows=tuple(rows))


def _row(row: Check, service: str, look: Snapshot, tags: Mapping[str, str], untold: Why) -> Check:
    image = look.digests[service]
    one = look.identities.get(image)
    release = look.record.find(look.record.current)
    placed = release.services.get(service) if release else None
    moved = placed is not None and has_moved(placed.tag, placed.image, tags[service], image)
    said = list(_said(one) if one else [f"when it was built is not known before it is pulled{_why(untold, image)}"])
    if moved and release and placed:
        said.append(f"the tag has moved since release {release.id}, which is of {_digest(placed.image)}")
        if one and one.platform and one.id == placed.image_id:
            said.append(f"what it holds for {one.platform} is still the same image")
    figures = {**row.figures, "moved": moved}
    if one:
        figures |= {"platform": one.platform, "manifest": one.manifest, "built": one.built, "revision": one.revision}
    return dataclasses.replace(row, sentence="; ".join([f"{row.sentence}{_platform(one)}", *said]), figures=figures)


def _platform(one: ImageIdentity | None) -> str:
    if not one or not one.platform:
        return ""
    return f", of which {one.platform} is {one.manifest[:SHOWN]}" if one.manifest else f" for {one.platform}"


def _said(one: ImageIdentity) -> Iterator[str]:
    if one.built or one.revision:
        when = f" {minute(one.built)}" if one.built else ""
        yield f"built{when}{_source(one.revision)}"
    else:
        yield "it does not say when it was built, nor from which commit"


def _source(revision: str) -> str:
    if not revision:
        return ", from a commit that it does not name"
    commit = revision.strip().lower()
    if not has(Revision, commit):
        return f" from {quoted(revision, 40)}, which is no commit"
    return f" from commit {commit[:8]}"


def _why(untold: Why, image: str) -> str:
    return f" ({untold[image]})" if image in untold else ""


def _digest(image: str) -> str:
    return image.rpartition("@")[2][:SHOWN]
