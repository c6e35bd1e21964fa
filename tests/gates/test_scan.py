"""Is an image free of critical and high holes? Reports of both scanners, what makes one useless, and commands."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.gates import scan
from gpu_runbook.laptop.inventory.address import Target
from gpu_runbook.laptop.inventory.gate_entries import Scan
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from tests.gates.scans import DIGEST, IMAGE_ID, NOW, REPOSITORY, TARGET, grype, hole, hours_ago, match, trivy

OTHER = f"sha256:{'c' * 64}"
LAYERS = (f"sha256:{'1' * 64}", f"sha256:{'2' * 64}")


def write(folder: Path, content: Any) -> Path:
    path = folder / "report.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def judged(folder: Path, content: Any, target: Target = TARGET, allow: str | None = None, **entry: Any) -> Check:
    """The row for a report of this content."""
    if allow is not None:
        entry["allow"] = folder / "allow.yaml"
        entry["allow"].write_text(allow)
    return of(Scan(report=write(folder, content), **entry), target)


def of(entry: Scan, target: Target = TARGET) -> Check:
    row = scan.check("queue scan", entry, target, NOW)
    assert row.name == "queue scan"
    assert row.sentence.isprintable() and row.hint.isprintable()
    assert bool(row.hint) == (row.level != OK)
    return row


def both(*severities: str) -> list[dict[str, Any]]:
    """A report of each scanner with one finding of each severity."""
    numbered = list(enumerate(severities))
    return [trivy(*(hole(*one) for one in numbered)), grype(*(match(*one) for one in numbered))]


def test_a_clean_report_passes(tmp_path: Path) -> None:
    for report, scanner in ((trivy(), "Trivy"), (grype(), "Grype")):
        row = judged(tmp_path, report)
        assert (row.level, row.sentence) == (OK, f"no critical and no high findings; {scanner}, 2 h ago")
        assert row.figures | {"age": 0} == {
            **dict.fromkeys(("critical", "high", "medium", "low", "negligible", "unknown", "accepted", "left_out"), 0),
            "scanner": scanner,
            "age": 0,
        }
        assert row.figures["age"] == 7200


@pytest.mark.parametrize(
    ("severities", "level", "sentence"),
    [
        (("medium", "MEDIUM", "Low"), OK, "no critical and no high findings; 2 medium; 1 low; "),
        (("Negligible",), OK, "no critical and no high findings; 1 negligible; "),
        (("Critical", "low"), CRITICAL, "1 critical: CVE-2026-0 in openssl 3.0.1 (fixed in 3.0.2); 1 low; "),
        (
            ("High", "CRITICAL"),
            CRITICAL,
            "1 critical and 1 high: CVE-2026-1 in openssl 3.0.1 (fixed in 3.0.2), CVE-2026-0 in",
        ),
        (("hIgH",), CRITICAL, "1 high: CVE-2026-0 in"),
        (("UNKNOWN", "Medium"), WARNING, "no critical and no high findings; 1 medium; 1 of unknown severity; "),
        (("apocalyptic",), WARNING, "no critical and no high findings; 1 of unknown severity; "),
    ],
)
def test_each_severity_counts_in_both(tmp_path: Path, severities: tuple[str, ...], level: str, sentence: str) -> None:
    for report in both(*severities):
        row = judged(tmp_path, report)
        assert (row.level, row.sentence[: len(sentence)]) == (level, sentence)


def test_five_findings_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    for report in both(*["high"] * 7):
        row = judged(tmp_path, report)
        assert row.sentence.startswith("7 high: ")
        assert [f"CVE-2026-{number} " in row.sentence for number in range(7)] == [True] * 5 + [False] * 2
        assert " and 2 more; " in row.sentence
        assert row.figures["high"] == 7


def test_one_hole_in_several_places_counts_once(tmp_path: Path) -> None:
    report = trivy(hole(1), hole(1), hole(1, package="libssl"))
    report["Results"] *= 2
    assert judged(tmp_path, report).figures["high"] == 2
    assert judged(tmp_path, grype(match(1), match(1), match(1, package="libssl"))).figures["high"] == 2


def test_a_hole_without_a_fix_blocks_as_well(tmp_path: Path) -> None:
    for report in (trivy(hole(1, fixed="")), grype(match(1, fixed=""))):
        row = judged(tmp_path, report)
        assert (row.level, "CVE-2026-1 in openssl 3.0.1 (no fix yet)" in row.sentence) == (CRITICAL, True)


def test_a_finding_that_could_steer_the_terminal_does_not(tmp_path: Path) -> None:
    row = judged(tmp_path, trivy(hole(1, package="a\x1b[2J\nb" + "c" * 5000)))
    assert row.level == CRITICAL
    assert len(row.sentence) < 400


ACCEPTED = '- {id: cve-2026-1, expires: 2026-04-20, reason: "not reachable"}\n'


def test_an_accepted_finding_passes_through_its_last_day(tmp_path: Path) -> None:
    for report in (trivy(hole(1), hole(2, "low")), grype(match(1), match(2, "low"))):
        row = judged(tmp_path, report, allow=ACCEPTED)
        assert row.level == OK
        assert row.sentence.startswith("no critical and no high findings; 1 low; 1 accepted; ")
        assert row.figures["accepted"] == 1
        late = judged(tmp_path, report, allow=ACCEPTED.replace("04-20", "04-19"))
        assert late.level == CRITICAL
        assert "accepted no longer: cve-2026-1 (2026-04-19)" in late.sentence


def test_an_allowance_is_for_its_finding_and_package_alone(tmp_path: Path) -> None:
    report = trivy(hole(1), hole(1, package="libssl"), hole(12))
    row = judged(tmp_path, report, allow=ACCEPTED)
    assert (row.figures["high"], "CVE-2026-12 in openssl" in row.sentence) == (1, True)
    row = judged(tmp_path, report, allow=ACCEPTED.replace("id:", "package: LibSSL, id:"))
    assert row.figures["high"] == 2
    assert "CVE-2026-1 in libssl" not in row.sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- {id: CVE-1, expires: 2026-12-31}", "allow.yaml:1: reason is expected, why it is accepted"),
        ('- {id: CVE-1, expires: 2026-12-31, reason: " "}', "allow.yaml:1: reason is expected"),
        ("# reviewed\n- {id: CVE-1, reason: x}", "allow.yaml:2: expires is expected, a day such as 2026-12-31"),
        ("- {id: CVE-1, expires: never, reason: x}", "allow.yaml:1: expires is expected"),
        ("- {id: CVE-1, expires: 2026-02-30, reason: x}", "allow.yaml:1: expires is expected"),
        ("- {id: CVE-1, expires: 2026-12-31T00:00:00Z, reason: x}", "allow.yaml:1: expires is expected"),
        ("- {id: CVE-1, expires: 2026, reason: x}", "allow.yaml:1: expires is expected"),
        ('- {id: CVE-1, expires: "20261231", reason: x}', "allow.yaml:1: expires is expected"),
        ("- {expires: 2026-12-31, reason: x}", "allow.yaml:1: id is expected"),
        ("- {id: A, expires: 2026-12-31, reason: x, package: 7}", "allow.yaml:1: package is expected"),
        ("- {id: A, expire: 2026-12-31, reason: x}", 'expire is not a known key; did you mean "expires"?'),
        (f"{ACCEPTED}- {{id: CVE-2026-1, expires: 2027-01-01, reason: y}}", "allow.yaml:2: CVE-2026-1 stands twice"),
        ("- CVE-1\n- CVE-2\n- CVE-3\n- CVE-4\n", "an entry with id, expires and reason is expected; and 1 more"),
        ("CVE-1: x", "does not hold a list"),
        ("- [", "is not YAML"),
        ("", "is empty"),
        ("- !!python/object:os.system {}", "a tag (!…) is not read here"),
    ],
)  # fmt: skip
def test_a_list_with_a_mistake_in_it_accepts_nothing(tmp_path: Path, text: str, sentence: str) -> None:
    row = judged(tmp_path, trivy(), allow=text)
    assert (row.level, row.sentence.startswith("scan.allow: "), sentence in row.sentence) == (UNKNOWN, True, True), row


def test_a_list_with_comments_alone_accepts_nothing_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    assert judged(tmp_path, trivy(), allow="# nothing yet\n").level == OK
    row = of(Scan(report=write(tmp_path, trivy()), allow=tmp_path / "gone.yaml"))
    assert (row.level, "gone.yaml does not exist" in row.sentence) == (UNKNOWN, True)


@pytest.mark.parametrize("make", [trivy, grype])
def test_a_report_of_another_image_is_refused(tmp_path: Path, make: Any) -> None:
    keys = ("ImageID", "RepoDigests") if make is trivy else ("imageID", "repoDigests")
    others = dict(zip(keys, (OTHER, [f"{REPOSITORY}@{OTHER}"]), strict=True))
    row = judged(tmp_path, make(**others))
    assert row.level == CRITICAL
    assert row.sentence.startswith(f"report.json is of another image: of {OTHER[:19]}")
    assert row.sentence.count(OTHER[:19]) == 1
    assert row.sentence.endswith(f"and not of {DIGEST[:19]} (id {IMAGE_ID[:19]})")
    # either of the two is enough: an image that was tagged anew has other digests, one that was built anew has neither
    assert judged(tmp_path, make(**{keys[0]: OTHER})).level == OK
    assert judged(tmp_path, make(**{keys[1]: []})).level == OK
    # before the image is on the server its id is not known
    unknown = dataclasses.replace(TARGET, image_id="")
    row = judged(tmp_path, make(**{keys[1]: []}), unknown)
    assert (row.level, row.figures) == (UNKNOWN, {"awaits": "image"})
    assert "shows once the image is on the server" in row.sentence
    assert judged(tmp_path, make(**others), unknown).level == UNKNOWN
    assert judged(tmp_path, make(**{keys[0]: OTHER}), unknown).level == OK
    assert judged(tmp_path, make(**{keys[0]: "", keys[1]: others[keys[1]]}), unknown).level == CRITICAL


@pytest.mark.parametrize("make", [trivy, grype])
@pytest.mark.parametrize(
    ("theirs", "image_id", "level"),
    [
        pytest.param(LAYERS, DIGEST, OK, id="the same layers"),
        pytest.param(LAYERS[:1], DIGEST, CRITICAL, id="others"),
        pytest.param((), DIGEST, UNKNOWN, id="not told, and an id of its manifest"),
        pytest.param((), IMAGE_ID, CRITICAL, id="not told, and another id"),
        pytest.param(LAYERS, IMAGE_ID, OK, id="the same layers, and another config"),
    ],
)
def test_where_ids_are_of_another_kind_layers_tell_an_image(
    tmp_path: Path, make: Any, theirs: tuple[str, ...], image_id: str, level: str
) -> None:
    """containerd's image store calls an image by its manifest, and scanners call it by its config."""
    ours = dataclasses.replace(TARGET, image_id=image_id, layers=LAYERS)
    if make is trivy:
        report = make(ImageID=OTHER, RepoDigests=[], DiffIDs=list(theirs))
    else:
        report = make(imageID=OTHER, repoDigests=[], layers=[{"digest": one} for one in theirs])
    row = judged(tmp_path, report, ours)
    assert row.level == level, row
    assert (level != UNKNOWN) or "cannot be told by this server's ids" in row.sentence


