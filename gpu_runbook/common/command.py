"""Runs one program as an argument list under a deadline that holds even when the program cannot be killed."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from typing import Dict, List, Optional, Sequence, Tuple

from gpu_runbook.common import memory
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.values import dataclass

LIMIT = 1 << 20  # bytes kept of each stream, unless more are asked for
OBJECTION = "Error response from daemon: "  # docker says more after the line with the cause
TRACEBACK = "Traceback (most recent call last):"
FAILING = re.compile(
    r"\b(errors?|fail\w*|fatal|cannot|can't|could not|unable|denied|refused|invalid|unknown|not found|no such|bad)\b",
    re.IGNORECASE,
)
MERELY = ("warning", "info", "debug", "note")  # how a line begins that tells of nothing that ends a program
NOT_RUN = 127  # the status of a program that is not there
GRACE = 1.0  # seconds between SIGTERM and SIGKILL, and again until an unkillable program is left behind


@dataclass(frozen=True)
class Ended:
    """How a program ended. `status` is None when it outlived its deadline, negative when a signal ended it."""

    argv: Tuple[str, ...]
    status: Optional[int]
    out: str
    err: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def complaint(self) -> str:
        """What the docker engine objected, else what the program named as the cause, or how it ended; one line."""
        if self.status is None:
            return f"{self.argv[0]} did not answer within {self.seconds:.0f} s"
        said = cause(self.err if self.err.strip() else self.out)
        return one_line(said or f"{self.argv[0]} ended with status {self.status}")


def cause(said: str) -> str:
    """The line of what a program said that names the cause, empty where it said nothing.

    That is what the docker engine objected; the last line of a traceback; else the first one that speaks of a failure,
    since advice comes after it; else the first.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    objected = [line.partition(OBJECTION)[2] for line in lines if OBJECTION in line]
    if objected or TRACEBACK in lines:
        return (objected or lines)[-1]
    failing = (line for line in lines if FAILING.search(line) and not line.lower().startswith(MERELY))
    return next(failing, lines[0] if lines else "")


def run(
    argv: Sequence[str],
    deadline: float,
    keep: Sequence[int] = (),
    env: Optional[Dict[str, str]] = None,
    limit: int = LIMIT,
    stdin: int = subprocess.DEVNULL,
    errors: str = "replace",
) -> Ended:
    """Run `argv` for at most `deadline` seconds; `keep` are the descriptors it may inherit.

    `limit` is how many bytes are kept of each stream; `stdin` is a descriptor that it reads; `errors` is how bytes that
    are no UTF-8 are taken.

    Never raises for what the program does; a program that is not there ends with NOT_RUN.
    """
    begun = time.monotonic()
    try:
        with memory.given_back():
            child = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(os.environ, LC_ALL="C", **(env or {})),
                start_new_session=True,
                pass_fds=tuple(keep),
            )
    except OSError as error:
        return Ended(tuple(argv), NOT_RUN, "", f"{argv[0]}: {error.strerror}", 0.0)
    try:
        out, err, in_time = _read(child, begun + deadline, limit, errors)
        status = _reap(child, begun + deadline) if in_time else None
    except BaseException:  # nobody wants the answer any more: the program ends with the question
        _end(child)
        raise
    if status is None:
        _end(child)
    return Ended(tuple(argv), status, out, err, time.monotonic() - begun)


def _read(child: subprocess.Popen[bytes], until: float, limit: int, errors: str) -> Tuple[str, str, bool]:
    """Both streams up to `limit` bytes each, and whether they were closed in time.

    The streams are read here and not by `communicate`, which waits for ever on a pipe that an unkillable child holds.
    """
    kept: Dict[int, List[bytes]] = {}
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            assert stream is not None  # noqa: S101  both are pipes, by the call above
            kept[stream.fileno()] = []
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = until - time.monotonic()
            if left <= 0:
                break
            for key, _ in selector.select(left):
                block = os.read(key.fd, 65536)
                if not block:
                    selector.unregister(key.fileobj)
                elif sum(map(len, kept[key.fd])) < limit:
                    kept[key.fd].append(block)
        in_time = not selector.get_map()
    texts = [b"".join(blocks)[:limit].decode("utf-8", errors) for blocks in kept.values()]
    for stream in (child.stdout, child.stderr):
        assert stream is not None  # noqa: S101
        stream.close()
    return texts[0], texts[1], in_time


def _reap(child: subprocess.Popen[bytes], until: float) -> Optional[int]:
    """The exit status of a child that closed its streams, None when it then outlives the deadline."""
    try:
        return child.wait(max(until - time.monotonic(), 0.05))
    except subprocess.TimeoutExpired:
        return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child that outlived its deadline, or leave it behind when not even SIGKILL ends it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE)
            break
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
