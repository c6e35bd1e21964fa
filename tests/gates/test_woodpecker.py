"""What a Woodpecker reports to a Gitea: several contexts, each many times, of which some never come to an end."""

from __future__ import annotations

import pytest

from gpu_runbook.protocol.check import CRITICAL, OK, WARNING
from tests.gates.asking import ask
from tests.gates.forge import Forge, Post, woodpecker

PUSH = ("ci/woodpecker/push/*",)
GREEN = (Post("push/01-test", "pending"), Post("push/01-test"), Post("push/02-build-push"))
AGO = "2026-11-25T11:20:05+01:00"
HANGS = '"ci/woodpecker/push/02-build-push" (since 2026-11-25 10:20, "Pipeline is running")'


@pytest.mark.parametrize(
    ("posts", "required", "level", "sentence"),
    [
        pytest.param(GREEN, PUSH, OK, "all 2 results are green", id="green"),
        pytest.param(GREEN, (), OK, "all 2 results are green", id="green-without-a-pattern"),
        pytest.param(GREEN, ("ci/*/0?-*",), OK, "all 2 results are green", id="green-by-another-pattern"),
        pytest.param(
            (*GREEN, Post("push/01-test", "failure")),
            PUSH,
            CRITICAL,
            '1 of 2 failed: "ci/woodpecker/push/01-test" (failure)',
            id="run-again-and-red",
        ),
        pytest.param(
            (Post("push/01-test", "failure"), *GREEN), PUSH, OK, "all 2 results are green", id="red-and-run-again"
        ),
        pytest.param(
            (*GREEN, Post("push/02-build-push", "running", AGO)),
            PUSH,
            CRITICAL,
            f"1 of 2 is still running: {HANGS}",
            id="pending-for-ever",
        ),
        pytest.param(
            (Post("push/01-test", "blocked", AGO), Post("push/02-build-push", "running")),
            PUSH,
            CRITICAL,
            '2 of 2 are still running: "ci/woodpecker/push/01-test" (since 2026-11-25 10:20, "Pipeline is pending '
            'approval"), "ci/woodpecker/push/02-build-push" (since 2026-11-28 08:15, "Pipeline is running")',
            id="waits-for-somebody",
        ),
        pytest.param(
            (*GREEN, Post("push/02-build-push", "declined")),
            PUSH,
            CRITICAL,
            '1 of 2 failed: "ci/woodpecker/push/02-build-push" (declined)',
            id="declined",
        ),
        pytest.param(
            (*GREEN, Post("push/03-docs", "skipped")),
            PUSH,
            OK,
            '2 of 3 results are green, and the rest did nothing: "ci/woodpecker/push/03-docs" (skipped)',
            id="one-skipped",
        ),
        pytest.param(
            (Post("push/01-test", "skipped"), Post("cron/nightly")),
            PUSH,
            CRITICAL,
            'of ci/woodpecker/push/* there is 1 result, and none did anything: "ci/woodpecker/push/01-test" (skipped); '
            "nothing says that it is green",
            id="all-skipped-that-match",
        ),
        pytest.param(
            (*GREEN, Post("pr/01-test", "pending", AGO)), PUSH, OK, "all 2 results are green", id="another-event-hangs"
        ),
        pytest.param(
            (*GREEN, Post("cron/nightly", "failure")),
            PUSH,
            WARNING,
            'all 2 results are green; failed, and not required: "ci/woodpecker/cron/nightly" (failure)',
            id="another-event-red",
        ),
        pytest.param(
            GREEN[:2],
            ("ci/woodpecker/push/01-*", "ci/woodpecker/push/02-*"),
            CRITICAL,
            "no result of ci/woodpecker/push/02-*, which is required",
            id="a-pattern-that-nothing-matches",
        ),
        pytest.param((), PUSH, CRITICAL, "no result of ci/woodpecker/push/*, which is required", id="nothing-at-all"),
    ],
)
def test_each_verdict(
    forge: Forge, posts: tuple[Post, ...], required: tuple[str, ...], level: str, sentence: str
) -> None:
    woodpecker(forge, *posts)
    row = ask(forge, "gitea", required=required)
    assert (row.level, row.sentence) == (level, f"commit 1a2b3c4d (head of dev): {sentence}")


def test_a_name_with_brackets_is_a_name_as_well(forge: Forge) -> None:
    woodpecker(forge, Post("push/test [3.8]"))
    assert ask(forge, "gitea", required=("ci/woodpecker/push/test [3.8]",)).level == OK


def test_machines_are_told_each_context(forge: Forge) -> None:
    woodpecker(forge, *GREEN, Post("pr/01-test", "blocked", AGO), Post("cron/nightly", "failure"))
    told = ask(forge, "gitea", required=PUSH).figures["contexts"]
    assert told == [
        {"name": "ci/woodpecker/cron/nightly", "state": "red", "word": "failure", "since": "2026-11-28T08:15:00Z"},
        {"name": "ci/woodpecker/pr/01-test", "state": "running", "word": "pending", "since": "2026-11-25T10:20:05Z"},
        {"name": "ci/woodpecker/push/02-build-push", "state": "green", "word": "success", "since": told[2]["since"]},
        {"name": "ci/woodpecker/push/01-test", "state": "green", "word": "success", "since": told[3]["since"]},
    ]


def test_however_many_there_are_machines_are_told_of_those_that_are_red(forge: Forge) -> None:
    many = [Post(f"push/{number}") for number in range(140)]
    woodpecker(forge, Post("push/old", "failure"), *many, most=30)
    told = ask(forge, "gitea").figures["contexts"]
    assert (len(told), told[0]["name"]) == (100, "ci/woodpecker/push/old")


@pytest.mark.parametrize("then", ["success", "failure"])
def test_what_is_reported_while_the_pages_are_read_counts(forge: Forge, then: str) -> None:
    """It comes to the first page, which was read before, and is gone from the second by the time that is read."""
    posts = [Post("push/a"), Post("push/b", "running"), Post("push/c"), Post("push/d"), Post("push/b", then)]
    woodpecker(forge, *posts, most=2, until=[4, 5])
    row = ask(forge, "gitea", required=PUSH)
    assert (row.level, row.figures["results"]) == (OK if then == "success" else CRITICAL, 4)


def test_of_two_reports_of_a_context_the_newer_one_counts(forge: Forge) -> None:
    """The older one was on the first page, and the newer one is there when that is read again."""
    posts = [*(Post(f"push/{name}") for name in "abc"), Post("push/d", "running"), Post("push/d")]
    woodpecker(forge, *posts, most=2, until=[4, 5, 5])
    row = ask(forge, "gitea", required=PUSH)
    assert (row.level, row.sentence.rpartition(": ")[2]) == (OK, "all 4 results are green")
