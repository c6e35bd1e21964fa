"""Is a commit green? Forges that answer as documented, each verdict once."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_runbook.laptop.gates import ci
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inventory.gate_entries import Ci
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING
from tests.gates import forge as forges
from tests.gates.asking import GITEA, ROOT, TOKEN, ask
from tests.gates.forge import HEAD, OTHER, Forge, combined, gitea_status, run, says, status

RUNS = ("build", "lint", "unit", "types", "image")


@pytest.mark.parametrize(
    ("statuses", "runs", "level", "sentence"),
    [
        ([], [run(name) for name in RUNS], OK, "all 5 results are green"),
        ([status("drone")], [], OK, "its one result is green"),
        ([status("drone")], [run("build")], OK, "all 2 results are green"),
        (
            [],
            [run("build"), run("docs", "skipped"), run("size", "neutral")],
            OK,
            '1 of 3 results is green, and the rest did nothing: "docs" (skipped), "size" (neutral)',
        ),
        ([], [], CRITICAL, "no results; nothing says that it is green"),
        ([], [run("docs", "skipped")], CRITICAL, '1 result, and none did anything: "docs" (skipped); nothing says'),
        ([], [run("build"), run("unit", "failure")], CRITICAL, '1 of 2 failed: "unit" (failure)'),
        (
            [],
            [run("build", "cancelled"), run("unit", "timed_out")],
            CRITICAL,
            '2 of 2 failed: "build" (cancelled), "unit" (t',
        ),
        ([status("drone", "error")], [run("build")], CRITICAL, '1 of 2 failed: "drone" (error)'),
        ([status("drone", "failure")], [run("a", None, "queued")], CRITICAL, '1 of 2 failed: "drone" (failure)'),
        (
            [],
            [run("a"), run("b", None, "queued"), run("c", None, "in_progress")],
            CRITICAL,
            '2 of 3 are still running: "b", "c"',
        ),
        ([status("drone", "pending")], [run("a")], CRITICAL, '1 of 2 is still running: "drone"'),
        ([], [run(word, word) for word in ("stale", "action_required")], CRITICAL, "2 of 2 failed"),
        ([], [run("a"), run("b", "wonderful")], UNKNOWN, 'what the forge says of "b" (wonderful) is not known here'),
        ([], [run("a\x1b[31m"), run("b", "failure\n")], CRITICAL, '1 of 2 failed: "b" (failure)'),
    ],
)
def test_each_verdict_of_github(
    forge: Forge, statuses: list[dict[str, Any]], runs: list[dict[str, Any]], level: str, sentence: str
) -> None:
    forges.github(forge, statuses, runs)
    row = ask(forge)
    assert (row.level, row.sentence[: len(f"commit 1a2b3c4d (head of dev): {sentence}")]) == (
        level,
        f"commit 1a2b3c4d (head of dev): {sentence}",
    )
    assert row.figures["commit"] == HEAD


@pytest.mark.parametrize(
    ("words", "level", "sentence"),
    [
        (("success", "success"), OK, "all 2 results are green"),
        (("success", "skipped"), OK, '1 of 2 results is green, and the rest did nothing: "ci/1" (skipped)'),
        (("success", "pending"), CRITICAL, '1 of 2 is still running: "ci/1"'),
        (("failure", "error"), CRITICAL, '2 of 2 failed: "ci/0" (failure), "ci/1" (error)'),
        (("success", "warning"), WARNING, '1 of 2 passed with a warning: "ci/1"'),
        ((), CRITICAL, "no results; nothing says that it is green"),
        (("skipped",), CRITICAL, '1 result, and none did anything: "ci/0" (skipped); nothing says that it is green'),
    ],
)
def test_each_verdict_of_a_gitea(forge: Forge, words: tuple[str, ...], level: str, sentence: str) -> None:
    forges.gitea(forge, combined([gitea_status(f"ci/{number}", word) for number, word in enumerate(words)]))
    row = ask(forge, "gitea")
    assert (row.level, row.sentence) == (level, f"commit 1a2b3c4d (head of dev): {sentence}")
    assert forge.tokens == {f"token {TOKEN.reveal()}"}


@pytest.mark.parametrize(
    "nothing", [b"", b"\n", b'{"state":"","total_count":0,"statuses":null}', b'{"state":"","sha":"","statuses":[]}']
)
def test_no_results_at_a_gitea_are_not_green_whatever_its_version(forge: Forge, nothing: bytes) -> None:
    forges.gitea(forge, says(nothing))
    row = ask(forge, "gitea")
    assert (row.level, row.figures["results"]) == (CRITICAL, 0)
    assert "nothing says that it is green" in row.sentence


def test_every_page_is_read(forge: Forge) -> None:
    """What failed stands on the last page of the statuses, and of the check runs, and of a Gitea's statuses."""
    many = [run(f"run {number}") for number in range(230)]
    forges.github(forge, [status(f"status {number}") for number in range(120)], [*many, run("last", "failure")])
    assert '1 of 351 failed: "last" (failure)' in ask(forge).sentence
    assert all("per_page=100" in path for path in forge.paths if "?" in path)
    forges.github(forge, [*(status(f"status {number}") for number in range(120)), status("late", "error")], many)
    assert '1 of 351 failed: "late" (error)' in ask(forge).sentence
    statuses = [gitea_status(f"ci/{number}") for number in range(75)]
    forges.gitea(forge, combined([*statuses, gitea_status("last", "failure")], most=30))
    assert '1 of 76 failed: "last" (failure)' in ask(forge, "gitea").sentence


