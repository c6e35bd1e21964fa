"""A row's time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class Late(BaseException):
    """A row has had its time. Nobody who waits for something catches it."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raises Late, once, when it is not over by then: what takes a server down is given its time."""

    def late(number: int, frame: object) -> NoReturn:
        raise Late(f"the row was not over within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
