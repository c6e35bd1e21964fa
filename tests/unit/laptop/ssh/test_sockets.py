"""Which address a connection comes from, and which of a server's addresses it goes to."""

from __future__ import annotations

import socket

import pytest

from gpu_runbook.laptop.ssh.sockets import dial


def test_a_connection_comes_from_the_address_that_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for source, seen in (("", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")):
            with dial("127.0.0.1", port, 2, source=source):
                taken, address = server.accept()
                taken.close()
                assert address[0] == seen


def test_an_address_that_does_not_answer_leaves_the_others_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        known = socket.getaddrinfo
        addresses = [*known("127.0.0.3", port + 1 if port < 65535 else 1, type=socket.SOCK_STREAM)]
        addresses += known("127.0.0.1", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: addresses)
        dial("gpu-1", port, 2).close()


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
