"""What every entry of hosts.yaml has: how it is read, and how its keys say what they are for."""

from __future__ import annotations

from typing import Any, ClassVar


def about(sentence: str) -> dict[str, str]:
    """What an editor shows beside a key."""
    return {"description": sentence}


class Strict:
    """How pydantic reads the entries: nothing is converted, and no key is unknown."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