def test_a_gitea_that_knows_no_pages_is_not_asked_for_ever(forge: Forge) -> None:
    forges.gitea(forge, says({"sha": HEAD, "statuses": [gitea_status("ci")]}))
    assert ask(forge, "gitea").level == OK
    assert len(forge.paths) == 3


def test_pages_that_never_end_or_end_too_soon_are_no_answer(forge: Forge) -> None:
    counted = iter(range(100_000))
    forges.gitea(forge, lambda handler: says({"statuses": [gitea_status(f"ci/{next(counted)}")]})(handler))
    row = ask(forge, "gitea")
    assert (row.level, "statuses has more than 30 pages" in row.sentence) == (UNKNOWN, True)
    forges.github(forge, [], [run("a")])
    forge.on(
        f"{ROOT}/commits/{HEAD}/check-runs",
        forges.pages(lambda page: {"total_count": 3, "check_runs": page}, [run("a"), run("b")], 100),
    )
    row = ask(forge)
    assert (row.level, "total_count is 3, and 2 came" in row.sentence) == (UNKNOWN, True)


def test_required_results_must_be_there_and_green(forge: Forge) -> None:
    forges.github(forge, [], [run("build"), run("unit", None, "in_progress"), run("lint", "failure")])
    assert ask(forge, required=("build", "gpu")).sentence.endswith("no result of gpu, which is required")
    assert ask(forge, required=("build", "gpu")).level == CRITICAL
    assert ask(forge, required=("build", "unit")).sentence.endswith('1 of 2 is still running: "unit"')
    row = ask(forge, required=("build",))
    assert (row.level, row.sentence.partition(": ")[2]) == (
        WARNING, 'its one result is green; failed, and not required: "lint" (failure)'
    )  # fmt: skip


def built_from(forge: Forge, *, red: bool = False) -> None:
    """Both forges know a commit that is not the head of the branch; it is green, and the head is not."""
    forges.github(forge, [], [run("build", "failure")])
    forges.github(forge, [], [run("build", "failure" if red else "success", commit=OTHER)], OTHER)
    forges.gitea(forge, combined([gitea_status("build", "failure")]))
    answer = {"sha": OTHER, "statuses": [gitea_status("build", "failure" if red else "success")]}
    forges.gitea(forge, says(answer), OTHER)
    forge.on(f"{ROOT}/branches/dev", says({"name": "dev", "commit": {"sha": HEAD}}))
    forge.on(f"{GITEA}/branches/dev", says({"name": "dev", "commit": {"id": HEAD}}))


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_the_commit_of_the_images_label_is_judged_and_not_the_head_of_the_branch(forge: Forge, kind: str) -> None:
    built_from(forge)
    forges.github_branch(forge, OTHER, common=OTHER)
    forges.gitea_branch(forge, OTHER)
    row = ask(forge, kind, revision=OTHER)
    assert (row.level, row.sentence) == (OK, "commit 99999999 (the image's label): its one result is green")
    assert row.figures["by"] == "label"
    assert ask(forge, kind).level == CRITICAL


@pytest.mark.parametrize("kind", ["github", "gitea"])
@pytest.mark.parametrize("common", [HEAD, "7" * 40], ids=["ahead", "beside"])
@pytest.mark.parametrize("red", [False, True], ids=["green", "red"])
def test_a_commit_that_is_not_on_the_branch_is_none_of_its_however_green(
    forge: Forge, kind: str, common: str, red: bool
) -> None:
    """As those of a fork are, and of a pull request that nobody has looked at: a forge runs checks for them as well."""
    built_from(forge, red=red)
    forges.github_branch(forge, OTHER, common)
    forges.gitea_branch(forge, "7" * 40)
    row = ask(forge, kind, revision=OTHER)
    assert (row.level, row.sentence) == (CRITICAL, "commit 99999999 (the image's label) is not on branch dev")
    assert "ci.branch" in row.hint


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_the_head_of_the_branch_needs_no_comparison(forge: Forge, kind: str) -> None:
    forges.github(forge, [], [run("build")])
    forges.gitea(forge, combined([gitea_status("build")]))
    assert ask(forge, kind, revision=HEAD).level == OK
    assert not any("compare" in path or "not=" in path for path in forge.paths)


