"""What is asked of a registry, and by which name."""

from __future__ import annotations

import pytest

from gpu_runbook.server.docker import registry


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
