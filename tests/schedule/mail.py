"""Where mail goes in the tests: a receiver that is as bad as a test wants it."""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import BinaryIO

from tests.schedule.receivers import LINE, Certificate, Listener

GREETING = b"220 receiver ESMTP"


@dataclass(frozen=True)
class Envelope:
    """A mail as it came: `tls` and `user` say how its sender stood to us then, `at` is in seconds since 1970."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    tls: bool
    user: str | None
    at: float


@dataclass(frozen=True)
class Manner:
    """How it behaves. `refused` None is everybody; `hangs_at` is a verb, or "" for before the greeting."""

    greeting: bytes = GREETING
    no_login: bool = False
    refused: frozenset[str] | None = frozenset()
    hangs_at: str | None = None


class SmtpReceiver(Listener[Manner, Envelope]):
    """Takes every mail until told otherwise; what is told last replaces what was told before."""

    def __init__(
        self,
        certificate: Certificate | None = None,
        *,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN"),
    ) -> None:
        """With a certificate STARTTLS is offered, or TLS comes first (`implicit`). A `login`, user and password, is
        asked for, and where there is a certificate under TLS only.
        """
        self.context = certificate.server_context() if certificate else None
        self.implicit, self.login, self.mechanisms = implicit, login, mechanisms
        super().__init__(Manner())

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        return self._all()

    def accept(self) -> None:
        """Behave well again."""
        self._become(Manner())

    def greet(self, line: bytes) -> None:
        """Greet with this line, without its end; after one that is no 220 the connection ends."""
        self._become(Manner(greeting=line))

    def refuse_login(self) -> None:
        """Refuse the right password too."""
        self._become(Manner(no_login=True))

    def refuse_recipient(self, *addresses: str) -> None:
        """Refuse these; without any, everybody."""
        self._become(Manner(refused=frozenset(addresses) or None))

    def hang(self, at: str = "") -> None:
        """Say nothing to this verb ("DATA", say), or not even a greeting, before the next behaviour."""
        self._become(Manner(hangs_at=at))

    def serve(self, connection: socket.socket) -> None:
        with ExitStack() as stack:
            _Session(self, connection, stack).run()

    def manner(self, verb: str) -> Manner | None:
        """How to behave at this verb, as soon as it is not to hang; None: not at all any more."""
        manner, turn = self._now()
        while manner.hangs_at == verb:
            if self._is_over(turn) and self._closed:
                return None
            manner, turn = self._now()
        return manner

    def note(self, envelope: Envelope) -> None:
        self._note(envelope)


class _Session:
    """One connection: who has logged in, and the mail that is under way."""

    def __init__(self, receiver: SmtpReceiver, connection: socket.socket, stack: ExitStack) -> None:
        self.receiver, self.connection, self.stack = receiver, connection, stack
        self.reader: BinaryIO = stack.enter_context(connection.makefile("rb"))
        self.tls = False
        self.user: str | None = None
        self.sender: str | None = None
        self.recipients: list[str] = []

    def run(self) -> None:
        if self.receiver.implicit:
            self._begin_tls()
        greeting = self.receiver.manner("")
        if greeting is None:
            return
        self._say(greeting.greeting.decode())
        if not greeting.greeting.startswith(b"220"):
            return
        verbs: dict[str, Callable[[str, Manner], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
        }
        while line := self.reader.readline(LINE):
            verb, _, rest = line.decode().strip().partition(" ")
            verb = verb.upper()
            manner = self.receiver.manner(verb)
            if manner is None:
                return
            if verb == "QUIT":
                self._say("221 bye")
                return
            verbs.get(verb, self._unknown)(rest, manner)

    def _say(self, *lines: str) -> None:
        self.connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _ask(self, question: str) -> str:
        """The answer to a question, both in base64."""
        self._say(f"334 {question}")
        return self.reader.readline(LINE).decode().strip()

    def _begin_tls(self) -> None:
        assert self.receiver.context is not None
        self.connection = self.stack.enter_context(self.receiver.context.wrap_socket(self.connection, server_side=True))
        self.reader = self.stack.enter_context(self.connection.makefile("rb"))
        self.tls = True

    @property
    def _extensions(self) -> list[str]:
        offers_tls = self.receiver.context is not None and not self.tls
        asks_login = self.receiver.login is not None and not offers_tls
        login = [f"AUTH {' '.join(self.receiver.mechanisms)}"] if asks_login else []
        return ["receiver", "8BITMIME", *(["STARTTLS"] if offers_tls else []), *login]

    def _ehlo(self, rest: str, manner: Manner) -> None:
        *others, last = self._extensions
        self._say(*(f"250-{name}" for name in others), f"250 {last}")

    def _starttls(self, rest: str, manner: Manner) -> None:
        if "STARTTLS" not in self._extensions:
            self._say("502 no TLS here")
            return
        self._say("220 go on")
        self._begin_tls()

    def _auth(self, rest: str, manner: Manner) -> None:
        mechanism, _, first = rest.partition(" ")
        if not any(name.startswith("AUTH") for name in self._extensions):
            self._say("538 not without TLS" if self.receiver.login else "502 nobody logs in here")
            return
        if mechanism == "PLAIN":
            _, user, password = _decoded(first or self._ask("")).split("\0")
        else:
            user = _decoded(first or self._ask("VXNlcm5hbWU6"))
            password = _decoded(self._ask("UGFzc3dvcmQ6"))
        if manner.no_login or (user, password) != self.receiver.login:
            self._say("535 5.7.8 wrong user or password")
            return
        self.user = user
        self._say("235 welcome")

    def _mail(self, rest: str, manner: Manner) -> None:
        if self.receiver.login and self.user is None:
            self._say("530 5.7.0 log in first")
            return
        self.sender, self.recipients = _address(rest), []
        self._say("250 ok")

    def _rcpt(self, rest: str, manner: Manner) -> None:
        recipient = _address(rest)
        if self.sender is None:
            self._say("503 from whom?")
        elif manner.refused is None or recipient in manner.refused:
            self._say("550 5.1.1 no such user")
        else:
            self.recipients.append(recipient)
            self._say("250 ok")

    def _data(self, rest: str, manner: Manner) -> None:
        if self.sender is None or not self.recipients:
            self._say("503 to whom?")
            return
        self._say("354 go on")
        lines: list[bytes] = []
        while (line := self.reader.readline(LINE)) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".").replace(b"\r\n", b"\n"))
        if not line:  # it hung up in the middle
            return
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        received = Envelope(self.sender, tuple(self.recipients), message, self.tls, self.user, time.time())
        self.sender = None
        self.receiver.note(received)
        self._say("250 taken")

    def _rset(self, rest: str, manner: Manner) -> None:
        self.sender = None
        self._say("250 ok")

    def _unknown(self, rest: str, manner: Manner) -> None:
        self._say("502 unknown")


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _address(rest: str) -> str:
    """What stands between the angle brackets; empty for a bounce's sender."""
    found = re.search(r"<([^>]*)>", rest)
    return found[1] if found else rest
