"""Black holes, resets and closed ports: every one ends in bounded time, in a sentence that names the server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from gpu_runbook.laptop.errors import CannotConnect, LostContact
from gpu_runbook.laptop.rpc.call import ask
from gpu_runbook.laptop.ssh.session import Session
from tests.wire.relay import Relay
from tests.wire.sshd import USER, Entry, free_port

Relays = Callable[..., tuple[Relay, Entry]]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds, f"it took {took:.1f} s"


def test_a_closed_port_is_said(gpu1: Entry) -> None:
    port = free_port()
    with Session(gpu1.but(port=port)) as session, pytest.raises(CannotConnect, match=f"127.0.0.1 port {port} refuses"):
        session.open()


def test_a_name_that_means_nothing_is_said(gpu1: Entry) -> None:
    with (
        Session(gpu1.but(address="gpu..lan")) as session,
        pytest.raises(CannotConnect, match=r"the name gpu\.\.lan is not"),
    ):
        session.open()


def test_an_address_that_swallows_packets_ends_in_time(gpu1: Entry) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # fills the queue of those who wait to be accepted; the kernel drops whoever comes next
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        entry = gpu1.but(port=full.getsockname()[1], connect_timeout=0.7)
        with Session(entry) as session, within(1.5), pytest.raises(CannotConnect, match=r"no answer .* within 0\.7 s"):
            session.open()


def test_a_server_that_does_not_greet_ends_in_time(gpu1: Entry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        entry = gpu1.but(port=mute.getsockname()[1], connect_timeout=0.7)
        with Session(entry) as session, within(2), pytest.raises(CannotConnect, match=r"no answer .* within 0\.7 s"):
            session.open()


@pytest.mark.parametrize("limit", [0, 20, 45, 1100, 1500, 1800])
def test_a_link_that_dies_anywhere_in_the_handshake_ends_in_time(relay: Relays, limit: int) -> None:
    _, entry = relay(limit)
    with Session(entry.but(connect_timeout=0.7)) as session, within(3), pytest.raises(CannotConnect, match=r"^gpu-1: "):
        session.open()


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not greet as an SSH server"),
        (b"", "does not greet as an SSH server"),
        (b"SSH-2.0-x\r\n", "closed the connection before the login"),
        (b"\x1b[31mred\r\n" * 200, "connecting to .* failed: .*red"),
    ],
)
def test_a_server_that_speaks_something_else_is_said(gpu1: Entry, greeting: bytes, sentence: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor() as pool:

        def greet() -> None:
            caller, _ = other.accept()
            with caller:
                caller.sendall(greeting)

        greeted = pool.submit(greet)
        with (
            Session(gpu1.but(port=other.getsockname()[1])) as session,
            pytest.raises(CannotConnect, match=sentence) as raised,
        ):
            session.open()
        greeted.result()
        assert "\x1b" not in raised.value.message


def test_a_link_that_dies_after_the_login_ends_the_next_call_in_time(relay: Relays) -> None:
    middle, entry = relay()
    with Session(entry.but(connect_timeout=0.7)) as session:
        session.open()
        middle.fall_silent()
        with within(2), pytest.raises(CannotConnect, match=r"^gpu-1 does not answer any more"):
            ask(session, "ping", {})


def test_a_link_that_falls_silent_in_the_middle_is_lost_contact(relay: Relays, probe: str) -> None:
    middle, entry = relay()
    with Session(entry) as session, within(3), pytest.raises(LostContact, match="nothing was heard for 1 s"):
        ask(session, probe, {"do": "sleep", "seconds": 60}, lambda event: middle.fall_silent(), silence=1)


def test_a_connection_that_is_reset_in_the_middle_is_lost_contact(relay: Relays, probe: str) -> None:
    middle, entry = relay()
    with (
        Session(entry) as session,
        within(3),
        pytest.raises(LostContact, match="the connection ended before the answer"),
    ):
        ask(session, probe, {"do": "sleep", "seconds": 60}, lambda event: middle.reset())


def test_a_connection_that_broke_is_made_anew_by_the_next_call(relay: Relays, probe: str) -> None:
    middle, entry = relay()

    def reset(event: dict[str, Any]) -> None:
        middle.reset()

    with Session(entry) as session:
        with pytest.raises(LostContact):
            ask(session, probe, {"do": "sleep", "seconds": 60}, reset)
        assert ask(session, "ping", {})["user"] == USER
        assert session.facts.connections == 2
