"""One HTTP request to a webhook or a heartbeat: Python's own client, through the proxy of the login if it has one."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Dict, Optional

from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.server.schedule.notify.errors import REFUSED, TRIES, UNREAD, Undelivered, tries, why

ANSWER = 200  # characters of an answer that are shown
LATER = (408, 425, 429)  # of the statuses that refuse a request, those that ask for it once more


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is called is the address that was given, or none: who answers for it does not choose another for us."""

    def redirect_request(self, *_: Any) -> None:
        return None


def call(url: str, body: Optional[bytes], headers: Dict[str, str], seconds: float) -> str:
    """POST the body, or GET without one; the status as a sentence. Raises Undelivered, never quoting the address."""
    known = {"User-Agent": "gpu-runbook", **headers}
    request = urllib.request.Request(url, body, known)  # noqa: S310  that it is http or https was seen on the laptop
    try:
        with urllib.request.build_opener(_NoRedirect()).open(request, timeout=seconds) as answer:
            answer.read(ANSWER)
            return f"answered with status {answer.status}"
    except urllib.error.HTTPError as error:
        raise _status(error) from None
    except urllib.error.URLError as error:
        raise Undelivered(_by_proxy(url) + why(error.reason, seconds), tries(error.reason)) from None
    except OSError as error:
        raise Undelivered(_by_proxy(url) + why(error, seconds), tries(error)) from None
    except (http.client.HTTPException, ValueError) as error:
        raise Undelivered(f"gave an answer that is no HTTP ({type(error).__name__})") from None


def _by_proxy(url: str) -> str:
    """Whose fault it may be: that of the proxy that this login is told to use, where it is."""
    asked = urllib.parse.urlsplit(url)
    used = asked.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(asked.hostname or "")
    return f"asked through the proxy of {asked.scheme}_proxy, " if used else ""


def _status(error: urllib.error.HTTPError) -> Undelivered:
    if 300 <= error.code < 400:
        return Undelivered(f"answered with status {error.code} (a redirect, which is not followed)", UNREAD)
    try:
        said = error.read(ANSWER).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException):
        said = ""
    sentence = f"answered with status {error.code}" + (f": {quoted(said, ANSWER)}" if said else "")
    return Undelivered(sentence, REFUSED if 400 <= error.code < 500 and error.code not in LATER else TRIES)
