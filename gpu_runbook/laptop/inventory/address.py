"""The image that a gate is asked about, and how its names are put into the texts of hosts.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.problems import nearest, printable
from gpu_runbook.protocol.values import dataclass

WORDS = ("service", "image", "tag")

_WORD = re.compile(r"\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Target:
    """One service's image. `image` is its name at the registry's; `reference` is what is deployed, repository@digest.

    `image_id` is the server's id of it, empty while the server does not hold it; `revision` is the commit that the
    image's label names, empty when there is none or nobody knows yet; `layers` are the digests of what its layers hold.
    """

    service: str
    image: str
    tag: str
    reference: str
    image_id: str = ""
    revision: str = ""
    layers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256:… of the image that is deployed."""
        return self.reference.rpartition("@")[2]

    def fill(self, key: str, text: str, image: str = "") -> str:
        """The text with {service}, {image} and {tag} in it replaced; `image` stands for {image} instead of the name.

        Raises BadInput, naming hosts.yaml's key, for any other brace.
        """
        unknown = strange_word(text)
        if unknown:
            raise BadInput(
                f"hosts.yaml: {key}: {unknown}", f"correct {key}; what has braces of its own goes into a script"
            )
        values: Mapping[str, str] = {"service": self.service, "image": image or self.image, "tag": self.tag}
        return _WORD.sub(lambda found: values[found[1]], text)


def strange_word(text: str) -> str:
    """What is wrong with the braces in a text, empty when nothing is."""
    for found in _WORD.finditer(text):
        if found[1] is None:
            return f"{found[0]} stands alone"
        if found[1] not in WORDS:
            words = ", ".join(f"{{{word}}}" for word in WORDS)
            return f"{{{printable(found[1], 40)}}} is none of {words}{nearest(found[1], WORDS)}"
    return ""
