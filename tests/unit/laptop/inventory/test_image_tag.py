"""Tags and digests: what each is called, asked for, and shown as."""

from __future__ import annotations

import pytest

from gpu_runbook.laptop.inventory import image_tag

NAME = "registry.lan:5000/azaion/queue"
DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "f" * 64


@pytest.mark.parametrize(
    ("tag", "image", "shown"),
    [
        ("1.0", f"{NAME}@{DIGEST}", "1.0 (sha256:0123456789ab)"),
        (DIGEST, f"{NAME}@{DIGEST}", "sha256:0123456789ab (pinned)"),
        ("1.0", "", "1.0"),
        ("", f"{NAME}@{DIGEST}", "(sha256:0123456789ab)"),
        (DIGEST, DIGEST, "sha256:0123456789ab"),
        (f"{NAME}:1.0", DIGEST, f"{NAME}:1.0 (sha256:0123456789ab)"),
        ("a\x1b[2J", "", '"a\N{REPLACEMENT CHARACTER}[2J"'),
    ],
    ids=["tag", "pinned", "gone", "by-no-tag", "adopted-by-id", "adopted", "steers"],
)
def test_how_an_image_is_shown(tag: str, image: str, shown: str) -> None:
    assert image_tag.version(tag, image) == shown


@pytest.mark.parametrize(
    ("tag", "image", "may"),
    [
        ("1.0", f"{NAME}@{OTHER}", True),
        ("1.0", f"{NAME}s@{OTHER}", False),
        (DIGEST, f"{NAME}@{DIGEST}", True),
        (DIGEST, f"{NAME}@{OTHER}", False),
        (DIGEST, f"{NAME}s@{DIGEST}", False),
    ],
)
def test_what_a_server_answers_is_what_it_was_asked_for(tag: str, image: str, may: bool) -> None:
    assert image_tag.may_be(image, image_tag.reference(NAME, tag)) is may
