"""The newest checkpoint of a training, as one sentence for a person."""

from __future__ import annotations

from gpu_runbook.common import humanize
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.training import Checkpoint


def told(checkpoint: Checkpoint, folder: str) -> str:
    """In words: the training has chosen the name."""
    if checkpoint.trouble:
        return f"its checkpoints in {folder} cannot be seen: {quoted(checkpoint.trouble)}"
    passed = f"; {checkpoint.passed}" if checkpoint.passed else ""
    if not checkpoint.name:
        return f"no checkpoint in {folder}{checkpoint.leads}{passed}"
    where = f" in {folder}{checkpoint.leads}" if checkpoint.leads else ""
    return f"newest checkpoint {quoted(checkpoint.name)}, {humanize.span(checkpoint.age)} old{where}{passed}"
