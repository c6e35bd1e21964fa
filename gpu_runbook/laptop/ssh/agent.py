"""A key agent behind a socket: ssh-agent, 1Password, Secretive, gpg-agent. It keeps the private halves and signs."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from paramiko import Message, PKey, SSHException

from gpu_runbook.laptop.terminal.screen import put

PATIENCE = 60.0  # seconds for an answer: somebody may have to unlock it first, or touch a key
LONGEST = 256 << 10  # bytes of an answer, as ssh has it
LIST, LISTED = 11, 12
SIGN, SIGNED = 13, 14
RSA_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
PERSON = "does it want to be unlocked, or a key to be touched?"
SOON = 2.0  # seconds after which a person is told that an agent is waited for


class AgentFailure(SSHException):
    """An agent that was asked for something and has not done it; its text says so as the rest of a sentence."""


class Agent:
    """A connection that lists its keys and lets them sign. What goes wrong is AgentFailure."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise AgentFailure(f"the agent {path} cannot be reached: {error.strerror or error}") from error

    def close(self) -> None:
        self._socket.close()

    def keys(self) -> Sequence[AgentKey]:
        answer = self._asked(LIST, b"", LISTED)
        return [AgentKey(self, answer.get_binary(), _text(answer.get_binary())) for _ in range(answer.get_int())]

    def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        """The signature of the key with this public blob."""
        request = Message()
        request.add_string(blob)
        request.add_string(data)
        request.add_int(flags)
        return self._asked(SIGN, request.asbytes(), SIGNED).get_binary()

    def _asked(self, kind: int, content: bytes, wanted: int) -> Message:
        what = "list its keys" if kind == LIST else "sign"
        told = threading.Timer(SOON, put, (f"waiting for the agent {self._path} to {what}: {PERSON}", sys.stderr))
        told.daemon = True
        told.start()
        try:
            self._socket.sendall(struct.pack(">IB", 1 + len(content), kind) + content)
            length = int.from_bytes(self._received(4), "big")
            if not 0 < length <= LONGEST:
                raise AgentFailure(f"the agent {self._path} did not {what}: it answered {length} bytes")
            answer = self._received(length)
        except TimeoutError as error:
            raise AgentFailure(f"the agent {self._path} did not {what} within {PATIENCE:g} s") from error
        except (OSError, EOFError) as error:
            said = error.strerror if isinstance(error, OSError) else "it hung up"
            raise AgentFailure(f"the agent {self._path} did not {what}: {said}") from error
        finally:
            told.cancel()
        if answer[0] != wanted:
            raise AgentFailure(f"the agent {self._path} refused to {what}")
        return Message(answer[1:])

    def _received(self, count: int) -> bytes:
        block = b""
        while len(block) < count:
            more = self._socket.recv(count - len(block))
            if not more:
                raise EOFError
            block += more
        return block


class AgentKey(PKey):
    """A key of an agent. `blob` is its public key, or a certificate; `comment` is what the agent calls it."""

    def __init__(self, agent: Agent, blob: bytes, comment: str) -> None:
        super().__init__()
        self._agent = agent
        self.blob = blob
        self.comment = comment
        self.public_blob = None  # what paramiko reads of every key

    def get_name(self) -> str:
        return _text(Message(self.blob).get_binary())

    def asbytes(self) -> bytes:
        return self.blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:  # type: ignore[override]
        plain = (algorithm or "").partition("-cert-v01@")[0]
        return self._agent.sign(self.blob, data, RSA_FLAGS.get(plain, 0))


def _text(said: bytes) -> str:
    return said.decode("utf-8", "replace")
