"""Whose a file or a directory is to be, and who may give it to them."""

from __future__ import annotations

import os
from typing import Optional, Tuple


def shared(entry: str) -> str:
    """How a container that is not this login comes to read a file that the login puts there, `entry` in hosts.yaml."""
    return (
        f'give {entry}.owner the uid of this login and a group that both are in, with {entry}.mode "0640" '
        "(docs/first-steps.md); or set sudo: true for this server"
    )


def ids(owner: str) -> Optional[Tuple[int, int]]:
    """(uid, gid) of `1000:1000`; None for an empty one, which leaves it to the login user."""
    if not owner:
        return None
    uid, _, gid = owner.partition(":")
    return int(uid), int(gid)


def may_give(uid: int, gid: int) -> bool:
    """Whether this login may make a file that belongs to them."""
    return os.geteuid() == 0 or (uid == os.geteuid() and gid in {os.getegid(), *os.getgroups()})


def alike(mode: int, uid: int, gid: int) -> Tuple[int, int, int]:
    """Mode and owner of a file to stand for one of these: the same, or what this login can give that serves as well.

    Where a container runs as another user than this login, the group that both are in may do what its owner may.
    """
    me = os.geteuid()
    if may_give(uid, gid) or not may_give(me, gid):
        return mode, uid, gid
    return mode | (mode & 0o600) >> 3, me, gid


def may_read(mode: int, owner: Tuple[int, int], user: str) -> bool:
    """Whether a container that runs as `user`, uid:gid or uid, may read such a file, as the kernel decides it.

    Without a gid its group is whichever the image gives it: then it may where any group could.
    """
    uid, _, gid = user.partition(":")
    if int(uid) == 0:
        return True
    if int(uid) == owner[0]:
        return bool(mode & 0o400)
    if not gid:
        return bool(mode & 0o044)
    return bool(mode & (0o040 if int(gid) == owner[1] else 0o004))


def unread(service: str, user: str, path: str, mode: int, owner: Tuple[int, int]) -> str:
    """What is said of a container that could not read a file which is to have that mode and owner; usually nothing."""
    if not user or may_read(mode, owner, user):
        return ""
    has = f"owner {owner[0]}:{owner[1]} and mode {mode:04o}"
    return f"{service} runs as {user} and could not read {path}, which is to have {has}"
