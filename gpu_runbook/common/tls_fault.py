"""Why no TLS came about with somebody, as one sentence for a person: a library's own text helps nobody."""

from __future__ import annotations

import re
import ssl
from typing import Tuple

NONE, WANTED, OTHER = "not-tls", "wants-certificate", "tls"
_NOT_SPOKEN = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL"}
_BY_WHOM = re.compile(r"(?:ssl|tls)v?\d+ alert ")  # of which version the words are


def fault(error: OSError, agreed: bool = False) -> Tuple[str, str]:
    """What kind of fault it is, and what stands behind the name of who was to be reached.

    The kind is NONE, WANTED (a certificate of ours), OTHER, or `certificate` and OpenSSL's number for why it is not
    accepted. `error`: what a handshake raised; or a ssl.SSLError that came once TLS was `agreed`: from TLS 1.3 on, who
    wants a certificate says so only then, and may hang up before it is heard.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        return f"certificate {error.verify_code}", f"has a certificate that is not accepted ({why})"
    reason = getattr(error, "reason", None) or ""
    if reason in _NOT_SPOKEN:
        return NONE, "does not speak TLS"
    if not isinstance(error, ssl.SSLError) or _hung_up(error, reason):
        if agreed:
            return WANTED, "hung up as soon as TLS was agreed"
        return NONE, "hung up when it was asked for TLS, as who speaks none does"
    words = _BY_WHOM.sub("", reason.replace("_", " ").lower())
    if words == "certificate required":
        return WANTED, "wants a certificate of who connects, and gets none"
    return OTHER, f"and this computer agree on no TLS ({words or 'no reason given'})"


def _hung_up(error: ssl.SSLError, reason: str) -> bool:
    """Each version of OpenSSL has another word for it."""
    return isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or reason == "UNEXPECTED_EOF_WHILE_READING"
