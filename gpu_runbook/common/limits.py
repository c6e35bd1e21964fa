"""What a system says of its limits: too many processes, threads or open files, or no memory. No disk is at fault."""

from __future__ import annotations

import errno
import os

ERRORS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
HINT = "a limit of this login, or the server's memory: see ulimit -a, /etc/security/limits.conf and free there"


def reached(error: BaseException) -> bool:
    """Whether a limit was reached. A thread that cannot be started says so in words alone."""
    if isinstance(error, OSError):
        return error.errno in ERRORS
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "new thread" in str(error))


def told(said: str) -> bool:
    """Whether a program says that it has reached one."""
    return any(os.strerror(number) in said for number in ERRORS)
