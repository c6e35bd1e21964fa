"""Whatever a forge or a scanner says, and wherever it is cut off: a row with a sentence, and never an exception."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.gates import accepted_findings, ci, scan
from gpu_runbook.laptop.inventory.gate_entries import Ci, Scan
from gpu_runbook.protocol.check import CRITICAL, LEVELS, OK, Check
from tests.gates import forge as forges
from tests.gates.forge import HEAD, OTHER, REPOSITORY, Forge, gitea_status, run, says, status
from tests.gates.scans import NOW, TARGET, grype, hole, match, trivy
from tests.hostile.damage import as_json, damaged, documents

tries = settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

REPORTS = (trivy(hole(1), hole(2, "LOW", fixed="")), grype(match(1), match(2, "Low", fixed="")))
ALLOWANCES = [{"id": "CVE-2026-1", "expires": "2026-12-31", "reason": "x"}, {"id": "b", "package": "c"}]


def fit(row: Check) -> Check:
    """The row, when it is one that can be shown and printed as JSON."""
    assert row.level in LEVELS
    assert row.sentence and row.sentence.isprintable() and len(row.sentence) < 2000
    json.dumps(row.figures, allow_nan=False)
    return row


def of_report(folder: Path, raw: bytes, allow: Path | None = None) -> Check:
    path = folder / "report.json"
    path.write_bytes(raw)
    return fit(scan.check("scan", Scan(report=path, allow=allow), TARGET, NOW))


@tries
@given(st.sampled_from(REPORTS).flatmap(damaged) | documents)
def test_any_report(tmp_path: Path, document: Any) -> None:
    of_report(tmp_path, as_json(document))


@pytest.mark.parametrize("report", REPORTS, ids=["trivy", "grype"])
def test_no_part_of_a_report_passes(tmp_path: Path, report: Any) -> None:
    """Not one that ends too early, and not one that lost a line in the middle, down to the whole one that is bad."""
    raw = json.dumps(report, indent=1).encode()
    assert of_report(tmp_path, raw).level == CRITICAL
    for end in range(0, len(raw), 7):
        assert of_report(tmp_path, raw[:end]).level != OK
    lines = raw.splitlines(keepends=True)
    for lost in range(len(lines)):
        assert of_report(tmp_path, b"".join(lines[:lost] + lines[lost + 1 :])).level != OK


@tries
@given(damaged(ALLOWANCES) | documents)
def test_any_list_of_allowances(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "allow.yaml"
    path.write_bytes(as_json(document))
    of_report(tmp_path, json.dumps(REPORTS[0]).encode(), path)


@tries
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_as_a_list_of_allowances(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "allow.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        assert accepted_findings.read(path) == ()
    except BadInput as error:
        assert error.message


BRANCH = {"github": {"name": "dev", "commit": {"sha": HEAD}}, "gitea": {"name": "dev", "commit": {"id": HEAD}}}
STATUSES = {
    "github": {"state": "success", "sha": HEAD, "total_count": 1, "statuses": [status("drone")]},
    "gitea": {"state": "success", "sha": HEAD, "total_count": 1, "statuses": [gitea_status("drone")]},
}
RUNS = {"total_count": 2, "check_runs": [run("build"), run("unit", "failure")]}


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_any_answers_of_a_forge(forge: Forge, kind: str) -> None:
    root = f"{'' if kind == 'github' else '/api/v1'}/repos/{REPOSITORY}"

    @tries
    @given(damaged(BRANCH[kind], 1), damaged(STATUSES[kind]) | documents, damaged(RUNS) | documents)
    def tried(branch: Any, statuses: Any, runs: Any) -> None:
        forge.on(f"{root}/branches/dev", says(as_json(branch)))
        forge.on(f"{root}/commits/{HEAD}/status", says(as_json(statuses)))
        forge.on(f"{root}/commits/{HEAD}/check-runs", says(as_json(runs)))
        fit(ci.check("CI", Ci(forge=kind, address=forge.address), TARGET, None))  # type: ignore[arg-type]

    tried()


BESIDE = {"github": {"status": "diverged", "merge_base_commit": {"sha": HEAD}}, "gitea": [{"sha": OTHER}]}


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_no_answer_about_a_branch_but_the_right_one_lets_a_commit_pass(forge: Forge, kind: str) -> None:
    forges.github(forge, [status("drone")], [], OTHER)
    forges.gitea(forge, says({"sha": OTHER, "statuses": [gitea_status("drone")]}), OTHER)
    root = f"{'' if kind == 'github' else '/api/v1'}/repos/{REPOSITORY}"
    forge.on(f"{root}/branches/dev", says(BRANCH[kind]))
    told = Ci(forge=kind, address=forge.address)  # type: ignore[arg-type]
    target = dataclasses.replace(TARGET, revision=OTHER)

    @tries
    @given(damaged(BESIDE[kind], 1) | documents)
    def tried(beside: Any) -> None:
        forge.on(f"{root}/compare/{HEAD}...{OTHER}", says(as_json(beside)))
        forge.on(f"{root}/commits", says(as_json(beside)))
        right = kind == "gitea" and beside == []
        assert (fit(ci.check("CI", told, target, None)).level == OK) == right

    tried()


@tries
@given(
    st.binary(max_size=80)
    | st.sampled_from([200, 204, 206, 300, 304, 503]).map(lambda code: b"HTTP/1.0 %d x\r\n\r\n" % code)
)
def test_any_bytes_of_a_forge(forge: Forge, said: bytes) -> None:
    def behave(handler: forges.Handler) -> None:
        handler.wfile.write(said)

    forge.on(f"/repos/{REPOSITORY}/branches/dev", behave)
    assert fit(ci.check("CI", Ci(forge="github", address=forge.address), TARGET, None)).level == "unknown"
