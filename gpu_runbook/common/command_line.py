"""The command line of a process, as a pattern for it is meant."""

from __future__ import annotations

import os
from typing import Sequence

from gpu_runbook.common.shell_pattern import matches


def is_like(pattern: str, words: Sequence[str]) -> bool:
    """Whether a shell pattern stands for the whole line, with the path of its program or without."""
    short = [*map(os.path.basename, words[:1]), *words[1:]]
    return any(words) and any(matches(pattern, " ".join(line)) for line in (words, short))
