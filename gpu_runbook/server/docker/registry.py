"""What the docker engine asks of a registry, which digest a tag has; and what an image says of itself."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import Digest
from gpu_runbook.protocol.requests import EngineLogin
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import LocalImage

REVISION = "org.opencontainers.image.revision"
LONGEST = 80  # characters of what a label says of a commit; the longest one has 64


def manifest(engine: Engine, image: str, login: Optional[EngineLogin] = None) -> str:
    """The digest the registry holds for a tag, `sha256:…`, asked by the engine itself without pulling.

    Raises EngineError: 401 or 403 for a refused login, 404 for a tag or repository that is not there.
    """
    path = "/distribution/{}/json".format(urllib.parse.quote(image, safe="/:"))
    raw = engine.ask(path, headers=login_header(login), seconds=30.0)
    return str(engine.read(raw, {"Descriptor": {"digest": Digest}})["Descriptor"]["digest"])


def revision(image: LocalImage) -> str:
    """The commit an image was built from, as the label says that build tools write; empty when it has none.

    It may say anything, in one short line: whether that is a commit is for whoever asks for it.
    """
    return one_line(image.labels.get(REVISION, ""), LONGEST)


def login_header(login: Optional[EngineLogin]) -> Dict[str, str]:
    if not login:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(encode(login)).encode()).decode()}


def repository(image: str) -> Tuple[str, str]:
    """`server/name:tag` as (`server/name`, `tag`); a port of the server is no tag."""
    head, _, tail = image.rpartition(":")
    return (image, "") if not head or "/" in tail else (head, tail)
