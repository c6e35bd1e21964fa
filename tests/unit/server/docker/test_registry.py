"""What is asked of a registry, and by which name."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.common import clock
from gpu_runbook.server.docker import registry
from gpu_runbook.server.docker.engine import Engine


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("registry.lan:5000/azaion/queue:1.0", "registry.lan:5000/azaion/queue"),
        ("registry.lan:5000/azaion/queue", "registry.lan:5000/azaion/queue"),
        (f"registry.lan:5000/azaion/queue@sha256:{'a' * 64}", "registry.lan:5000/azaion/queue"),
        (f"queue@sha256:{'a' * 64}", "queue"),
        ("queue:1.0", "queue"),
    ],
)
def test_the_name_of_an_image_without_its_tag_or_digest(image: str, name: str) -> None:
    assert registry.repository(image) == name


DIGEST = f"sha256:{'a' * 64}"


def described(platforms: Any) -> tuple[str, tuple[str, ...]]:
    answer = {"Descriptor": {"mediaType": "…", "digest": DIGEST, "size": 1}, "Platforms": platforms}
    return registry.manifest(Answers("unix:///x", answer=answer), "registry.lan/queue:dev")


class Answers(Engine):
    """An engine that has asked the registry."""

    def __init__(self, address: str, answer: Any) -> None:
        super().__init__(address)
        object.__setattr__(self, "answer", answer)

    def ask(self, path: str, *given: Any, **more: Any) -> bytes:
        return json.dumps(self.answer).encode()  # type: ignore[attr-defined]


AMD, ARM = {"architecture": "amd64", "os": "linux"}, {"architecture": "arm64", "os": "linux", "variant": "v8"}
ATTESTATION = {"architecture": "unknown", "os": "unknown"}


@pytest.mark.parametrize(
    ("platforms", "serves"),
    [
        ([AMD], True),
        ([ARM], False),
        ([ARM, AMD, ATTESTATION], True),
        ([ARM, ATTESTATION], False),
        ([{"architecture": "amd64", "os": "windows"}], False),
        ([{"architecture": "", "os": ""}], True),
        ([{}, ARM], True),
        ([], True),
        (None, True),
    ],
    ids=["ours", "other", "several", "others", "another-system", "empty", "nothing", "none", "null"],
)
def test_a_tag_without_an_image_for_this_kind_of_machine_is_known_as_one(
    monkeypatch: pytest.MonkeyPatch, platforms: Any, serves: bool
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64"))
    digest, found = described(platforms)
    assert (digest, registry.serves(found)) == (DIGEST, serves)


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-11-28T10:15:30Z", "2026-11-28T10:15:30Z"),
        ("2026-11-28T10:15:30.123456789+01:00", "2026-11-28T09:15:30Z"),
        ("2026-11-28T00:15:30-01:30", "2026-11-28T01:45:30Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", ""),
        ("2026-13-28T10:15:30Z", ""),
        ("2026-11-28T10:15:30", ""),
        ("2026-11-28", ""),
        ("", ""),
    ],
)
def test_a_time_as_anybody_writes_it(written: str, utc: str) -> None:
    assert clock.utc(written) == utc
