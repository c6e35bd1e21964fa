"""The line in front of the server's sshd: its delay, and its faults."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from sandbox import Sandbox, set_line
from sandbox.line import round_trip

pytestmark = pytest.mark.real


@pytest.fixture
def connection(server: Sandbox) -> Iterator[socket.socket]:
    """A connection through which sshd has said hello."""
    with connected(server) as opened:
        assert opened.recv(64).startswith(b"SSH-2.0-")
        yield opened


def connected(server: Sandbox) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ssh_port), 1)


def seconds_until_greeting(server: Sandbox) -> float:
    begun = time.monotonic()
    with connected(server) as connection:
        connection.settimeout(5)
        assert connection.recv(64).startswith(b"SSH-2.0-")
    return time.monotonic() - begun


def test_the_greeting_of_a_distant_server_arrives_two_round_trips_after_the_first_packet(server: Sandbox) -> None:
    set_line(server, rtt=100)
    assert round_trip(server) == 100
    assert 0.19 < seconds_until_greeting(server) < 0.3


def test_an_answer_takes_one_round_trip(server: Sandbox, connection: socket.socket) -> None:
    set_line(server, rtt=200)
    begun = time.monotonic()
    connection.settimeout(5)
    connection.sendall(b"no ssh\r\n")
    assert b"Invalid SSH identification" in connection.recv(256)
    assert 0.19 < time.monotonic() - begun < 0.35


def test_a_dead_line_answers_nothing_and_what_was_sent_arrives_when_it_lives_again(
    server: Sandbox, connection: socket.socket
) -> None:
    set_line(server, state="dead")
    connection.sendall(b"no ssh\r\n")
    with connected(server) as another:
        for one in (connection, another):
            one.settimeout(0.5)
            with pytest.raises(TimeoutError):
                one.recv(1)
    set_line(server)
    connection.settimeout(5)
    assert b"Invalid SSH identification" in connection.recv(256)


def test_a_reset_tears_what_is_open_and_lets_new_connections_through(
    server: Sandbox, connection: socket.socket
) -> None:
    set_line(server, state="reset")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert seconds_until_greeting(server) < 1
