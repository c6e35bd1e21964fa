"""Reads a small text file that a person wrote, and says in one sentence why it cannot be read."""

from __future__ import annotations

from pathlib import Path

from gpu_runbook.laptop.errors import BadInput

LIMIT = 1024 * 1024


def read_text(path: Path, missing: str) -> str:
    """The file's text, a byte order mark included; `missing` is the hint for a file that is not there.

    Raises BadInput for a file that is missing, unreadable, binary, larger than 1 MiB or empty.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist.", missing) from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from None
    return decoded(data, str(path), missing)


def decoded(data: bytes, path: str, missing: str) -> str:
    """The text of a file that was read to its end, or beyond the limit. Raises BadInput as `read_text`."""
    if len(data) > LIMIT:
        raise BadInput(f"{path} is larger than 1 MiB.", "Check that this is the right file.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path} is not UTF-8 text (line {line}).", "Save it as UTF-8, or check the path.") from None
    if "\0" in text:
        raise BadInput(f"{path} is a binary file.", "Check that this is the right file.")
    if not text.strip("\ufeff \t\r\n"):
        raise BadInput(f"{path} is empty.", missing)
    return text
