"""What the server's half says no with, and what is said of a document that is not the value it should be."""

from __future__ import annotations

from gpu_runbook.protocol.foreign_text import LONGEST, one_line


class Refusal(Exception):
    """The server's half says no. `kind` picks the laptop's error: refused, server, failed or input."""

    def __init__(self, message: str, hint: str = "", kind: str = "refused") -> None:
        self.message = one_line(message, LONGEST)
        super().__init__(self.message)
        self.hint = one_line(hint, LONGEST)
        self.kind = kind


class Malformed(ValueError):
    """A JSON document is not the value it should be; the text names the place."""
