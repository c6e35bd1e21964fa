"""What each version of OpenSSL raises, in our words."""

from __future__ import annotations

import ssl

import pytest

from gpu_runbook.common.tls_fault import NONE, OTHER, WANTED, fault


def raised(kind: type[ssl.SSLError], reason: str | None, text: str = "[SSL] it failed (_ssl.c:992)") -> ssl.SSLError:
    error = kind(1, text)
    error.reason = reason  # type: ignore[assignment]  # it has none where OpenSSL gave none
    return error


@pytest.mark.parametrize("agreed", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        raised(ssl.SSLZeroReturnError, None, "TLS/SSL connection has been closed (EOF) (_ssl.c:992)"),
        raised(ssl.SSLEOFError, None, "EOF occurred in violation of protocol (_ssl.c:1131)"),
        raised(ssl.SSLError, "UNEXPECTED_EOF_WHILE_READING"),
        ConnectionResetError(104, "Connection reset by peer"),
        BrokenPipeError(32, "Broken pipe"),
    ],
    ids=["zero return", "eof", "unexpected eof", "reset", "pipe"],
)
def test_who_hangs_up_speaks_none_or_wants_something(error: OSError, agreed: bool) -> None:
    assert fault(error, agreed) == (
        (WANTED, "hung up as soon as TLS was agreed")
        if agreed
        else (NONE, "hung up when it was asked for TLS, as who speaks none does")
    )


@pytest.mark.parametrize(
    ("reason", "kind", "said"),
    [
        ("WRONG_VERSION_NUMBER", NONE, "does not speak TLS"),
        ("HTTP_REQUEST", NONE, "does not speak TLS"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", WANTED, "wants a certificate of who connects, and gets none"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", OTHER, "and this computer agree on no TLS (handshake failure)"),
        ("UNSUPPORTED_PROTOCOL", OTHER, "and this computer agree on no TLS (unsupported protocol)"),
        (None, OTHER, "and this computer agree on no TLS (no reason given)"),
    ],
)
def test_a_reason_is_told_in_small_words(reason: str | None, kind: str, said: str) -> None:
    assert fault(raised(ssl.SSLError, reason)) == (kind, said)