def test_a_report_that_says_of_no_image_is_refused(tmp_path: Path) -> None:
    folder = grype()
    folder["source"] = {"type": "directory", "target": "/src"}
    for report in (trivy(ImageID="", RepoDigests=[]), {**trivy(), "Metadata": None}, folder):
        row = judged(tmp_path, report)
        assert (row.level, "does not say which image it is of" in row.sentence) == (UNKNOWN, True)


def test_age_is_judged(tmp_path: Path) -> None:
    for make in (trivy, grype):
        row = judged(tmp_path, make(made=hours_ago(24 * 8)))
        assert (row.level, row.sentence) == (CRITICAL, "report.json is 8 days old, and 7 days are allowed")
        assert judged(tmp_path, make(made=hours_ago(24 * 8)), max_age=9 * 86400).level == OK
        assert judged(tmp_path, make(made="2026-04-20T14:00:00+02:00")).figures["age"] == 0
        row = judged(tmp_path, make(made=hours_ago(-5)))
        assert (row.level, row.sentence) == (UNKNOWN, "report.json was made 5 h from now")
        row = judged(tmp_path, make(made=""))
        assert (row.level, row.sentence) == (UNKNOWN, "report.json does not say when it was made")
        row = judged(tmp_path, make(made="yesterday"))
        assert (row.level, "is no time" in row.sentence) == (UNKNOWN, True)


