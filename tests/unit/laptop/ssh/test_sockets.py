"""Which address a connection comes from, and which of a server's addresses it goes to."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from gpu_runbook.laptop.ssh.sockets import Piped, dial


def test_a_connection_comes_from_the_address_that_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for source, seen in (("", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")):
            with dial("127.0.0.1", port, 2, source=source) as made:
                assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                taken, address = server.accept()
                taken.close()
                assert address[0] == seen


@pytest.mark.parametrize("first", ["refuses", "is silent"])
def test_an_address_that_does_not_answer_leaves_the_others_their_time(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        other = opened.enter_context(socket.create_server(("127.0.0.3", 0), backlog=0))
        places = [other.getsockname(), server.getsockname()]
        if first == "refuses":
            other.close()
        else:  # whoever comes once its queue is full hears nothing
            for _ in range(3):
                waiting = opened.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(places[0])
        kinds = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: [(*kinds, place) for place in places])
        dial("gpu-1", 22, 1).close()


def test_closing_a_proxy_command_ends_it() -> None:
    piped = Piped("sleep 600")
    assert piped.ended() == (None, "")
    piped.close()
    assert piped.ended() == (-9, "")


@pytest.mark.parametrize(("family", "asked"), [("inet", socket.AF_INET), ("inet6", socket.AF_INET6), ("any", 0)])
def test_a_family_of_addresses_is_asked_for_alone(monkeypatch: pytest.MonkeyPatch, family: str, asked: int) -> None:
    seen: list[int] = []

    def look(host: str, port: int, family: int, kind: int) -> list[object]:
        seen.append(family)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look)
    with pytest.raises(TimeoutError):
        dial("gpu-1", 22, 1, family)
    assert seen == [asked]
