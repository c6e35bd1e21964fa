"""Recognises the runs of batch services, whatever else they look like: by name, by label, and by their image."""

from __future__ import annotations

from typing import Optional, Sequence, Union

from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import Container, ListedContainer, LocalImage


def recognised(
    batches: Sequence[BatchMarks], container: Union[Container, ListedContainer], image: Optional[LocalImage] = None
) -> str:
    """How a container is known for a run, as `a run of training, by its name`; empty for one that is none.

    `container`: as the engine lists or inspects it, in whatever state. `image`: what the engine says of its image,
    which has labels and names of its own; None where it is gone.
    """
    labels = [one.labels for one in (container, image) if one]
    repositories = [_repository(name) for name in (container.image, *(image.names if image else ()))]
    for batch in batches:
        key, _, value = batch.label.partition("=")
        if batch.container in container.names:
            return f"a run of {batch.service}, by its name"
        if key and any(given.get(key) == value for given in labels):
            return f"a run of {batch.service}, by its label {batch.label}"
        if batch.image and _repository(batch.image) in repositories:
            return f"a run of {batch.service}, by its image {batch.image}"
    return ""


def _repository(image: str) -> str:
    """`server/name` of `server/name:tag@digest`; a port of the server is no tag."""
    name = image.partition("@")[0]
    head, _, tail = name.rpartition(":")
    return head if head and "/" not in tail else name


def is_listed_run(engine: Engine, batches: Sequence[BatchMarks], entry: ListedContainer) -> bool:
    """As `recognised`, at the least cost: the engine is asked for what the list does not say.

    A name that was given to another image meanwhile is not listed any more; the container itself remembers it.
    """
    if recognised(batches, entry):
        return True
    found = engine.container(entry.id) if entry.image.startswith("sha256:") else None
    return bool(recognised(batches, found or entry, engine.image(entry.image_id)))
