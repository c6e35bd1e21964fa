"""One GET under a deadline that holds although the peer drips, with an answer of bounded size.

A redirect is followed on the same host alone, so that what stands in the headers goes nowhere else.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
    RemoteDisconnected,
)
from typing import Any
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import AbstractHTTPHandler, OpenerDirector, ProxyHandler, Request

from gpu_runbook.common.tls_fault import fault
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.protocol.values import dataclass

LIMIT = 4 << 20  # bytes of a body
MOST_REDIRECTS = 3

_REDIRECTS = {301, 302, 303, 307, 308}


class NoAnswer(Exception):
    """What came is no answer; the text goes on after the name of who was asked."""


@dataclass(frozen=True)
class Reply:
    """Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def get(url: str, headers: Mapping[str, str], seconds: float) -> Reply:
    """What is answered within so many seconds, whatever its status. Raises NoAnswer."""
    until = time.monotonic() + seconds
    for _ in range(MOST_REDIRECTS + 1):
        answer = _in_time(url, headers, until, seconds)
        if answer.status not in _REDIRECTS:
            return answer
        url = _same_origin(url, answer.headers.get("location", ""))
    raise NoAnswer("redirects in a circle")


def _same_origin(url: str, location: str) -> str:
    """Where a redirect leads to, within the same scheme, host and port."""
    try:
        target = urljoin(url, location)
        ours, theirs = _origin(url), _origin(target)
    except ValueError:
        raise NoAnswer("redirects to what is no address") from None
    if ours != theirs:
        raise NoAnswer(f"redirects to {printable('://'.join(theirs[:2]))}, where nothing is sent")
    return target


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _in_time(url: str, headers: Mapping[str, str], until: float, seconds: float) -> Reply:
    """Asked in a thread that is left behind when time is up: looking up a name cannot be ended from outside."""
    sockets: list[socket.socket] = []
    ended: list[Reply | Exception] = []

    def ask() -> None:
        try:
            ended.append(_asked(url, headers, max(until - time.monotonic(), 0.01), sockets))
        except Exception as error:  # whatever it is, the one who asked gets it
            ended.append(error)

    thread = threading.Thread(target=ask, name=f"GET {url}", daemon=True)
    thread.start()
    thread.join(max(until - time.monotonic(), 0))
    result = ended[0] if ended else TimeoutError()
    for each in sockets:  # hangs up on a peer that drips, so that the thread ends too; what it then has is no answer
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    if isinstance(result, Reply):
        return result
    raise _explained(result, seconds) from None


def _asked(url: str, headers: Mapping[str, str], seconds: float, sockets: list[socket.socket]) -> Reply:
    opener = OpenerDirector()  # without urllib's own handling of redirects, statuses and other kinds of address
    for handler in (ProxyHandler(), _Opener(sockets)):
        opener.add_handler(handler)
    request = Request(url, headers=dict(headers))  # noqa: S310  http and https alone have a handler
    with opener.open(request, timeout=seconds) as answer:
        body = answer.read(LIMIT + 1)
        if len(body) > LIMIT:
            raise NoAnswer(f"answers more than {LIMIT >> 20} MiB")
        if answer.length:  # of what was announced; a read of bounded size does not raise for it
            raise NoAnswer("answers less than it announces")
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


class _Opener(AbstractHTTPHandler):
    """Opens connections of both kinds, certificates verified, and notes their sockets."""

    http_request = https_request = AbstractHTTPHandler.do_request_

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(self._noting(HTTPConnection), request)

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(self._noting(HTTPSConnection), request, context=ssl.create_default_context())

    def _noting(self, kind: type[HTTPConnection]) -> Any:
        sockets = self._sockets

        class Noting(kind):  # type: ignore[valid-type,misc]
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        return Noting


def _explained(error: Exception, seconds: float) -> NoAnswer:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(error, NoAnswer):
        return error
    if isinstance(reason, TimeoutError):
        return NoAnswer(f"did not answer within {seconds:.0f} s")
    if isinstance(reason, ssl.SSLError):
        return NoAnswer(fault(reason)[1])
    if isinstance(reason, RemoteDisconnected):
        return NoAnswer("hangs up without an answer")
    if isinstance(reason, IncompleteRead):
        return NoAnswer("answers less than it announces")
    if isinstance(reason, socket.gaierror):
        return NoAnswer("has a name that is not known here")
    if isinstance(reason, HTTPException) or not isinstance(reason, OSError):
        return NoAnswer("answers what is no HTTP")
    return NoAnswer(f"cannot be reached: {reason.strerror or type(reason).__name__}")
