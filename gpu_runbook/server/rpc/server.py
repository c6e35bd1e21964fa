"""The server's end of a call: one verb is answered, over a channel that nothing else can write to.

Messages to the laptop are JSON text sequences (RFC 7464), so that what a login shell prints before them is no harm:
{"event": …} any number of times, {"beat": n} after seconds of silence, and {"answer": …} or {"error": …} last.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import threading
import time
from types import FrameType
from typing import Any, Dict, NoReturn, Optional

from gpu_runbook.common.failure import failure

BEAT = 3.0  # seconds of silence after which a beat says that the work goes on
GRACE = 5.0  # seconds a verb has for ending its children when nobody listens any more


class Gone(BaseException):
    """Nobody listens any more: the laptop closed the call, or the connection was lost.

    Raised by `emit`, and in the main thread wherever it is; a verb ends its children in a `finally`. No Exception, so
    that a handler for what goes wrong in a check does not take it for one more thing that went wrong.
    """


class AnswerChannel:
    """The channel to the laptop, shared by the verb's threads and the beat."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def emit(self, event: Dict[str, Any]) -> None:
        """Tell the laptop of progress; raises Gone when nobody listens."""
        self.send({"event": event})

    def send(self, message: Dict[str, Any]) -> None:
        data = b"\x1e" + json.dumps(message, allow_nan=False).encode("ascii") + b"\n"
        with self._lock:
            self._last = time.monotonic()
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                raise Gone from None

    def keep(self) -> None:
        """Beat while the verb is silent; interrupt it as soon as nobody listens, and end everything if that fails."""
        listener = select.poll()
        listener.register(self._descriptor, 0)  # a hang-up is reported without being asked for
        beats = 0
        try:
            while not listener.poll(max(self._last + BEAT - time.monotonic(), 0.0) * 1000):
                if time.monotonic() >= self._last + BEAT:
                    beats += 1
                    self.send({"beat": beats})
        except Gone:
            pass  # found out by writing instead of by listening
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
        time.sleep(GRACE)
        os.killpg(0, signal.SIGKILL)


def serve(verb: str, request: Dict[str, Any]) -> None:
    """Answer one call: import the verb's module, let it answer, and send what came of it.

    A verb that wants to outlive the call goes on in a session of its own, as `rpc.detach` does: what is forked closes
    the channel, which it would hold open.
    """
    os.umask(0o077)  # what is made here is for this login alone, whatever its shell allows others
    line = AnswerChannel(_take_channel())
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # a group of our own, so that ending it ends neither sudo nor the login shell
    signal.signal(signal.SIGHUP, _hang_up)
    threading.Thread(target=line.keep, daemon=True).start()
    try:
        last = _outcome(verb, request, line)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # from here on a laptop that closes has what it wanted
        line.send(last)
    except Gone:
        os.killpg(0, signal.SIGKILL)


def _take_channel() -> int:
    """Standard output for ourselves alone: no child inherits the copy, and 0, 1 and 2 lead nowhere."""
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    return channel


def _hang_up(number: int, frame: Optional[FrameType]) -> NoReturn:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # once: the cleaning up that follows is not interrupted again
    raise Gone


def _outcome(verb: str, request: Dict[str, Any], line: AnswerChannel) -> Dict[str, Any]:
    try:
        answer = importlib.import_module("gpu_runbook.server.verbs." + verb).answer(request, line.emit)
        json.dumps(answer, allow_nan=False)
    except Exception as error:
        return {"error": failure(error)}
    return {"answer": answer}
