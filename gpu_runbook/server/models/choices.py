"""model.json: which model was chosen, which were before it, and which files were found to be right."""

from __future__ import annotations

import dataclasses
import json
from typing import Optional

from gpu_runbook.common import config_key
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.models import (
    CHANGED,
    CONFIG,
    DAMAGED,
    WHOLE,
    Choice,
    Choices,
    ModelFile,
    PendingChoice,
    Verified,
)
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

MOST = 20  # choices that are remembered


def load(store: Store, way: str = CONFIG) -> Choices:
    """What was chosen so far; `path` is the model in force in the `way` that is asked for.

    Raises Refusal for a file that cannot be understood.
    """
    raw = files.read(store.model)
    try:
        known = decode(Choices, json.loads(raw), "model.json") if raw else Choices()
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, Malformed) else "it is no JSON"
        raise Refusal(f"{store.model} is damaged: {why}", "move it away, then choose again: fab models.use") from None
    return known if way == CONFIG else dataclasses.replace(known, path=known.source)


def save(store: Store, choices: Choices) -> None:
    jsonfile.save(store.model, choices)


def save_placed(store: Store, choices: Choices, place: str) -> None:
    """The same of choices that were loaded for a copy or a link.

    To a deploy the model is the `place` of that, whatever is in it: it writes no config that names another file.
    """
    save(store, dataclasses.replace(choices, path=place, source=choices.path))


def with_choice(known: Choices, choice: Choice, before: str) -> Choices:
    """After a choice. The first one also remembers `before`, what the config said; empty when that is not known."""
    others = tuple(entry for entry in known.choices if entry.path != choice.path)
    if not known.choices and before not in ("", choice.path):
        others = (Choice(before, ""),)
    return dataclasses.replace(known, path=choice.path, choices=(choice, *others)[:MOST])


def previous(known: Choices) -> Optional[Choice]:
    """The choice to go back to: the newest before the one in force that nobody has gone back from."""
    current = known.current()
    earlier = known.choices[known.choices.index(current) + 1 :] if current else known.choices
    return next((entry for entry in earlier if not entry.left), None)


def gone_back(known: Choices, path: str, run: str) -> Choices:
    """After going back to an earlier choice: the one that is left is marked, so that nobody goes back to it."""

    def marked(entry: Choice) -> Choice:
        return dataclasses.replace(entry, left=run) if entry.path == known.path else entry

    return dataclasses.replace(known, path=path, choices=tuple(map(marked, known.choices)))


def in_place(known: Choices, now: Choice) -> Choices:
    """After a look at a copy or a link: `now` is what is there, whoever has put it there."""
    pending, known = known.pending, dataclasses.replace(known, pending=None)
    if pending and pending.choice.path == now.path:  # the run that was about to do that was cut off when it had
        return settled(known, pending)
    listed = now.path in [entry.path for entry in known.choices]
    if listed and known.path in ("", now.path):
        return dataclasses.replace(known, path=now.path)
    others = tuple(entry for entry in known.choices if entry.path != now.path)
    return dataclasses.replace(known, path=now.path, choices=(now, *others)[:MOST])


def settled(known: Choices, pending: PendingChoice) -> Choices:
    """After the choice of a copy or a link that was put in place."""
    choice = pending.choice
    known = dataclasses.replace(known, pending=None)
    return gone_back(known, choice.path, choice.run) if pending.back else with_choice(known, choice, "")


def with_verified(known: Choices, model: ModelFile) -> Choices:
    """With what is known of a model that was read and found to be right."""
    entry = Verified(model.sha256, model.size, model.mtime, model.verified)
    return dataclasses.replace(known, verified={**known.verified, model.path: entry})


def compared(known: Choices, model: ModelFile) -> ModelFile:
    """A model held against what was noted of it: bytes that changed while the file's time did not are damage."""
    noted = known.verified.get(model.path)
    if noted is None or model.state != WHOLE:
        return model
    same_file = (noted.size, noted.mtime) == (model.size, model.mtime)
    if not model.sha256:
        told = "whole" if same_file else f"whole; it was written again since it was verified at {noted.at}"
        return dataclasses.replace(model, sentence=told, verified=noted.at if same_file else "")
    if model.sha256 == noted.sha256 or model.promised == model.sha256:
        return model
    if same_file:
        sentence = f"its bytes are not those that were verified at {noted.at}, and nobody has written to it since"
        return dataclasses.replace(model, state=DAMAGED, sentence=sentence)
    sentence = f"it was written again since it was verified at {noted.at}"
    return dataclasses.replace(model, state=CHANGED, sentence=sentence)


def remembered(known: Choices, model: ModelFile) -> str:
    """The sha256 of a file that was read before, by its size and time; empty for one that was not."""
    noted = known.verified.get(model.path)
    return noted.sha256 if noted and (noted.size, noted.mtime) == (model.size, model.mtime) else ""


def named(config: ConfigFile, folder: str) -> Optional[str]:
    """The model's path that a config in place says; empty for anything but a path below the folder, which is not told.

    None for a config that is not there, or has no such key.
    """
    try:
        found = guarded.read(config.path)
    except OSError:
        return None
    return named_in(found[0].decode("utf-8", "replace"), config.model_key, folder) if found else None


def named_in(text: str, key: str, folder: str) -> Optional[str]:
    """The same of a text."""
    try:
        begin, end = config_key.span(text, key)
    except config_key.Unplaceable:
        return None
    path = text[begin:end].strip("'\"")  # a path needs no escapes
    return path if path.startswith(f"{folder}/") and path.isprintable() else ""
