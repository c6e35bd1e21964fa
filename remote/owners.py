"""Whose a file or a directory is to be, and who may give it to them."""

from __future__ import annotations

import os
from typing import Optional, Tuple


def ids(owner: str) -> Optional[Tuple[int, int]]:
    """(uid, gid) of `1000:1000`; None for an empty one, which leaves it to the login user."""
    if not owner:
        return None
    uid, _, gid = owner.partition(":")
    return int(uid), int(gid)


def may_give(uid: int, gid: int) -> bool:
    """Whether this login may make a file that belongs to them."""
    return os.geteuid() == 0 or (uid == os.geteuid() and gid in {os.getegid(), *os.getgroups()})
