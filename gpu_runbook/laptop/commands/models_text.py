"""What `fab models` says: as lines for people, as JSON types for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpu_runbook.common import humanize
from gpu_runbook.protocol import foreign_text
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.forms import minute
from gpu_runbook.protocol.models import CHANGED, MISSING, WHOLE, Choice, Chosen, InForce, ModelFile, Models

if TYPE_CHECKING:
    from gpu_runbook.laptop.answers.change import ListedModel, ModelsAnswer

MOST = 10  # names that are no dates
STYLES = {WHOLE: "", CHANGED: "yellow"}  # of a model's state; any other is a fault


def lines(server: str, folder: str, found: Models) -> Iterator[tuple[str, str]]:
    """(text, style) of each line."""
    count = humanize.several(len(found.models), "model") if found.models else "no model"
    yield f"{server}: {count} in {folder}{found.leads}; {_chosen(found)}", "bold"
    if found.in_force:
        yield from _in_force(found.in_force)
    if found.damaged:
        yield f"  {found.damaged}", "bold red"
    width = max((len(model.date) for model in found.models), default=0)
    for model in found.models:
        mark = "*" if _is_in_force(model, found) else " "
        size = humanize.size(model.size) if model.size else ""
        head = f"  {mark} {model.date:{width}}  {size:>8}  {minute(model.modified):16}"
        yield f"{head}  {_state(model)}{_named_by(model, found)}", STYLES.get(model.state, "bold red")
    for service, path in found.points.items():
        if path is None:
            yield f"  {service}: its config is not in place yet, or names no model", "dim"
        elif path not in [model.path for model in found.models]:
            other = foreign_text.named(path) or "another model"
            yield f"  {service}: its config names {other}, which is none of these", "yellow"
    if found.others:
        more = f" and {len(found.others) - MOST} more" if len(found.others) > MOST else ""
        yield f"  names that are no dates: {', '.join(map(quoted, found.others[:MOST]))}{more}", "dim"
    chosen = found.choices.path
    earlier = [choice for choice in found.choices.choices if choice.path != chosen]
    yield from ((f"  chosen before: {_choice(choice)}", "dim") for choice in earlier)


def as_result(server: str, folder: str, found: Models) -> ModelsAnswer:
    """The same for scripts."""
    return {
        "server": server,
        "folder": folder,
        "models": [{**encode(model), **_use(model, found)} for model in found.models],
        "not_dates": list(found.others),
        "chosen": found.choices.path,
        "choices": [encode(choice) for choice in found.choices.choices],
        "damaged": found.damaged,
        "configs": dict(found.points),
        "in_force": encode(found.in_force) if found.in_force else None,
    }


def _in_force(found: InForce) -> Iterator[tuple[str, str]]:
    """What a copy or a link is."""
    leads = f" (a link to {foreign_text.named(found.file.path) or 'a file'})" if found.kind == "link" else ""
    if found.file.state == MISSING and not leads:
        yield f"  {found.place} is not there: no model is in force", "yellow"
    elif found.model:
        yield f"  {found.place}{leads} is {_named(found.date, found.model)}", ""
    elif found.file.state == WHOLE:
        yield f"  {found.place}{leads} is none of these", "yellow"
    else:
        yield f"  {found.place}{leads} is {found.file.state}: {found.file.sentence}", "bold red"
    if found.was:
        was = foreign_text.named(found.was) or "another file"
        yield (
            f"  it was {was if found.was != found.place else 'not there'} before, and no run of ours replaced it",
            "yellow",
        )
    for name in found.older:
        yield f"  {quoted(name)} beside it is older than the model: it may be of another one", "yellow"


def _is_in_force(model: ModelFile, found: Models) -> bool:
    return model.path == (found.in_force.model if found.in_force else found.choices.path)


def _use(model: ModelFile, found: Models) -> ListedModel:
    return {"chosen": _is_in_force(model, found), "named_by": _users(model, found)}


def told(
    server: str, model: ModelFile, answer: Chosen, dry_run: bool, in_force: InForce | None = None
) -> Iterator[tuple[str, str]]:
    """(text, style) of each line about a choice, by what the server has done. `in_force`: as it was before."""
    if not answer.needed:
        yield f"{server}: {named(model)} is the model already, nothing was changed", "green"
        return
    for path, before in answer.before.items():
        nothing = "nothing" if in_force and not in_force.kind else "another model"
        yield f"  {path}: {before or nothing} → {model.path}", ""
    for path in answer.absent:
        yield f"  {path} is not there yet: the next deploy writes it with this model", ""
    if dry_run:
        yield f"{server}: {named(model)} would be the model; nothing was changed", "green"
        return
    yield f"{server}: {named(model)} is the model now; no container was restarted", "green"
    for name in (*in_force.older, *in_force.exports) if in_force else ():
        yield f"  {quoted(name)} beside it is older than the model now: it may be of another one", "yellow"
    yield "  what runs keeps the model it has loaded; fab models.rollback takes this back", "dim"


def named(model: ModelFile) -> str:
    return _named(model.date, model.path)


def _named(date: str, path: str) -> str:
    return date or path


def _chosen(found: Models) -> str:
    current = found.choices.current()
    return f"{'in force' if found.in_force else 'chosen'}: {_choice(current)}" if current else "none was chosen"


def _choice(choice: Choice) -> str:
    name = choice.date or choice.path
    found = " (nobody chose it here)" if choice.found else " (before the first choice)"
    by = f" by {choice.who} at {minute(choice.at)}" if choice.run else found
    return f"{name}{by}{', gone back from' if choice.left else ''}"


def _state(model: ModelFile) -> str:
    if model.state == WHOLE and model.verified:
        return f"whole, verified {minute(model.verified)}"
    return model.sentence if model.state in (WHOLE, CHANGED) else f"{model.state}: {model.sentence}"


def _named_by(model: ModelFile, found: Models) -> str:
    users = _users(model, found)
    return f"  ← {', '.join(users)}" if users else ""


def _users(model: ModelFile, found: Models) -> list[str]:
    return [service for service, path in found.points.items() if path == model.path]
