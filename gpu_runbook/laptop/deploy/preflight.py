"""The preflight as rows: what the look found, .env against the running release, and the gates that are asked elsewhere.

Pure but for the gates. Which rows hold a deploy back is decided here, and which of them somebody may go past.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from gpu_runbook.common import humanize
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inventory.image_tag import short
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Inventory, Service
from gpu_runbook.laptop.inventory.problems import nearest, printable
from gpu_runbook.protocol.check import COMMAND, CRITICAL, DRIVER, GPU_SUPPORT, OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.record import Record, Release
from gpu_runbook.protocol.snapshot import Snapshot

ENV = ".env"
TAG = "tag"
GROUND = ("root", "sessions", COMMAND, "state")  # without these nothing can be carried out at all
GPU_ROWS = (DRIVER, GPU_SUPPORT)
LINES = ("CI", "scan", "image", TAG, ENV, "env file", "tree", "")  # the checklist's order; the rest follows as it comes


def names(inventory: Inventory, services: Sequence[Service]) -> list[str]:
    """Every row that a deploy of these services may show, by the name that --skip takes."""
    own = {"CI": inventory.ci is not None, "scan": inventory.scan is not None, "image": True}
    rows = [f"{one.name} {what}" for what, there in own.items() if there for one in services if one.image]
    rows += [ENV, "tree", *GROUND, "disk space", "record"]
    for service in services:
        if isinstance(service, Batch):
            rows += [service.name]
        if isinstance(service, Consumer):
            rows += [f"{service.name} {what}" for what in ("config", "offset") if getattr(service, what)]
        if service.env_file:
            rows += [f"{service.name} env file"]
    return [*rows, *GPU_ROWS]


def skips(inventory: Inventory, services: Sequence[Service], rows: Sequence[str], reason: str | None) -> dict[str, str]:
    """Row -> why it is gone past. Raises BadInput for a row that is none or must hold, and without a reason."""
    if bool(rows) != bool(reason):
        example = rows[0] if rows else names(inventory, services)[0]
        hint = f'fab deploy --skip "{printable(example)}" --reason "…"'
        raise BadInput("--skip and --reason are given together", hint)
    known = {name.lower(): name for name in names(inventory, services)}
    chosen = {}
    for row in rows:
        name = known.get(" ".join(row.lower().split()))
        if name is None:
            likely = nearest(row, list(known.values()))
            raise BadInput(f'--skip: there is no row "{printable(row)}"{likely}', f"rows: {', '.join(known.values())}")
        if _must_hold(name, services):
            raise BadInput(f"--skip: a deploy cannot do without the row {name}", "repair what it says")
        chosen[name] = reason or ""
    return chosen


def _must_hold(row: str, services: Sequence[Service]) -> bool:
    return row in GROUND or row in {f"{service.name} {what}" for service in services for what in ("image", "config")}


def env_row(resolved: Resolved, look: Snapshot) -> Check:
    """The variables of .env: which are missing, and which are not as the running release has them, since when."""
    if resolved.missing:
        hint = "set them; .env.example says what each is for"
        return Check(ENV, CRITICAL, "; ".join(resolved.missing), {"missing": len(resolved.missing)}, hint)
    release = look.record.find(look.record.current)
    count, said = {"variables": len(look.variables)}, humanize.several(len(look.variables), "variable")
    if release is None or not release.variables:
        return Check(ENV, OK, f"{said}; no release to compare them with", count)
    changed = [
        _changed(look, release, name) for name, now in look.variables.items() if release.variables.get(name) != now
    ]
    if not changed:
        return Check(ENV, OK, f"{said}, as in release {release.id}", count)
    hint = "if that value is the right one, take it over into your .env; a deploy puts yours in its place"
    if resolved.host.env.server:
        hint = f"if that value is the right one, take it over into {resolved.env.source}; a deploy takes what is there"
    return Check(ENV, WARNING, "; ".join(changed), {**count, "changed": len(changed)}, hint)


def _changed(look: Snapshot, release: Release, name: str) -> str:
    """One variable that differs, with the release that brought the value which is in force."""
    value = release.variables.get(name)
    if value is None:
        return f"{name} is new"
    since = _first(look.record, release, lambda entry: entry.variables.get(name) == value)
    return f"{name} differs from what {since.who} deployed at {minute(since.at)} (release {since.id})"


def _first(record: Record, release: Release, alike: Callable[[Release], bool]) -> Release:
    """The release since which something is as in this one, as far back as the record goes."""
    since = release
    for entry in record.releases[record.releases.index(release) + 1 :]:
        if not alike(entry):
            break
        since = entry
    return since


def tag_rows(services: Sequence[Service], look: Snapshot, tags: Mapping[str, str]) -> Iterator[Check]:
    """Of each service in force with a tag that somebody gave with --tag: that hosts.yaml's takes its place.

    `tags`: service -> tag that is to be deployed.
    """
    release = look.record.find(look.record.current)
    for service in services if release else ():
        there, wanted = release.services.get(service.name) if release else None, tags.get(service.name)
        if not (release and there and there.given and wanted == service.tag != there.tag):
            continue
        if look.digests.get(service.name) == there.image:  # hosts.yaml's tag stands for the very same
            continue
        given = (there.tag, True)
        since = _first(look.record, release, lambda entry: _given(entry, service.name) == given)  # noqa: B023
        sentence = (
            f"{short(there.tag)} is in force, which {named(since.who)} gave with --tag at {minute(since.at)} UTC; "
            f"hosts.yaml says {short(service.tag)}, and a deploy puts that in its place"
        )
        hint = f"to keep it, take it over into hosts.yaml, or give --tag {service.name}={named(there.tag)} again"
        yield Check(f"{service.name} {TAG}", WARNING, sentence, hint=hint)


def _given(release: Release, service: str) -> tuple[str, bool] | None:
    there = release.services.get(service)
    return (there.tag, there.given) if there else None


def ordered(rows: Sequence[Check], services: Sequence[Service]) -> list[Check]:
    """The rows as the checklist has them: CI, scan, image, .env, tree, training, GPU; then what else was seen."""
    batches = {service.name for service in services if isinstance(service, Batch)}

    def place(row: Check) -> int:
        line = next(
            (at for at, what in enumerate(LINES) if what and (row.name == what or row.name.endswith(f" {what}"))), None
        )
        if line is not None:
            return line
        return len(LINES) + (0 if row.name in batches else 1 if row.name in GPU_ROWS else 2)

    return sorted(rows, key=place)


def with_skips(rows: Sequence[Check], chosen: Mapping[str, str]) -> list[Check]:
    """The rows, those that somebody goes past as skipped, with what they said and why."""
    return [_gone_past(row, chosen[row.name]) if row.name in chosen else row for row in rows]


def _gone_past(row: Check, reason: str) -> Check:
    if row.level in (OK, SKIPPED):
        return row
    return dataclasses.replace(
        row, level=SKIPPED, sentence=f"{row.level}: {row.sentence} (gone past: {reason})", hint=""
    )


def gone_past(rows: Sequence[Check], chosen: Mapping[str, str]) -> dict[str, str]:
    """The rows that would have held the deploy back, with why they did not: for the plan, and so for the journal."""
    return {row.name: chosen[row.name] for row in rows if row.name in chosen and row.level in (CRITICAL, UNKNOWN)}


def blocking(rows: Sequence[Check], services: Sequence[Service], look: Snapshot) -> Iterator[Check]:
    """The rows that end a deploy before anything is changed.

    What a batch service does is shown; that it is not known holds back the image of its next run alone. GPU rows hold
    back services that use a GPU.
    """
    batches = {service.name: service for service in services if isinstance(service, Batch)}
    on_gpu = any(service.gpus for service in services)
    for row in rows:
        if row.level not in (CRITICAL, UNKNOWN) or (row.name in GPU_ROWS and not on_gpu):
            continue
        if row.name not in batches or (row.level == UNKNOWN and moves_tag(look, row.name)):
            yield row


def rules_out(row: Check) -> bool:
    """Whether a critical row holds back even a rollback, a restart or a stop.

    That a container can write to the state does not: what they are wanted for is the greater trouble. A consumer that
    works on without docker does: there would be two.
    """
    ground = row.name in GROUND and (row.name != "state" or bool(row.figures.get("astray")))
    return ground or "forgotten" in row.figures


def moves_tag(look: Snapshot, service: str) -> bool:
    """Whether a deploy gives a batch service another image for its next run."""
    if service not in look.digests:  # it has no image, or the row of that says what is wrong
        return False
    held = look.images.get(look.digests[service], "")
    state = look.batches.get(service)
    return not (held and state and state.next_image == held)
