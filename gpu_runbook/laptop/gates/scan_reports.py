"""Reads what Trivy (SchemaVersion 2) and Grype write as JSON into one kind of value, strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gpu_runbook.laptop.gates import parsing
from gpu_runbook.laptop.gates.parsing import Misshapen, entry, text
from gpu_runbook.protocol.values import dataclass

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "NEGLIGIBLE")
PACKAGE_CLASSES = {"os-pkgs", "lang-pkgs"}
OTHER = "UNKNOWN"  # the scanner's own word, and what any other word counts as


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """A known hole in a package. `severity` is one of SEVERITIES or OTHER; `fixed` is empty without a fixed version."""

    severity: str
    id: str
    package: str
    version: str
    fixed: str


@dataclass(frozen=True)
class Report:
    """What a scanner says of one image. `made` is None, and texts are empty, where it does not say.

    `digests` are the image's in registries, `layers` those of what its layers hold; `left_out` counts the critical and
    high findings that the scanner's own rules suppressed; `saw_packages` is None where the scanner does not tell.
    """

    scanner: str
    made: datetime | None
    image_id: str
    digests: tuple[str, ...]
    system: str
    end_of_life: bool
    saw_packages: bool | None
    findings: tuple[Finding, ...]
    left_out: int
    layers: tuple[str, ...] = ()


def read(raw: bytes) -> Report:
    """Raises Misshapen for what is not whole, or is no report of the two kinds."""
    data = parsing.parse(raw)
    if isinstance(data, dict) and "SchemaVersion" in data:
        version = entry(data, "SchemaVersion", int)
        if version != 2:
            raise Misshapen(f"it is of Trivy's schema version {version}, and 2 is known here")
        return _of_trivy(data)
    if isinstance(data, dict) and "matches" in data and "descriptor" in data:
        name = text(entry(data, "descriptor", dict), "name")
        if name != "grype":
            raise Misshapen("descriptor.name is not grype")
        return _of_grype(data)
    raise Misshapen("it is no JSON report of Trivy or Grype")


def _of_trivy(data: Any) -> Report:
    about = entry(data, "Metadata", dict, {})
    system = entry(about, "OS", dict, {})
    results = entry(data, "Results", list, [])
    classes = {text(result, "Class", "") for result in results}
    left_out = [
        text(entry(one, "Finding", dict, {}), "Severity", "")
        for result in results
        for one in entry(result, "ExperimentalModifiedFindings", list, [])
    ]
    return Report(
        "Trivy",
        parsing.moment(data, "CreatedAt"),
        text(about, "ImageID", ""),
        _digests(about, "RepoDigests"),
        f"{text(system, 'Family', '')} {text(system, 'Name', '')}".strip(),
        entry(system, "EOSL", bool, False),
        bool(classes & PACKAGE_CLASSES),
        _unique(_vulnerability(one) for each in results for one in entry(each, "Vulnerabilities", list, [])),
        _grave(left_out),
        tuple(parsing.texts(about, "DiffIDs")),
    )


def _vulnerability(one: Any) -> Finding:
    return Finding(
        _severity(text(one, "Severity", OTHER)),
        text(one, "VulnerabilityID"),
        text(one, "PkgName"),
        text(one, "InstalledVersion", ""),
        text(one, "FixedVersion", ""),
    )


def _of_grype(data: Any) -> Report:
    source = entry(data, "source", dict)
    about = source.get("target")
    image = about if isinstance(about, dict) and text(source, "type", "") == "image" else {}
    system = entry(data, "distro", dict, {})
    manifest = text(image, "manifestDigest", "")
    digests = _digests(image, "repoDigests")
    left_out = [
        text(entry(one, "vulnerability", dict), "severity", "") for one in entry(data, "ignoredMatches", list, [])
    ]
    return Report(
        "Grype",
        parsing.moment(data["descriptor"], "timestamp", "descriptor.timestamp"),
        text(image, "imageID", ""),
        (*digests, manifest) if manifest and manifest not in digests else digests,
        f"{text(system, 'name', '')} {text(system, 'version', '')}".strip(),
        False,
        None,
        _unique(map(_match, entry(data, "matches", list))),
        _grave(left_out),
        tuple(text(layer, "digest", "") for layer in entry(image, "layers", list, [])),
    )


def _match(one: Any) -> Finding:
    hole, package = entry(one, "vulnerability", dict), entry(one, "artifact", dict)
    versions = parsing.texts(entry(hole, "fix", dict, {}), "versions", "fix.versions")
    return Finding(
        _severity(text(hole, "severity", OTHER)),
        text(hole, "id"),
        text(package, "name"),
        text(package, "version", ""),
        parsing.line(", ".join(versions)),
    )


def _unique(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """One hole in one version of a package counts once, in however many places of the image it lies."""
    return tuple(dict.fromkeys(findings))


def _severity(word: str) -> str:
    return word.upper() if word.upper() in SEVERITIES else OTHER


def _grave(words: list[str]) -> int:
    return sum(_severity(word) in SEVERITIES[:2] for word in words)


def _digests(image: Any, key: str) -> tuple[str, ...]:
    """What stands behind the @ of repository@sha256:…"""
    return tuple(dict.fromkeys(name.rpartition("@")[2] for name in parsing.texts(image, key)))
