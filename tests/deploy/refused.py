"""A `fab` that says no: one sentence and a hint, the documented exit status, and nothing of the server changed."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from gpu_runbook.laptop.errors import RunbookError
from tests.deploy.laptop import QUEUE, Laptop, Said
from tests.real import server_snapshot

DEPLOY = ("deploy", "--service", QUEUE)


def passwords(laptop: Laptop) -> list[str]:
    """The values of .env that nobody may see, as they are and as base64 shows them."""
    plain = [value for name, value in laptop.variables.items() if "PASSWORD" in name]
    return plain + [base64.b64encode(value.encode()).decode() for value in plain]


def shown(secrets: Iterable[str], text: str) -> list[str]:
    """The secrets that stand in a text."""
    return [secret for secret in secrets if secret in text]


def says_no(laptop: Laptop, error: type[RunbookError], *words: str) -> Said:
    """Run a `fab` that must end with this error's exit status, say so in a few lines, and show no secret."""
    said = laptop.fab(*words)
    assert said.status == error.exit_code, said.all
    assert "Traceback" not in said.all
    assert 1 <= len(said.err.strip().splitlines()) <= 2, said.err
    assert shown(passwords(laptop), said.all) == []
    return said


def refused(laptop: Laptop, error: type[RunbookError], *words: str) -> Said:
    """The same, with a look at the server before and after; a deploy when no words are given."""
    before = server_snapshot(laptop.sandbox)
    said = says_no(laptop, error, *(words or DEPLOY))
    assert server_snapshot(laptop.sandbox) == before
    return said