@pytest.mark.parametrize(
    ("kind", "answer", "sentence"),
    [
        ("github", says({"message": "No common ancestor"}, 404), "knows no common history of commit 99999999 and br"),
        ("github", says({"status": "behind"}), "merge_base_commit is missing"),
        ("github", says({"merge_base_commit": {"sha": "dev"}}), "is no 40 or 64 hexadecimal digits"),
        ("gitea", says({"message": "object does not exist"}, 404), "knows no common history of commit 99999999 and br"),
        ("gitea", says(b"null"), "commits is not a list"),
        ("gitea", says({}), "commits is not a list"),
        ("gitea", says(b""), "it is empty"),
        ("gitea", says({}, 500), "answers HTTP 500"),
    ],
)
def test_a_forge_that_cannot_say_what_is_on_the_branch_leaves_it_unknown(
    forge: Forge, kind: str, answer: forges.Behaviour, sentence: str
) -> None:
    built_from(forge)
    forge.on(f"{ROOT}/compare/{HEAD}...{OTHER}", answer)
    forge.on(f"{GITEA}/commits", answer)
    row = ask(forge, kind, revision=OTHER)
    assert (row.level, sentence in row.sentence) == (UNKNOWN, True), row


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_an_abbreviated_commit_is_resolved_first(forge: Forge, kind: str) -> None:
    forges.github(forge, [], [run("build")])
    forges.gitea(forge, combined([gitea_status("build")]))
    row = ask(forge, kind, revision=HEAD[:7].upper())
    assert (row.level, row.figures["commit"]) == (OK, HEAD)
    forge.on(f"{ROOT}/commits/{HEAD[:7]}", says({"sha": OTHER}))
    forge.on(f"{GITEA}/git/commits/{HEAD[:7]}", says({"sha": OTHER}))
    row = ask(forge, kind, revision=HEAD[:7])
    assert (row.level, "sha is that of another commit" in row.sentence) == (UNKNOWN, True)


@pytest.mark.parametrize("revision", ["v1.2", f"{HEAD}-dirty", "../../../x", "a\x1b[2Jb", "123456"])
def test_a_label_that_is_no_commit_is_not_asked_for(forge: Forge, revision: str) -> None:
    row = ask(forge, revision=revision)
    assert (row.level, "which is no commit" in row.sentence, forge.asked) == (UNKNOWN, True, [])


def test_results_of_another_commit_count_for_nothing(forge: Forge) -> None:
    forges.github(forge, [], [run("build", commit=OTHER)])
    assert "check_runs holds one of another commit" in ask(forge).sentence
    forges.gitea(forge, says({"sha": OTHER, "statuses": [gitea_status("build")]}))
    row = ask(forge, "gitea")
    assert (row.level, "sha is that of another commit" in row.sentence) == (UNKNOWN, True)


def test_a_branch_with_a_slash_is_one_name(forge: Forge) -> None:
    forges.github(forge, [], [run("build")])
    forge.on(f"{ROOT}/branches/team%2Fdev", *forge.answers[f"{ROOT}/branches/dev"])
    row = ask(forge, branch="team/dev")
    assert (row.level, "(head of team/dev)" in row.sentence) == (OK, True)


def test_the_environments_token_comes_first() -> None:
    told = Ci(forge="github")
    values = {"CI_TOKEN": Secret("of-dotenv")}
    assert ci.token(told, values, {"CI_TOKEN": "of-environment\n"}) == Secret("of-environment")
    assert ci.token(told, values, {"CI_TOKEN": ""}) == Secret("of-dotenv")
    assert ci.token(told, {"CI_TOKEN": Secret("")}, {}) is None
    assert ci.token(told, {}, {}) is None


def test_of_the_environment_only_what_is_called_as_a_forges_token_is_read() -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "of-the-laptop", "GITHUB_TOKEN": "of-a-forge"}
    told = Ci(forge="github", token_variable="AWS_SECRET_ACCESS_KEY")
    assert ci.token(told, {}, environ) is None
    assert ci.token(told, {"AWS_SECRET_ACCESS_KEY": Secret("of-dotenv")}, environ) == Secret("of-dotenv")
    assert told.token_place == "AWS_SECRET_ACCESS_KEY of .env"
    told = Ci(forge="github", token_variable="GITHUB_TOKEN")
    assert ci.token(told, {}, environ) == Secret("of-a-forge")
    assert told.token_place == "GITHUB_TOKEN of .env or the environment"
