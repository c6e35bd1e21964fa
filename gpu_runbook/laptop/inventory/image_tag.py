"""Which image of a repository is meant: by a tag, which may move, or by a digest, which is always the same one."""

from __future__ import annotations

import re

from gpu_runbook.protocol.foreign_text import named

TAG = r"\w[\w.-]{0,127}"
PIN = "sha256:"
DIGEST = f"{PIN}[0-9a-f]{{64}}"
SAYS = "a tag of letters, digits and _.-, or sha256: and 64 hexadecimal digits"

SHOWN = len(PIN) + 12


def is_pinned(tag: str) -> bool:
    return tag.startswith(PIN)


def is_tag(text: str) -> bool:
    """Whether a text can stand behind `tag:` or --tag."""
    return bool(re.fullmatch(f"{TAG}|{DIGEST}", text, re.ASCII))


def flaw(text: str) -> str:
    """What is wrong with a text that is no tag."""
    if not is_pinned(text):
        return f"{SAYS} is expected"
    given = text[len(PIN) :]
    if re.fullmatch("[0-9a-fA-F]*", given, re.ASCII) and len(given) != 64:
        return f"a digest has 64 hexadecimal digits behind sha256:, and this one has {len(given)}"
    return "a digest has 64 hexadecimal digits behind sha256:, in small letters"


def reference(image: str, tag: str) -> str:
    """An image as a registry is asked for it."""
    return f"{image}{'@' if is_pinned(tag) else ':'}{tag}"


def has_moved(tag: str, image: str, tag_now: str, image_now: str) -> bool:
    """Whether one tag has stood for these two images, each as repository@digest."""
    return tag == tag_now and not is_pinned(tag) and image != image_now and "@" in image and "@" in image_now


def may_be(image: str, asked: str) -> bool:
    """Whether an image, as repository@digest, can be the one that was asked for as `reference` has it."""
    return image == asked if "@" in asked else image.partition("@")[0] == asked.rpartition(":")[0]


def short(tag: str) -> str:
    """A tag as people read it: of a digest as much as tells it apart."""
    return named(tag[:SHOWN] if is_pinned(tag) else tag)


def version(tag: str, image: str) -> str:
    """A tag with the digest that it stood for, as people read it. `image`: repository@digest, an id or nothing."""
    name, _, digest = image.rpartition("@")
    if not digest or digest == tag:
        return short(tag) + (" (pinned)" if name else "")
    return f"{short(tag)} ({named(digest[:SHOWN])})".lstrip()
