"""What a registry says of an image: a registry as a local HTTP server, with the documents that builders push."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.protocol.requests import EngineLogin
from gpu_runbook.protocol.snapshot import ImageIdentity
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import registry, registry_http
from gpu_runbook.server.docker.registry_http import Undescribed
from gpu_runbook.server.verbs import origin

NAME = "azaion/annotation-queue"
PASSWORD = "hunter2hunter2"
BASIC = "Basic " + base64.b64encode(f"deployer:{PASSWORD}".encode()).decode()
COMMIT = "1a2b3c4d" + "0" * 32
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYERS = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Registry:
    """`held`: by the end of a path, what is there. `gate`: how it wants a login; `asked`: path and authorization."""

    address: str = ""
    held: dict[str, bytes] = field(default_factory=dict)
    gate: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)

    def push(self, document: Any, kind: str = "manifests") -> str:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.held[f"{kind}/{digest(raw)}"] = raw
        return digest(raw)

    def image(self, machine: str = "amd64", kind: str = OCI, **about: Any) -> str:
        """One that was built for a platform; the digest of its manifest."""
        labels = about.pop("labels", {"org.opencontainers.image.revision": COMMIT})
        config = {
            "architecture": machine,
            "os": "linux",
            "created": "2026-11-28T10:15:30.123456789+01:00",
            "config": {"Cmd": ["python3", "-m", "queue"], "Labels": labels, "User": "2000:2000"},
            "rootfs": {"type": "layers", "diff_ids": LAYERS},
            "history": [{"created_by": "RUN pip install", "comment": "buildkit.dockerfile.v0"}],
            **about,
        }
        body = self.push(config, "blobs")
        return self.push({"schemaVersion": 2, "mediaType": kind, "config": {"digest": body, "size": 1}, "layers": []})

    def index(self, *parts: tuple[str, str], kind: str = OCI_INDEX) -> str:
        """One for several platforms, as buildx pushes it: beside each image there is an attestation of it."""
        listed = [
            {"mediaType": OCI, "digest": one, "size": 1, "platform": {"os": "linux", "architecture": machine}}
            for machine, one in parts
        ]
        beside = {"mediaType": OCI, "digest": "sha256:" + "a" * 64, "size": 1}
        unknown = {**beside, "platform": {"os": "unknown", "architecture": "unknown"}}
        return self.push({"schemaVersion": 2, "mediaType": kind, "manifests": [*listed, unknown]})


class Handler(BaseHTTPRequestHandler):
    registry: Registry

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.registry.asked.append((self.path, authorization))
        answers = self.registry.answers.get(self.path.partition("?")[0])
        if answers:
            answers(self)
        elif self.registry.gate and authorization not in (BASIC, "Bearer of-the-registry"):
            self.said(b"{}", 401, WWW_Authenticate=self.registry.gate)
        else:
            found = self.registry.held.get(self.path.removeprefix(f"/v2/{NAME}/"))
            self.said(found if found is not None else b'{"errors":[]}', 404 if found is None else 200)

    def said(self, raw: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """What was asked stands in `asked`."""


@contextmanager
def listening() -> Iterator[Registry]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Registry(f"127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Bound", (Handler,), {"registry": found})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def there() -> Iterator[Registry]:
    with listening() as found:
        yield found


class Engine:
    """One that says how it speaks to registries, as `docker info` shows it."""

    def __init__(self, **info: Any) -> None:
        self.info = {"RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": ["127.0.0.0/8"]}, **info}

    def get(self, path: str, shape: Any) -> Any:
        assert path == "/info"
        return self.info


def made(**info: Any) -> Any:
    return Engine(**info)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64"))


def about(there: Registry, digest: str, *, login: bool = False, engine: Any = None) -> ImageIdentity:
    given = EngineLogin("deployer", PASSWORD, there.address) if login else None
    image = f"{there.address}/{NAME}@{digest}"
    return registry.identity(*registry_http.about(engine or made(), image, given))


def untold(there: Registry, digest: str, **how: Any) -> str:
    with pytest.raises(Undescribed) as caught:
        about(there, digest, **how)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [OCI, DOCKER], ids=["oci", "docker"])
def test_an_image_for_one_platform_says_when_and_from_what_it_was_built(there: Registry, kind: str) -> None:
    found = about(there, there.image(kind=kind))
    assert (found.built, found.revision, found.platform) == ("2026-11-28T09:15:30Z", COMMIT, "linux/amd64")
    assert (found.layers, found.manifest) == (tuple(LAYERS), "")
    assert f"blobs/{found.id}" in there.held


@pytest.mark.parametrize("kind", [OCI_INDEX, LIST], ids=["oci", "docker"])
def test_of_several_platforms_that_of_this_server_is_meant(there: Registry, kind: str) -> None:
    ours, theirs = there.image(), there.image("arm64", labels={"org.opencontainers.image.revision": "7" * 40})
    for parts in ((("amd64", ours), ("arm64", theirs)), (("arm64", theirs), ("amd64", ours))):
        found = about(there, there.index(*parts, kind=kind))
        assert (found.manifest, found.platform, found.revision) == (ours, "linux/amd64", COMMIT)


@pytest.mark.parametrize(
    ("labels", "created", "built", "revision"),
    [
        ({"org.opencontainers.image.created": "2026-11-27T08:00:00Z"}, "2026-11-28T10:15:30Z", "2026-11-27T08:00", ""),
        ({"org.opencontainers.image.created": "yesterday"}, "2026-11-28T10:15:30Z", "2026-11-28T10:15", ""),
        ({}, "1970-01-01T00:00:00Z", "", ""),
        ({}, "0001-01-01T00:00:00Z", "", ""),
        (None, None, "", ""),
        ({"org.opencontainers.image.revision": "a\x1b[2J\nb"}, None, "", "a\N{REPLACEMENT CHARACTER}[2J b"),
    ],
    ids=["label", "label-is-no-time", "reproducible", "zero", "neither", "steers"],
)
def test_what_an_image_says_of_itself(
    there: Registry, labels: Any, created: str | None, built: str, revision: str
) -> None:
    found = about(there, there.image(labels=labels, created=created))
    assert (found.built[:16], found.revision) == (built, revision)


@pytest.mark.parametrize("gate", ['Basic realm="registry"', 'Bearer realm="http://{}/token",service="registry"'])
def test_a_login_is_given_to_whom_the_registry_names(there: Registry, gate: str) -> None:
    there.gate = gate.format(there.address)
    there.answers["/token"] = lambda handler: handler.said(b'{"token":"of-the-registry","expires_in":60}')  # type: ignore[attr-defined]
    assert about(there, there.image(), login=True).revision == COMMIT
    token = [(path, given) for path, given in there.asked if path.startswith("/token")]
    if "Bearer" in gate:
        assert token == [("/token?service=registry&scope=repository%3Aazaion%2Fannotation-queue%3Apull", BASIC)]
    assert len(there.asked) == 3 + len(token), "a challenge is answered once"


def test_a_login_is_for_its_own_registry_alone(there: Registry) -> None:
    there.gate = 'Basic realm="registry"'
    image = f"{there.address}/{NAME}@{there.image()}"
    with pytest.raises(Undescribed, match="wants a login"):
        registry_http.about(made(), image, EngineLogin("deployer", PASSWORD, "other.lan"))
    assert [given for _, given in there.asked] == [""]


def test_whoever_gives_tokens_elsewhere_without_tls_gets_no_password(there: Registry) -> None:
    with listening() as other:
        other.answers["/token"] = lambda handler: handler.said(b'{"token":"of-the-registry"}')  # type: ignore[attr-defined]
        there.gate = f'Bearer realm="http://{other.address}/token"'
        assert about(there, there.image(), login=True).revision == COMMIT
        assert [given for _, given in other.asked] == [""]


def test_where_a_blob_lies_elsewhere_the_login_stays_at_home(there: Registry) -> None:
    """As registries before an object store have it."""
    there.gate = 'Basic realm="registry"'
    made = there.image()
    (blob,) = [name for name in there.held if name.startswith("blobs/")]
    with listening() as store:
        store.held["/signed"] = there.held[blob]
        store.answers["/signed"] = lambda handler: handler.said(store.held["/signed"])  # type: ignore[attr-defined]
        there.answers[f"/v2/{NAME}/{blob}"] = lambda handler: handler.said(  # type: ignore[attr-defined]
            b"", 307, Location=f"http://{store.address}/signed?key=1"
        )
        assert about(there, made, login=True).revision == COMMIT
        assert store.asked == [("/signed?key=1", "")]


def test_what_has_another_digest_is_no_answer(there: Registry) -> None:
    made, forged = there.image(), there.image(labels={"org.opencontainers.image.revision": "7" * 40})
    there.held[f"manifests/{made}"] = there.held[f"manifests/{forged}"]
    assert untold(there, made) == "gives something that has another digest"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "no JSON mapping"),
        (b"[" * 100_000, "no JSON mapping"),
        ({"schemaVersion": 1, "history": []}, "otherwise than images are described"),
        ({"manifests": "none"}, "otherwise than images are described"),
        ({"manifests": []}, "has none in it for x86_64"),
        ({"config": {"digest": "sha256:../../.."}}, "otherwise than images are described"),
        ({"config": {"digest": "sha256:" + "9" * 64}}, "answers HTTP 404"),
        (b" " * (5 << 20), "gives more than 4 MiB"),
    ],
    ids=["empty", "deep", "schema-1", "no-list", "no-platform", "no-digest", "no-blob", "too-long"],
)
def test_what_is_no_image_is_told_as_that(there: Registry, document: Any, says: str) -> None:
    assert says in untold(there, there.push(document))


@pytest.mark.parametrize(
    "config",
    [{"config": "none"}, {"rootfs": {"diff_ids": ["sha256:1"]}}, {"config": {"Labels": {"a": 5}}}, {"os": 7}],
    ids=["config", "layers", "labels", "os"],
)
def test_a_config_that_is_none_is_told_as_that(there: Registry, config: Any) -> None:
    assert "otherwise than images are described" in untold(there, there.image(**config))


def test_two_variants_of_one_platform_leave_open_which_it_is(there: Registry) -> None:
    ours, other = there.image(), there.image(labels={})
    assert untold(there, there.index(("amd64", ours), ("amd64", other))) == "has several images for linux/amd64 in one"


def test_a_redirect_leads_to_no_file(there: Registry) -> None:
    made = there.image()
    there.answers[f"/v2/{NAME}/manifests/{made}"] = lambda handler: handler.said(  # type: ignore[attr-defined]
        b"", 307, Location="file:///etc/hostname"
    )
    assert "answers HTTP 307" in untold(there, made)


@pytest.mark.parametrize(
    ("config", "server", "secure"),
    [
        ({}, "127.0.0.1:5000", False),
        ({"IndexConfigs": {"127.0.0.1:5000": {"Secure": True}}}, "127.0.0.1:5000", True),
        ({"IndexConfigs": {"registry.invalid:5000": {"Secure": False}}}, "registry.invalid:5000", False),
        ({"InsecureRegistryCIDRs": ["10.0.0.0/8"]}, "10.1.2.3:5000", False),
        ({"InsecureRegistryCIDRs": ["10.0.0.0/8"]}, "11.1.2.3:5000", True),
        ({"InsecureRegistryCIDRs": ["nonsense"]}, "11.1.2.3:5000", True),
        ({"IndexConfigs": None, "InsecureRegistryCIDRs": None}, "no.such.name.invalid", True),
    ],
)
def test_tls_is_done_without_only_where_the_engine_does(config: dict[str, Any], server: str, secure: bool) -> None:
    assert registry_http._is_secure(config, server) is secure


@pytest.mark.parametrize(
    ("info", "host", "proxies"),
    [
        ({}, "registry.lan:5000", {}),
        ({"HttpsProxy": "http://proxy:3128", "HttpProxy": ""}, "registry.lan:5000", {"https": "http://proxy:3128"}),
        ({"HttpsProxy": "http://proxy:3128", "NoProxy": ".lan"}, "registry.lan:5000", {}),
        ({"HttpsProxy": "http://proxy:3128"}, "127.0.0.1:5000", {}),
    ],
)
def test_the_engines_own_proxies_are_used(info: dict[str, Any], host: str, proxies: dict[str, str]) -> None:
    assert registry_http._proxies(info, host) == proxies


@pytest.mark.parametrize(
    ("name", "server", "host", "path"),
    [
        ("azaion/queue", "docker.io", "registry-1.docker.io", "azaion/queue"),
        ("python", "docker.io", "registry-1.docker.io", "library/python"),
        ("localhost/queue", "localhost", "localhost", "queue"),
        ("ghcr.io/azaion/queue", "ghcr.io", "ghcr.io", "azaion/queue"),
        ("registry:5000/queue", "registry:5000", "registry:5000", "queue"),
    ],
)
def test_which_registry_a_name_stands_for(name: str, server: str, host: str, path: str) -> None:
    engine = made(RegistryConfig={"IndexConfigs": {server: {"Secure": True}}})
    found = registry_http.Repository(engine, name, None)
    assert (found.server, found._host, found._path) == (server, host, path)


def test_a_python_without_tls_says_so_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find", lambda address: Engine())
    monkeypatch.setitem(sys.modules, "ssl", None)
    monkeypatch.delitem(sys.modules, registry_http.__name__)
    monkeypatch.delattr(sys.modules[registry.__package__], "registry_http")
    image = f"registry.lan/{NAME}@sha256:{'9' * 64}"
    said = origin.answer({"docker_host": "", "images": [image], "login": None}, lambda event: None)
    assert said == {"images": {}, "untold": {image: "python3 on this server has no ssl"}}


def test_the_verb_answers_for_each_image_what_it_is_or_why_that_is_not_known(
    there: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find", lambda address: Engine())
    known, gone = f"{there.address}/{NAME}@{there.image()}", f"{there.address}/{NAME}@sha256:{'9' * 64}"
    said = origin.answer({"docker_host": "", "images": [known, gone], "login": None}, lambda event: None)
    assert (list(said["images"]), said["untold"]) == ([known], {gone: "the registry answers HTTP 404"})
    assert said["images"][known]["built"] == "2026-11-28T09:15:30Z"
