"""A webhook that cannot be called: whose fault that is, the service's or the proxy's."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gpu_runbook.server.schedule.notify import webhook
from gpu_runbook.server.schedule.notify.errors import Undelivered


@pytest.fixture
def closed() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.mark.parametrize(
    ("proxy", "exempt", "said"),
    [
        ("", "", "refused the connection"),
        ("http://127.0.0.1:{port}", "", "asked through the proxy of http_proxy, refused the connection"),
        ("http://127.0.0.1:{port}", "127.0.0.1", "refused the connection"),
    ],
)
def test_a_proxy_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, closed: int, proxy: str, exempt: str, said: str
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("http_proxy", proxy.format(port=closed))
    if exempt:
        monkeypatch.setenv("no_proxy", exempt)
    with pytest.raises(Undelivered) as caught:
        webhook.call(f"http://127.0.0.1:{closed}/hook", b"{}", {}, 2.0)
    assert str(caught.value) == said
