"""Small files of ours as values: one that cannot be understood is named, and counts as not there."""

from __future__ import annotations

import json
from typing import Any, Optional, Tuple, Type, TypeVar

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.server.system import files

T = TypeVar("T")


def load(kind: Type[T], path: str) -> Tuple[Optional[T], str]:
    """The value in a file, None without one; and what is wrong with the file, usually nothing."""
    try:
        raw = files.read(path)
        return (None if raw is None else decode(kind, json.loads(raw), "it")), ""
    except (OSError, ValueError, RecursionError) as error:
        return None, f"{path} is damaged: {error}"


def save(path: str, value: Any) -> None:
    """Replace the file, whole for every reader. Raises Refusal (kind server) when it cannot be written."""
    text = json.dumps(value if isinstance(value, dict) else encode(value), indent=2, ensure_ascii=False) + "\n"
    files.write(path, text.encode("utf-8", "backslashreplace"))  # half a character stays JSON's \ud800
