"""Is a commit green? Forges that answer as documented, each verdict once, and commands."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from remote.words import CRITICAL, OK, UNKNOWN, WARNING, Check
from runbook.errors import BadInput
from runbook.gates import ci
from runbook.gates.entries import Ci
from runbook.gates.target import Target
from runbook.secret import Secret
from tests.gates import forge as forges
from tests.gates.forge import HEAD, OTHER, REPOSITORY, Forge, combined, gitea_status, run, says, status

TARGET = Target("annotation-queue", REPOSITORY, "1.0", f"registry.lan:5000/{REPOSITORY}@sha256:{'a' * 64}")
TOKEN = Secret("ghp_0123456789abcdefABCDEF")
ROOT = f"/repos/{REPOSITORY}"
GITEA = f"/api/v1{ROOT}"


@pytest.fixture
def forge() -> Iterator[Forge]:
    with forges.forge() as found:
        yield found


def ask(found: Forge, kind: str = "github", revision: str = "", **entry: Any) -> Check:
    """The row, after making sure that it is fit to be shown and holds nothing of the token."""
    token = entry.pop("token", TOKEN)
    told = Ci(forge=kind, address=found.address, **entry)  # type: ignore[arg-type]
    row = ci.check("queue CI", told, dataclasses.replace(TARGET, revision=revision), token)
    assert row.name == "queue CI"
    assert row.sentence.isprintable() and row.hint.isprintable()
    assert bool(row.hint) == (row.level != OK) or row.level == WARNING
    assert TOKEN.reveal() not in repr(row)
    return row


RUNS = ("build", "lint", "unit", "types", "image")


@pytest.mark.parametrize(
    ("statuses", "runs", "level", "sentence"),
    [
        ([], [run(name) for name in RUNS], OK, "all 5 results are green"),
        ([status("drone")], [], OK, "its one result is green"),
        ([status("drone")], [run("build")], OK, "all 2 results are green"),
        ([], [run("build"), run("docs", "skipped"), run("size", "neutral")], OK, "all 3 results are green"),
        ([], [], CRITICAL, "no results; nothing says that it is green"),
        ([], [run("docs", "skipped")], CRITICAL, "1 result, and none did anything: docs (skipped); nothing says"),
        ([], [run("build"), run("unit", "failure")], CRITICAL, "1 of 2 failed: unit (failure)"),
        (
            [],
            [run("build", "cancelled"), run("unit", "timed_out")],
            CRITICAL,
            "2 of 2 failed: build (cancelled), unit (t",
        ),
        ([status("drone", "error")], [run("build")], CRITICAL, "1 of 2 failed: drone (error)"),
        ([status("drone", "failure")], [run("a", None, "queued")], CRITICAL, "1 of 2 failed: drone (failure)"),
        (
            [],
            [run("a"), run("b", None, "queued"), run("c", None, "in_progress")],
            CRITICAL,
            "2 of 3 are still running: b, c",
        ),
        ([status("drone", "pending")], [run("a")], CRITICAL, "1 of 2 is still running: drone"),
        ([], [run(word, word) for word in ("stale", "action_required")], CRITICAL, "2 of 2 failed"),
        ([], [run("a"), run("b", "wonderful")], UNKNOWN, "what the forge says of b (wonderful) is not known here"),
        ([], [run("a\x1b[31m"), run("b", "failure\n")], CRITICAL, "1 of 2 failed: b (failure)"),
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
        (("success", "skipped"), OK, "all 2 results are green"),
        (("success", "pending"), CRITICAL, "1 of 2 is still running: ci/1"),
        (("failure", "error"), CRITICAL, "2 of 2 failed: ci/0 (failure), ci/1 (error)"),
        (("success", "warning"), WARNING, "1 of 2 passed with a warning: ci/1"),
        ((), CRITICAL, "no results; nothing says that it is green"),
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
    assert "1 of 351 failed: last (failure)" in ask(forge).sentence
    assert all("per_page=100" in path for path in forge.paths if "?" in path)
    forges.github(forge, [*(status(f"status {number}") for number in range(120)), status("late", "error")], many)
    assert "1 of 351 failed: late (error)" in ask(forge).sentence
    statuses = [gitea_status(f"ci/{number}") for number in range(75)]
    forges.gitea(forge, combined([*statuses, gitea_status("last", "failure")], most=30))
    assert "1 of 76 failed: last (failure)" in ask(forge, "gitea").sentence


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
    assert ask(forge, required=("build", "unit")).sentence.endswith("1 of 2 is still running: unit")
    row = ask(forge, required=("build",))
    assert (row.level, row.sentence.partition(": ")[2]) == (
        WARNING, "its one result is green; failed, and not required: lint (failure)"
    )  # fmt: skip


def test_the_commit_of_the_images_label_is_judged_and_not_the_branch(forge: Forge) -> None:
    forges.github(forge, [], [run("build", "failure")])
    forges_of_label = [run("build", commit=OTHER)]
    forge.on(
        f"{ROOT}/commits/{OTHER}/status", says({"state": "pending", "sha": OTHER, "total_count": 0, "statuses": []})
    )
    forge.on(f"{ROOT}/commits/{OTHER}/check-runs", says({"total_count": 1, "check_runs": forges_of_label}))
    row = ask(forge, revision=OTHER)
    assert (row.level, row.sentence) == (OK, "commit 99999999 (the image's label): its one result is green")
    assert row.figures["by"] == "label"
    assert not any("/branches/" in path for path in forge.paths)
    assert ask(forge).level == CRITICAL


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


@pytest.mark.parametrize("kind", ["github", "gitea"])
@pytest.mark.parametrize(
    ("status_code", "headers", "sentence"),
    [
        (404, {}, f"knows no branch dev in {REPOSITORY}"),
        (401, {}, f"does not accept the token for {REPOSITORY} (HTTP 401)"),
        (403, {}, f"does not accept the token for {REPOSITORY} (HTTP 403)"),
        (403, {"X_RateLimit_Remaining": 0}, "was asked too often"),
        (429, {}, "was asked too often"),
        (418, {}, "answers HTTP 418"),
        (500, {}, "answers HTTP 500"),
    ],
)
def test_refusals_are_told_by_what_to_do(
    forge: Forge, kind: str, status_code: int, headers: dict[str, Any], sentence: str
) -> None:
    for root in (ROOT, GITEA):
        forge.on(f"{root}/branches/dev", says({"message": TOKEN.reveal()}, status_code, **headers))
    row = ask(forge, kind)
    assert (row.level, sentence in row.sentence) == (UNKNOWN, True), row
    assert len(forge.asked) == (3 if status_code == 500 else 1)
    if status_code in (401, 403, 404, 429):
        assert "CI_TOKEN" in row.hint


def test_without_a_token_none_is_sent_and_one_is_asked_for(forge: Forge) -> None:
    forge.on(f"{ROOT}/branches/dev", says({}, 401))
    row = ask(forge, token=None, token_variable="FORGE_TOKEN")
    assert "wants a token" in row.sentence and "FORGE_TOKEN" in row.hint
    assert forge.tokens == set()


def test_a_forge_in_trouble_is_asked_again(forge: Forge) -> None:
    forges.github(forge, [], [run("build")])
    trouble = [says(b"<html>502</html>", 502), says(b"", 503)]
    forge.on(f"{ROOT}/branches/dev", *trouble, *forge.answers[f"{ROOT}/branches/dev"])
    assert ask(forge).level == OK


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (says(b"<html><title>Sign in</title>"), "it is no JSON"),
        (says(b""), "it is empty"),
        (says(b'{"commit": {"sha": "1a2b'), "it is cut off or damaged"),
        (says([]), "commit was expected in a mapping"),
        (says({"commit": HEAD}), "commit is not a mapping"),
        (says({"commit": {"sha": 7}}), "sha is not a text"),
        (says({"commit": {}}), "sha is missing"),
        (says({"commit": {"sha": "HEAD"}}), "the commit is no 40 or 64 hexadecimal digits"),
        (says(b"[" * 100_000), "it is "),
        (says({"commit": {"sha": HEAD}}, Content_Length=9999), "answers less than it announces"),
        (says(b" " * (4 << 20) + b"{}"), "answers more than 4 MiB"),
        (forges.endless, "answers more than 4 MiB"),
        (forges.hangs_up, "hangs up without an answer"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), "answers what is no HTTP"),
        (says({}, 302, Location="/repos"), "knows no branch dev"),
        (says({}, 301, Location=f"{ROOT}/branches/dev"), "redirects in a circle"),
        (says({}, 302, Location="ftp://127.0.0.1/x"), "redirects to ftp://127.0.0.1, where nothing is sent"),
        (says({}, 302, Location="http://[bad"), "redirects to what is no address"),
        (says({}, 302), "redirects in a circle"),
    ],
)  # fmt: skip
def test_nonsense_is_unknown_in_one_sentence(forge: Forge, answer: forges.Behaviour, sentence: str) -> None:
    forge.on(f"{ROOT}/branches/dev", answer)
    row = ask(forge, timeout=5)
    assert (row.level, sentence in row.sentence) == (UNKNOWN, True), row


@pytest.mark.parametrize(
    "wrong", [{"statuses": 7}, {"statuses": [7]}, {"statuses": [{"context": "a"}]}, {"total_count": "1"}, 7]
)
def test_statuses_of_the_wrong_types_are_unknown(forge: Forge, wrong: Any) -> None:
    forges.github(forge, [], [run("build")])
    forges.gitea(forge, says(wrong))
    forge.on(f"{ROOT}/commits/{HEAD}/status", says(wrong))
    for kind in ("github", "gitea"):
        row = ask(forge, kind)
        assert (row.level, "makes no sense" in row.sentence) == (UNKNOWN, True), row


def test_a_repository_that_was_renamed_is_followed_on_the_same_host(forge: Forge) -> None:
    forges.github(forge, [], [run("build")])
    forge.on("/repositories/1/branches/dev", *forge.answers[f"{ROOT}/branches/dev"])
    forge.on(f"{ROOT}/branches/dev", says({}, 301, Location=f"{forge.address}/repositories/1/branches/dev"))
    assert ask(forge).level == OK


def test_the_token_does_not_go_to_another_host(forge: Forge) -> None:
    with forges.forge() as elsewhere:
        forges.github(elsewhere, [], [run("build")])
        forge.on(f"{ROOT}/branches/dev", says({}, 302, Location=f"{elsewhere.address}{ROOT}/branches/dev"))
        row = ask(forge)
    assert (row.level, "redirects to http://127.0.0.1" in row.sentence) == (UNKNOWN, True)
    assert forge.tokens == {f"Bearer {TOKEN.reveal()}"}
    assert elsewhere.asked == []


def test_who_never_comes_to_an_end_is_left(forge: Forge) -> None:
    """Silence, a head and a body that drip, and pages that are each just in time."""
    head = b"HTTP/1.0 200 OK\r\n"
    peers: dict[str, forges.Behaviour] = {
        "never": forges.never,
        "status line": forges.drips(b"HTTP/1.0 2"),
        "head": forges.drips(head, b"X-A: b\r\n"),
        "continue": forges.drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "body": forges.drips(head + b"\r\n{"),
        "chunks": forges.drips(head.replace(b"1.0", b"1.1") + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    }
    for branch, peer in peers.items():
        forge.on(f"{GITEA}/branches/{branch.replace(' ', '%20')}", peer)
    counted = iter(range(100_000))

    def late(handler: forges.Handler) -> None:
        forge.over.wait(0.6)
        says({"statuses": [gitea_status(f"ci/{next(counted)}")]})(handler)

    forges.gitea(forge, late)
    with ThreadPoolExecutor(len(peers) + 1) as pool:
        rows = list(pool.map(lambda branch: ask(forge, "gitea", branch=branch, timeout=1), [*peers, "dev"]))
    assert {row.level for row in rows} == {UNKNOWN}
    assert [row.sentence.partition(" ")[2] for row in rows] == [
        *["did not answer within 1 s"] * len(peers), "did not come to an end within 4 s"
    ]  # fmt: skip


def test_an_address_where_nobody_is(forge: Forge) -> None:
    with forges.forge() as gone:
        pass
    row = ask(gone)
    assert (row.level, "cannot be reached: Connection refused" in row.sentence) == (UNKNOWN, True)
    row = ask(dataclasses.replace(gone, address="http://forge.invalid"))
    assert (row.level, row.sentence) == (UNKNOWN, "forge.invalid has a name that is not known here")


def test_a_token_that_could_add_a_header_is_not_sent(forge: Forge) -> None:
    row = ask(forge, token=Secret("abcdefgh\r\nX-Other: 1"))
    assert (row.level, "CI_TOKEN has blanks" in row.sentence, forge.asked) == (UNKNOWN, True, [])
    assert "abcdefgh" not in repr(row)


def test_a_forge_that_repeats_the_token_does_not_bring_it_to_the_screen(forge: Forge) -> None:
    forges.github(forge, [status(f"said {TOKEN.reveal()}", "failure")], [])
    assert "failed: said •••" in ask(forge).sentence


def test_the_environments_token_comes_first() -> None:
    told = Ci(forge="github")
    values = {"CI_TOKEN": Secret("of-dotenv")}
    assert ci.token(told, values, {"CI_TOKEN": "of-environment\n"}) == Secret("of-environment")
    assert ci.token(told, values, {"CI_TOKEN": ""}) == Secret("of-dotenv")
    assert ci.token(told, {"CI_TOKEN": Secret("")}, {}) is None
    assert ci.token(told, {}, {}) is None


def by_command(*words: str, timeout: int = 10, token: Secret | None = TOKEN, revision: str = HEAD) -> Check:
    told = Ci(command=words, timeout=timeout)
    return ci.check("queue CI", told, dataclasses.replace(TARGET, revision=revision), token)


@pytest.mark.parametrize(
    ("script", "level", "sentence"),
    [
        ("echo fine", OK, "commit 1a2b3c4d: sh says that it is green"),
        ("echo one; echo build 7 failed; exit 1", CRITICAL, "commit 1a2b3c4d: sh says no: build 7 failed"),
        ("exit 125", CRITICAL, "commit 1a2b3c4d: sh says no: sh ended with status 125"),
        ("echo why >&2; exit 126", UNKNOWN, "sh could not be run: why"),
        ("nothing-of-this-name", UNKNOWN, "sh could not be run: "),
        ("kill -9 $$", UNKNOWN, "sh was ended by signal 9"),
        ("printf 'a\\033[2Jb\\n'; exit 1", CRITICAL, "commit 1a2b3c4d: sh says no: a\N{REPLACEMENT CHARACTER}[2Jb"),
    ],
)
def test_each_verdict_of_a_command(script: str, level: str, sentence: str) -> None:
    row = by_command("sh", "-c", script)
    assert row.level == level
    assert row.sentence.startswith(sentence)


def test_a_command_that_is_not_there_or_never_ends_said_nothing() -> None:
    row = by_command("/nonexistent/ci")
    assert (row.level, row.sentence.startswith("/nonexistent/ci could not be run")) == (UNKNOWN, True)
    row = by_command("sleep", "600", timeout=1)
    assert (row.level, row.sentence) == (UNKNOWN, "sleep did not answer within 1 s")


def test_a_command_knows_what_is_asked_and_nothing_of_the_token() -> None:
    """Words are filled in and stay words; what it is told stands in its environment."""
    shows = "import os, sys; print(sys.argv[1:], *(os.environ[n] for n in sys.argv[4:]), os.environ); sys.exit(9)"
    names = ("REVISION", "BRANCH", "SERVICE", "IMAGE")
    row = by_command(
        sys.executable, "-c", shows.replace(", os.environ)", ")"), "{service} x", "{image}:{tag}", "$(id)", *names
    )
    told = f"['annotation-queue x', '{REPOSITORY}:1.0', '$(id)', 'REVISION', 'BRANCH', 'SERVICE', 'IMAGE']"
    assert told in row.sentence
    assert by_command("sh", "-c", 'echo "$REVISION $BRANCH $SERVICE $IMAGE"; exit 1').sentence.endswith(
        f"{HEAD} dev annotation-queue {REPOSITORY}"
    )
    assert by_command("sh", "-c", "env; exit 1 #", revision="").level == CRITICAL
    row = by_command("sh", "-c", "env | grep -c ghp_; exit 1")
    assert row.sentence.endswith("says no: 0")


def test_braces_that_mean_nothing_are_named() -> None:
    with pytest.raises(BadInput, match=r"hosts\.yaml: ci\.command: \{servce\} is none of .*did you mean \"service\"\?"):
        TARGET.fill("ci.command", "x {servce}")
    with pytest.raises(BadInput, match=r"hosts\.yaml: scan\.report: \} stands alone"):
        TARGET.fill("scan.report", "x}")
    assert TARGET.fill("scan.command", "{image}", image=TARGET.reference) == TARGET.reference
    for wrong in ({"command": ("x", "{{.Id}}")}, {"command": ("x\0",)}):
        with pytest.raises(ValueError, match="command: "):
            Ci(**wrong)  # type: ignore[arg-type]
