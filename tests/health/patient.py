"""The server as a health check sees it, and what ails it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpu_runbook.laptop.commands.health import HealthReport, ask_health
from gpu_runbook.laptop.inventory.model import Host
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.health import CheckedConsumer, DiskLimits, Expected, Request
from sandbox import Sandbox, run_inside
from sandbox.machine import run_on
from sandbox.passwords import read
from sandbox.place import BROKER_CA, LOGIN_USER, STREAM
from tests import real

NAME = "annotation-queue"
OFFSET = f"{real.ROOT}/offset.yaml"


class Patient:
    """A server to ask, and the request that a hosts.yaml with one consumer makes of it."""

    def __init__(self, server: Sandbox) -> None:
        self.server = server
        self.variables = read(server.env_file)
        monitor = self.variables["RABBITMQ_MONITOR_USER"]
        self.stream = StreamAddress("127.0.0.1", server.stream_port, STREAM, monitor)
        self.file = OffsetFile(OFFSET, saved_every=50)
        password = self.variables["RABBITMQ_MONITOR_PASSWORD"]
        self.consumer = CheckedConsumer(NAME, NAME, self.file, self.stream, password)
        self.request = Request(DiskLimits((real.ROOT,), 99.0, 100.0), Expected(2), consumers=(self.consumer,))
        self._host = Host(
            name="gpu-sandbox",
            address="127.0.0.1",
            port=server.ssh_port,
            user=LOGIN_USER,
            key=server.key_file,
            known_hosts=server.known_hosts,
            root=real.ROOT,
        )

    def report(self, **changes: Any) -> HealthReport:
        """Ask over SSH, with some of the request changed."""
        with Session(self._host) as session:
            request = dataclasses.replace(self.request, **changes)
            return ask_health(session, request)

    def row(self, name: str, **changes: Any) -> Check:
        return next(check for check in self.report(**changes).checks if check.name == name)

    def progress(self, **changes: Any) -> Check:
        """The check of the offset, with some of the consumer changed."""
        return self.row("offset advancing", consumers=(dataclasses.replace(self.consumer, **changes),))

    def restarting_consumer(self, tag: str) -> None:
        """Start a consumer that the engine starts again whenever it ends."""
        real.started_consumer(self.server, tag, NAME)
        real.docker(self.server, "update", "--restart=unless-stopped", NAME)
        real.docker(self.server, "start", NAME)

    def save_offset(self, text: str) -> None:
        run_inside(self.server, ["tee", OFFSET], user=LOGIN_USER, input=text)

    def over_tls(self) -> StreamAddress:
        """The same stream, behind TLS."""
        return dataclasses.replace(self.stream, host="localhost", port=self.server.stream_tls_port, tls=BROKER_CA)

    def processes(self, name: str) -> int:
        return run_inside(self.server, ["ps", "-eo", "comm"]).stdout.split().count(name)

    def make_stream(self, name: str, messages: int = 0, keep: int = 0, batch: int = 0) -> StreamAddress:
        """Make a stream beside the server's own, of so many messages of 1 KB, that keeps so many bytes (0: all).

        `batch`: so many messages at a time become one entry, compressed by gzip.
        """
        maker = self._maker(name, messages=messages, size=1024, keep=keep, batch=batch, at_once=False)
        assert maker.wait(60) == 0
        return StreamAddress("127.0.0.1", self.server.stream_port, name, self.variables["RABBITMQ_USER"])

    def make_long_chunk(self, name: str, messages: int, size: int) -> StreamAddress:
        """Make a stream of one chunk: the broker writes nothing down until it has all messages, of `size` bytes."""
        made = self.make_stream(name)
        writer = f'{{ok, P}} = rabbit_stream_manager:lookup_leader(<<"/">>, <<"{name}">>), '
        self.broker_does(f"{writer} sys:suspend(P).")
        maker = self._maker(name, messages=messages, size=size, keep=0, batch=0, at_once=True)
        waits = "W = fun W() -> case erlang:process_info(P, message_queue_len) of {_, N} when N >= MESSAGES -> ok; "
        waits += "_ -> timer:sleep(10), W() end end, W(), "
        self.broker_does(f"{writer} {waits.replace('MESSAGES', str(messages))} sys:resume(P).")
        assert maker.wait(60) == 0
        return made

    def broker_does(self, erlang: str) -> None:
        """Have the broker evaluate something."""
        words = ["env", "HOME=/var/lib/rabbitmq", "/usr/sbin/rabbitmqctl", "--timeout", "60", "eval", erlang]
        account = ["setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--init-groups"]
        run_on(self.server.services, [*account, *words])

    def _maker(self, name: str, **order: Any) -> subprocess.Popen[str]:
        """The program that makes a stream, at work."""
        user, password = self.variables["RABBITMQ_USER"], self.variables["RABBITMQ_PASSWORD"]
        login = {"port": self.server.stream_port, "username": user, "password": password}
        program = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("streams.py"))],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(self.server.libraries)},
            text=True,
        )
        assert program.stdin
        with program.stdin as order_book:
            json.dump({"login": login, "name": name, **order}, order_book)
        return program
