"""model.json: which model was chosen, which were before it, and which files were found to be right."""

from __future__ import annotations

import dataclasses
import json
from typing import Optional

from gpu_runbook.common import config_key
from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed, Refusal
from gpu_runbook.protocol.models import CHANGED, DAMAGED, WHOLE, Choice, Choices, ModelFile, Verified
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

MOST = 20  # choices that are remembered


def load(store: Store) -> Choices:
    """What was chosen so far. Raises Refusal for a file that cannot be understood."""
    raw = files.read(store.model)
    try:
        return decode(Choices, json.loads(raw), "model.json") if raw else Choices()
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, Malformed) else "it is no JSON"
        raise Refusal(f"{store.model} is damaged: {why}", "move it away, then choose again: fab models.use") from None


def save(store: Store, choices: Choices) -> None:
    jsonfile.save(store.model, choices)


def with_choice(known: Choices, choice: Choice, before: str) -> Choices:
    """After a choice. The first one also remembers `before`, what the config said; empty when that is not known."""
    others = tuple(entry for entry in known.choices if entry.path != choice.path)
    if not known.choices and before not in ("", choice.path):
        others = (Choice(before, ""),)
    return dataclasses.replace(known, path=choice.path, choices=(choice, *others)[:MOST])


def previous(known: Choices) -> Optional[Choice]:
    """The choice to go back to: the newest before the one in force that nobody has gone back from."""
    current = known.current()
    if current is None:
        return None
    earlier = known.choices[known.choices.index(current) + 1 :]
    return next((entry for entry in earlier if not entry.left), None)


def gone_back(known: Choices, path: str, run: str) -> Choices:
    """After going back to an earlier choice: the one that is left is marked, so that nobody goes back to it."""

    def marked(entry: Choice) -> Choice:
        return dataclasses.replace(entry, left=run) if entry.path == known.path else entry

    return dataclasses.replace(known, path=path, choices=tuple(map(marked, known.choices)))


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
