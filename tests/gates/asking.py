"""Asks the gate of the CI, and makes sure that every row is fit to be shown and holds nothing of the token."""

from __future__ import annotations

import dataclasses
from typing import Any

from gpu_runbook.laptop.gates import ci
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inventory.address import Target
from gpu_runbook.laptop.inventory.gate_entries import Ci
from gpu_runbook.protocol.check import OK, WARNING, Check
from tests.gates.forge import HEAD, REPOSITORY, Forge

TARGET = Target("annotation-queue", REPOSITORY, "1.0", f"registry.lan:5000/{REPOSITORY}@sha256:{'a' * 64}")
TOKEN = Secret("ghp_0123456789abcdefABCDEF")
ROOT = f"/repos/{REPOSITORY}"
GITEA = f"/api/v1{ROOT}"


def ask(found: Forge, kind: str = "github", revision: str = "", **entry: Any) -> Check:
    """The row of a forge."""
    token = entry.pop("token", TOKEN)
    told = Ci(forge=kind, address=found.address, **entry)  # type: ignore[arg-type]
    row = ci.check("queue CI", told, dataclasses.replace(TARGET, revision=revision), token)
    assert row.name == "queue CI"
    assert row.sentence.isprintable() and row.hint.isprintable()
    assert bool(row.hint) == (row.level != OK) or row.level == WARNING
    assert TOKEN.reveal() not in repr(row)
    return row


def by_command(*words: str, timeout: int = 10, token: Secret | None = TOKEN, revision: str = HEAD) -> Check:
    told = Ci(command=words, timeout=timeout)
    return ci.check("queue CI", told, dataclasses.replace(TARGET, revision=revision), token)
