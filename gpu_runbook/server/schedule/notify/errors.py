"""Why a channel did not take what it was given, in words that quote neither an address nor a library's text."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from gpu_runbook.common.tls_fault import fault

UNREAD, REFUSED, TRIES = 0, 1, 3


class Undelivered(Exception):
    """A channel did not take an alert; the text says why.

    `tries`: after so many of them the alert itself may be at fault. UNREAD where it never is, as nobody has read it.
    """

    def __init__(self, message: str, tries: int = TRIES) -> None:
        super().__init__(message)
        self.tries = tries


def why(reason: Any, seconds: float) -> str:
    """What an error of a connection means, as it follows the name of who was to be reached."""
    if isinstance(reason, socket.timeout):
        return f"gave no answer within {seconds:.0f} s"
    if isinstance(reason, ssl.SSLError):
        return fault(reason)[1]
    if isinstance(reason, socket.gaierror):
        return "has a name that is not known on this server"
    if isinstance(reason, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(reason, OSError) and reason.strerror:
        return f"could not be reached: {reason.strerror}"
    return f"could not be reached ({type(reason).__name__})"


def tries(reason: Any) -> int:
    """How many tries an alert has where an error of a connection ended them."""
    return UNREAD if isinstance(reason, (ConnectionRefusedError, socket.gaierror, ssl.SSLError)) else TRIES
