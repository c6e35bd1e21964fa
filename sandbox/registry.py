"""What the sandbox's registry holds."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

from sandbox.place import CONSUMER_REPOSITORY, TRAINING_REPOSITORY, Sandbox
from sandbox.services import REGISTRY_USER


def tags(sandbox: Sandbox, password: str) -> dict[str, set[str]]:
    """The tags of each repository, empty sets where nothing was pushed."""
    return {name: _tags(sandbox, name, password) for name in (CONSUMER_REPOSITORY, TRAINING_REPOSITORY)}


def _tags(sandbox: Sandbox, repository: str, password: str) -> set[str]:
    login = base64.b64encode(f"{REGISTRY_USER}:{password}".encode()).decode()
    address = f"http://{sandbox.registry}/v2/{repository}/tags/list"
    request = urllib.request.Request(address, headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- http, on loopback
            return set(json.load(answer)["tags"] or ())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return set()
        raise
