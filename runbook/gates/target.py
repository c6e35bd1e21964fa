"""What a gate is asked about: the image that a deploy would bring for one service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One image. Empty where it is not known, or not known yet: `image_id` and `revision`."""

    service: str
    image: str  # without registry and tag, as hosts.yaml has it
    tag: str
    reference: str  # repository@sha256:…, the digest that would be deployed
    image_id: str = ""  # sha256:…, as the server holds it
    revision: str = ""  # the commit it was built from, by its label