def test_a_report_that_looked_at_no_packages_is_no_answer(tmp_path: Path) -> None:
    secrets = {**trivy(), "Results": [{"Target": "/app", "Class": "secret", "Secrets": []}]}
    for report in (
        secrets,
        {**trivy(), "Results": []},
        {key: value for key, value in trivy().items() if key != "Results"},
    ):
        row = judged(tmp_path, report)
        assert (row.level, "looked at no packages" in row.sentence) == (UNKNOWN, True)
    assert judged(tmp_path, {**trivy(), "Results": [{"Class": "lang-pkgs", "Type": "python-pkg"}]}).level == OK


def test_a_system_that_nobody_mends_any_more_is_critical(tmp_path: Path) -> None:
    row = judged(tmp_path, trivy(OS={"Family": "debian", "Name": "9.13", "EOSL": True}))
    assert (row.level, row.sentence.partition(";")[0]) == (CRITICAL, '"debian 9.13" gets no security updates any more')


def test_what_the_scanners_own_rules_left_out_is_said(tmp_path: Path) -> None:
    ignored = trivy()
    ignored["Results"][0]["ExperimentalModifiedFindings"] = [
        {"Type": "vulnerability", "Status": "ignored", "Finding": hole(1)},
        {"Type": "vulnerability", "Status": "not_affected", "Finding": hole(2, "LOW")},
    ]
    for report in (ignored, {**grype(), "ignoredMatches": [match(1), match(2, "Low")]}):
        row = judged(tmp_path, report)
        assert (row.level, "1 critical or high left out by the scanner's own rules" in row.sentence) == (WARNING, True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (json.dumps(trivy(hole(1))).encode()[:400], "it is cut off or damaged"),
        (b"<html>", "it is no JSON"),
        (b"{" * 200_000, "it is "),
        (b"[" * 200_000, "it is "),
        ({}, "it is no JSON report of Trivy or Grype"),
        ([], "it is no JSON report of Trivy or Grype"),
        ({"bomFormat": "CycloneDX"}, "it is no JSON report of Trivy or Grype"),
        ({**trivy(), "SchemaVersion": 3}, "it is of Trivy's schema version 3, and 2 is known here"),
        ({**trivy(), "SchemaVersion": "2"}, "SchemaVersion is not a whole number"),
        ({**trivy(), "SchemaVersion": True}, "SchemaVersion is not a whole number"),
        ({**trivy(), "Results": {}}, "Results is not a list"),
        (trivy({"Severity": "HIGH"}), "VulnerabilityID is missing"),
        (trivy(RepoDigests=[7]), "RepoDigests is not a list of texts"),
        ({**grype(), "descriptor": {"name": "syft"}}, "descriptor.name is not grype"),
        ({**grype(), "matches": None}, "matches is not a list"),
        ({**grype(), "matches": [{"vulnerability": "CVE-1"}]}, "vulnerability is not a mapping"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_named_with_its_file(tmp_path: Path, content: Any, sentence: str) -> None:
    row = judged(tmp_path, content)
    assert row.level == UNKNOWN
    assert row.sentence.startswith(f"report.json cannot be used: {sentence}"), row


def test_a_report_that_windows_wrote_is_read(tmp_path: Path) -> None:
    text = json.dumps(trivy())
    for encoded in (text.encode("utf-16"), text.encode("utf-8-sig")):
        assert judged(tmp_path, encoded).level == OK


def test_a_report_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    row = of(Scan(report=tmp_path / "{service}-{tag}.json"))
    assert (row.level, row.sentence) == (UNKNOWN, f"there is no report {tmp_path}/annotation-queue-1.0.json")
    assert f"--output {tmp_path}/annotation-queue-1.0.json {REPOSITORY}@{DIGEST}" in row.hint
    assert of(Scan(report=tmp_path)).sentence == f"{tmp_path} is no file"
    row = of(Scan(report=tmp_path / "{digest}.json"))
    assert (row.level, row.sentence.startswith("hosts.yaml: scan.report: {digest} is none of")) == (UNKNOWN, True)
    assert "cannot be read: " in of(Scan(report=write(tmp_path, trivy()) / "below")).sentence
    assert "cannot be read: " in of(Scan(report=tmp_path / ("x" * 300))).sentence


def test_a_report_may_come_through_a_link_and_a_pipe(tmp_path: Path) -> None:
    written = write(tmp_path, trivy())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(written.read_bytes(),))
    writer.start()
    assert of(Scan(report=tmp_path / "link")).level == OK
    writer.join()


def test_a_report_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with path.open("wb") as file:
        file.truncate(scan.LIMIT + 1)
    assert of(Scan(report=path)).sentence == "report.json is larger than 64 MiB"
    row = of(Scan(command=("head", "-c", str(scan.LIMIT + 1), "/dev/zero")))
    assert (row.level, row.sentence) == (UNKNOWN, "what head prints is larger than 64 MiB")


def prints(folder: Path, content: Any, status: int = 0, **entry: Any) -> Check:
    """The row for a command that prints this and ends so."""
    path = write(folder, content)
    return of(Scan(command=("sh", "-c", f'cat "$0"; echo lots of news >&2; exit {status}', str(path)), **entry))


def test_a_command_may_say_by_its_status_that_it_found_something(tmp_path: Path) -> None:
    for make, finding, statuses in ((trivy, hole(1), {0, 1}), (grype, match(1), {0, 2})):
        for status in (0, 1, 2, 3):
            assert prints(tmp_path, make(), status).level == (OK if status in statuses else UNKNOWN)
            assert prints(tmp_path, make(finding), status).level == (CRITICAL if status in statuses else UNKNOWN)
    assert prints(tmp_path, trivy(made="")).sentence == "no critical and no high findings; Trivy"
    assert prints(tmp_path, trivy(made=hours_ago(24 * 8))).level == CRITICAL
    row = prints(tmp_path, trivy(ImageID=OTHER, RepoDigests=[]))
    assert (row.level, row.sentence.startswith("what sh prints is of another image")) == (CRITICAL, True)


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    row = of(Scan(command=("sh", "-c", "echo FATAL: no database >&2; exit 1")))
    assert (row.level, row.sentence) == (
        UNKNOWN, "sh printed no report and ended with status 1: FATAL: no database"
    )  # fmt: skip
    row = of(Scan(command=("/nonexistent/trivy",)))
    assert (row.level, row.sentence.endswith("status 127: /nonexistent/trivy: No such file or directory")) == (
        UNKNOWN,
        True,
    )
    row = of(Scan(command=("sleep", "600"), timeout=1))
    assert (row.level, row.sentence) == (UNKNOWN, "sleep did not come to an end within 1 s")
    assert prints(tmp_path, json.dumps(trivy()).encode()[:300]).sentence == (
        "what sh prints cannot be used: it is cut off or damaged"
    )


def test_a_command_is_told_the_image_by_its_digest() -> None:
    row = of(Scan(command=("sh", "-c", 'echo "$@" >&2; exit 9', "-", "{image}", "{service}:{tag}", "; id")))
    assert row.sentence.endswith(f"status 9: {REPOSITORY}@{DIGEST} annotation-queue:1.0 ; id")
