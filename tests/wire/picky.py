"""A key agent that lists its keys and may not sign with them, as one does that is locked or waits for a touch."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paramiko import Message, PKey

from gpu_runbook.laptop.ssh.agent import LIST, LISTED, SIGNED

REFUSED = b"\x05"
LENGTHS = {"say too much": 1000000, "say too little": 0}  # of what is said


class Picky:
    """`way` is what it does when it is to sign; `signed` is how often it was asked to. Its keys are called key-0, …"""

    def __init__(self, path: Path, keys: Sequence[PKey]) -> None:
        self.path, self.keys, self.way, self.signed = path, keys, "sign", 0
        self._over = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._talk, args=(self._listener.accept()[0],), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while head := client.recv(4, socket.MSG_WAITALL):
                asked = client.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                answer = self._listed() if asked[0] == LIST else self._signed(asked[1:])
                if answer is None:
                    return
                length = LENGTHS.get(self.way, len(answer)) if asked[0] != LIST else len(answer)
                client.sendall(struct.pack(">I", length) + answer)

    def _listed(self) -> bytes:
        answer = Message()
        answer.add_byte(bytes([LISTED]))
        answer.add_int(len(self.keys))
        for number, key in enumerate(self.keys):
            answer.add_string(key.asbytes())
            answer.add_string(f"key-{number}")
        return answer.asbytes()

    def _signed(self, asked: bytes) -> bytes | None:
        self.signed += 1
        if self.way == "refuse":
            return REFUSED
        if self.way == "say nothing":
            self._over.wait()
        if self.way in ("hang up", "say nothing"):
            return None
        fields = Message(asked)
        blob = fields.get_binary()
        key = next(one for one in self.keys if one.asbytes() == blob)
        answer = Message()
        answer.add_byte(bytes([SIGNED]))
        signature: Any = key.sign_ssh_data(fields.get_binary())
        answer.add_string(signature.asbytes())
        return answer.asbytes()
