"""The JSON Schema of hosts.yaml, for editors: `python -m gpu_runbook.laptop.inventory.schema` prints it."""

from __future__ import annotations

import json

from gpu_runbook.laptop.inventory.parse import OLD_SOURCE, adapter
from gpu_runbook.protocol.plan import NO_CHECK


def schema() -> str:
    """That of the values, less what a person does not write, plus `defaults`."""
    found = adapter().json_schema()
    shapes = found["$defs"]
    for shape, given in ((found, "path"), *((shapes[name], "name") for name in ("Host", "Consumer", "Batch"))):
        del shape["properties"][given]
        shape["required"].remove(given)
    host = shapes["Host"]
    old = {"type": "string", "deprecated": True, "description": "The old name of env: {file: …}."}
    host["properties"][OLD_SOURCE] = old
    host["properties"]["env"]["default"] = {"file": ".env"}
    shapes["EnvSource"]["oneOf"] = [{"required": ["file"]}, {"required": ["server"]}]
    shapes["Defaults"] = host | {"title": "Defaults", "description": "What all servers share.", "required": []}
    shapes["Consumer"]["properties"]["healthcheck"]["anyOf"].append({"const": NO_CHECK})
    shapes["Batch"]["required"].remove("container")  # with process: it may be left out
    shapes["Batch"]["properties"]["process"]["anyOf"].append(shapes["ProcessEntry"]["properties"]["command"])
    shapes["Stream"]["properties"]["tls"]["anyOf"].append({"type": "boolean"})
    host["required"] = ["address"]  # the rest may come from the defaults
    found["properties"]["defaults"] = {"$ref": "#/$defs/Defaults"}
    found |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hosts.yaml"}
    return json.dumps(found, indent=2)


if __name__ == "__main__":
    print(schema())
