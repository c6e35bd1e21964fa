"""Reports as Trivy and Grype document them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from gpu_runbook.laptop.inventory.address import Target

NOW = datetime(2026, 4, 20, 12, 0, 0, tzinfo=timezone.utc)
DIGEST, IMAGE_ID = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
REPOSITORY = "registry.lan:5000/azaion/annotation-queue"
TARGET = Target("annotation-queue", "azaion/annotation-queue", "1.0", f"{REPOSITORY}@{DIGEST}", IMAGE_ID)


def hours_ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S") + ".123456789Z"


def hole(number: int, severity: str = "HIGH", package: str = "openssl", fixed: str = "3.0.2") -> dict[str, Any]:
    """What Trivy says of a vulnerability."""
    return {
        "VulnerabilityID": f"CVE-2026-{number}",
        "PkgName": package,
        "InstalledVersion": "3.0.1",
        "FixedVersion": fixed,
        "Status": "fixed" if fixed else "affected",
        "Severity": severity,
    }


def trivy(*holes: dict[str, Any], made: str = hours_ago(2), **about: Any) -> dict[str, Any]:
    """As of v0.5x: `Vulnerabilities` is left out where there are none."""
    found: dict[str, Any] = {"Target": f"{REPOSITORY} (debian 12.5)", "Class": "os-pkgs", "Type": "debian"}
    metadata = {
        "ImageID": IMAGE_ID,
        "RepoTags": [f"{REPOSITORY}:1.0"],
        "RepoDigests": [f"{REPOSITORY}@{DIGEST}"],
        "OS": {"Family": "debian", "Name": "12.5"},
    }
    return {
        "SchemaVersion": 2,
        "CreatedAt": made,
        "ArtifactName": f"{REPOSITORY}:1.0",
        "ArtifactType": "container_image",
        "Metadata": {**metadata, **about},
        "Results": [found | ({"Vulnerabilities": list(holes)} if holes else {})],
    }


def match(number: int, severity: str = "High", package: str = "openssl", fixed: str = "3.0.2") -> dict[str, Any]:
    """What Grype says of a vulnerability."""
    return {
        "vulnerability": {
            "id": f"CVE-2026-{number}",
            "severity": severity,
            "fix": {"versions": [fixed] if fixed else [], "state": "fixed" if fixed else "not-fixed"},
        },
        "relatedVulnerabilities": [],
        "artifact": {"name": package, "version": "3.0.1", "type": "deb"},
    }


def grype(*matches: dict[str, Any], made: str = hours_ago(2), **about: Any) -> dict[str, Any]:
    target = {
        "userInput": f"{REPOSITORY}:1.0",
        "imageID": IMAGE_ID,
        "manifestDigest": f"sha256:{'d' * 64}",
        "tags": [f"{REPOSITORY}:1.0"],
        "repoDigests": [f"{REPOSITORY}@{DIGEST}"],
    }
    return {
        "matches": list(matches),
        "source": {"type": "image", "target": {**target, **about}},
        "distro": {"name": "debian", "version": "12", "idLike": []},
        "descriptor": {"name": "grype", "version": "0.92.0", "timestamp": made, "db": {}},
    }
