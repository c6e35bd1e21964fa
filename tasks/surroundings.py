"""A user without an entry in /etc/passwd and a home, as in a container, is given what a login would have given it."""

from __future__ import annotations

import os
import pwd

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python looks for who somebody is, before /etc/passwd
HOME = "/"  # as docker has it for such a user


def complete() -> None:
    """Where nobody says who this is: it is `uid-1500`. Where nobody says where its home is: in HOME."""
    named, homed = any(map(os.environ.get, NAMES)), bool(os.environ.get("HOME"))
    if named and homed:
        return
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not named:
            os.environ["LOGNAME"] = f"uid-{os.getuid()}"
        if not homed:
            os.environ["HOME"] = HOME
