"""What the docker engine asks of a registry: which digest a tag has, and the images themselves."""

from __future__ import annotations

import base64
import json
import urllib.parse
from contextlib import closing
from typing import Any, Dict, Iterator, Optional, Tuple

from remote.engine import LINE, NONE, Engine, EngineError

REVISION = "org.opencontainers.image.revision"
PROGRESS = {"id": (str, NONE), "progressDetail": (dict, NONE)}


def manifest(engine: Engine, image: str, login: Optional[Dict[str, str]] = None) -> str:
    """The digest the registry holds for a tag, `sha256:…`, asked by the engine itself without pulling.

    Raises EngineError: 401 or 403 for a refused login, 404 for a tag or repository that is not there.
    """
    path = "/distribution/{}/json".format(urllib.parse.quote(image, safe="/:"))
    raw = engine.ask("GET", path, None, headers=_login_header(login), seconds=30.0)
    return str(engine.read(raw, {"Descriptor": {"digest": str}})["Descriptor"]["digest"])


def pull(
    engine: Engine, image: str, login: Optional[Dict[str, str]] = None, silence: float = 60.0
) -> Iterator[Dict[str, Any]]:
    """Pull `repository@digest`, giving the engine's progress as it comes. Ending the iteration ends the pull.

    Raises EngineError when the pull fails, or when nothing was heard for `silence` seconds.
    """
    name, _, digest = image.partition("@")
    query = {"fromImage": name, "tag": digest}
    with closing(engine.send("POST", "/images/create", query, _login_header(login), silence, endless=True)) as answer:
        try:
            for line in iter(lambda: answer.line(LINE), b""):
                progress: Dict[str, Any] = engine.read(line, PROGRESS)
                if "error" in progress:
                    raise EngineError(answer.status, str(progress["error"]))
                yield progress
        except OSError as error:
            raise EngineError(0, f"the engine fell silent during the pull ({error})") from error


def revision(image: Dict[str, Any]) -> str:
    """The commit an image was built from, by the label that build tools write; empty when it has none."""
    return str(((image.get("Config") or {}).get("Labels") or {}).get(REVISION) or "")


def _login_header(login: Optional[Dict[str, str]]) -> Dict[str, str]:
    """`login` has username, password and serveraddress."""
    if not login:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(login).encode()).decode()}


def repository(image: str) -> Tuple[str, str]:
    """`server/name:tag` as (`server/name`, `tag`); a port of the server is no tag."""
    head, _, tail = image.rpartition(":")
    return (image, "") if not head or "/" in tail else (head, tail)
