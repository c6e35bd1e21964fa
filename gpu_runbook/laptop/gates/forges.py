"""Asks a forge for a commit and for its results: GitHub's statuses and check runs, a Gitea's or Forgejo's statuses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from gpu_runbook.laptop.gates import http, parsing
from gpu_runbook.laptop.gates.parsing import Misshapen, Unjudged, entry
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inventory.gate_entries import Ci
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.protocol.values import dataclass

GITHUB = "https://api.github.com"
MOST_PAGES = 30
ROW = 4  # times ci.timeout is as long as all questions of one row may take together
TRIES = 3  # of an answer that says that the forge itself is in trouble
PAUSE = 0.3  # seconds between two of them

GREEN, IDLE, SHAKY, RED, RUNNING, STRANGE = "green", "idle", "shaky", "red", "running", "strange"

DECLINED = "declined"  # our word, see _DECLINED

# What forges say of a result. IDLE: it did nothing, by its own rules. SHAKY: it passed, with a warning.
_STATES = dict.fromkeys(("failure", "error", DECLINED), RED) | {
    "success": GREEN,
    "skipped": IDLE,
    "warning": SHAKY,
    "pending": RUNNING,
}
_CONCLUSIONS = dict.fromkeys(
    ("failure", "cancelled", "timed_out", "action_required", "stale", "startup_failure"), RED
) | {"success": GREEN, "neutral": IDLE, "skipped": IDLE}
_UNFINISHED = {"queued", "in_progress", "waiting", "requested", "pending"}

# Woodpecker and Drone report to a Gitea as a `warning` that somebody has declined a pipeline, which then never runs.
_DECLINED = re.compile(r"\b(rejected|declined)\b", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Result:
    """One result of a commit, by the forge's name for it. `word` is what its `state` is called there.

    `since`: when it came to that, as RFC 3339 in UTC, or nothing; `said`: what whoever reported it says of it.
    """

    name: str
    state: str
    word: str
    since: str = ""
    said: str = ""


class Forge:
    """Where commits of one repository are asked after. Everything is over ROW x ci.timeout after it was made.

    Raises Unjudged throughout, and Misshapen for what is not as documented.
    """

    def __init__(self, ci: Ci, repository: str, token: Secret | None) -> None:
        self._ci = ci
        self._until = time.monotonic() + ROW * ci.timeout
        self._github = ci.forge == "github"
        base = (ci.address or GITHUB).rstrip("/")
        self.name = base.partition("://")[2].partition("/")[0]
        self.repository = repository
        self._root = f"{base}{'' if self._github else '/api/v1'}/repos/{quote(repository)}"
        self._headers = {"User-Agent": "gpu-runbook", "Accept": "application/json"}
        if self._github:
            self._headers |= {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if token:
            self._headers["Authorization"] = f"{'Bearer' if self._github else 'token'} {token.reveal()}"

    def head(self, branch: str) -> str:
        """The commit at the head of a branch."""
        found = self._ask(f"/branches/{quote(branch, safe='')}", f"branch {branch}")
        return self._commit(entry(entry(found, "commit", dict), "sha" if self._github else "id", str))

    def whole(self, abbreviated: str) -> str:
        """The commit whose name begins so."""
        place = "commits" if self._github else "git/commits"
        commit = self._commit(entry(self._ask(f"/{place}/{abbreviated}", f"commit {abbreviated}"), "sha", str))
        if not commit.startswith(abbreviated):
            raise Misshapen(f"sha is that of another commit than {abbreviated}")
        return commit

    def holds(self, branch: str, commit: str) -> bool:
        """Whether a commit is on a branch: its head, or one of those that led to it.

        The branch is compared by its head's name: a tag may be called like a branch, and another commit is meant then.
        """
        head = self.head(branch)
        if head == commit:
            return True
        what = f"common history of commit {commit[:8]} and branch {branch}"
        if self._github:
            found = self._ask(f"/compare/{head}...{commit}?per_page=1", what)
            return self._commit(entry(entry(found, "merge_base_commit", dict), "sha", str)) == commit
        # Not its /compare: that counts no commits either where the two have none in common.
        query = {"sha": commit, "not": head, "limit": 1, "stat": "false", "verification": "false", "files": "false"}
        beyond = self._ask(f"/commits?{urlencode(query)}", what)
        if not isinstance(beyond, list):
            raise Misshapen("commits is not a list")
        return not beyond

    def results(self, commit: str) -> list[Result]:
        """Everything that reported on a commit."""
        if self._github:
            return [*self._statuses(commit), *self._check_runs(commit)]
        return [*self._statuses(commit)]

    def _statuses(self, commit: str) -> Iterator[Result]:
        """The newest of each context: one that reports while pages are read may stand on two of them."""
        where, size = f"/commits/{commit}/status", {"per_page": 100} if self._github else {"limit": 50}
        newest: dict[str, tuple[int, Result]] = {}
        for name, status in self._pages(where, commit, "statuses", "context", size):
            word = parsing.text(status, "state" if self._github else "status").lower()
            said, since = parsing.text(status, "description", ""), _since(status, "created_at")
            if word == "warning" and _DECLINED.search(said):
                word = DECLINED
            one = entry(status, "id", int, 0), Result(name, _STATES.get(word, STRANGE), word, since, said)
            context = entry(status, "context", str)  # whole: two that begin alike are two
            if context not in newest or one[0] >= newest[context][0]:
                newest[context] = one
        yield from (result for _, result in newest.values())

    def _check_runs(self, commit: str) -> Iterator[Result]:
        query = {"filter": "latest", "per_page": 100}
        for name, run in self._pages(f"/commits/{commit}/check-runs", commit, "check_runs", "name", query):
            if entry(run, "head_sha", str, commit) != commit:
                raise Misshapen("check_runs holds one of another commit")
            word = parsing.text(run, "status").lower()
            if word == "completed":
                word = parsing.text(run, "conclusion").lower()
                yield Result(name, _CONCLUSIONS.get(word, STRANGE), word)
            else:
                since = _since(run, "started_at")
                yield Result(name, RUNNING if word in _UNFINISHED else STRANGE, word, since)

    def _pages(
        self, where: str, commit: str, key: str, named: str, query: Mapping[str, object]
    ) -> Iterator[tuple[str, Any]]:
        """(name, entry) of all pages, until one brings nothing new: a Gitea's total_count is that of the page alone.

        There the newest stand first, so that what is reported meanwhile moves to the first page: it is read again.
        """
        seen: set[tuple[int, str]] = set()
        page = 0
        for _ in range(MOST_PAGES):
            page += 1
            answer = self._ask(f"{where}?{urlencode({**query, 'page': page})}", f"commit {commit[:8]}", empty_is={})
            if entry(answer, "sha", str, "") not in ("", commit):
                raise Misshapen("sha is that of another commit")
            before = len(seen)
            for one in entry(answer, key, list, []):
                name = parsing.text(one, named)
                mark = (entry(one, "id", int, 0), name)
                if mark not in seen:
                    seen.add(mark)
                    yield name, one
            total = entry(answer, "total_count", int, 0)
            if self._github and len(seen) >= total:
                return
            if len(seen) == before:
                if self._github:
                    raise Misshapen(f"total_count is {total}, and {len(seen)} came")
                if page <= 2:
                    return
                page = 0
        raise Misshapen(f"{key} has more than {MOST_PAGES} pages")

    def _ask(self, path: str, what: str, empty_is: Any = None) -> Any:
        """The JSON of one answer; an empty one is `empty_is`, where the forge answers so."""
        answer = self._answer(path)
        if answer.status in (404, 422):
            raise Unjudged(
                f"{self.name} knows no {printable(what)} in {self.repository}",
                "is it pushed, and are ci.repository and ci.branch right? "
                f"A private repository needs a token in {self._ci.token_place}",
            )
        if answer.status in (403, 429) and (answer.status == 429 or answer.headers.get("x-ratelimit-remaining") == "0"):
            hint = f"wait; with a token in {self._ci.token_place} more may be asked"
            raise Unjudged(f"{self.name} was asked too often and says nothing for now", hint)
        if answer.status in (401, 403):
            had = "does not accept the token" if "Authorization" in self._headers else "wants a token"
            raise Unjudged(
                f"{self.name} {had} for {self.repository} (HTTP {answer.status})",
                f"put one that may read the repository's commits, statuses and checks into {self._ci.token_place}",
            )
        if answer.status != 200:
            raise Unjudged(f"{self.name} answers HTTP {answer.status}", "try again; its own status page may say more")
        if empty_is is not None and not answer.body.strip():
            return empty_is
        return parsing.parse(answer.body)

    def _answer(self, path: str) -> http.Reply:
        for tried in range(1, TRIES + 1):
            try:
                answer = http.get(self._root + path, self._headers, min(self._left(), self._ci.timeout))
            except http.NoAnswer as error:
                self._left()
                hint = "check ci.address, and whether it can be reached from here"
                raise Unjudged(f"{self.name} {error}", hint) from None
            if answer.status < 500 or tried == TRIES:
                break
            time.sleep(PAUSE)
        return answer

    def _left(self) -> float:
        """Seconds until the whole row is given up."""
        left = self._until - time.monotonic()
        if left <= 0:
            sentence = f"{self.name} did not come to an end within {ROW * self._ci.timeout} s"
            raise Unjudged(sentence, "raise ci.timeout, or ask it later")
        return left

    def _commit(self, text: str) -> str:
        if not _COMMIT.fullmatch(text):
            raise Misshapen("the commit is no 40 or 64 hexadecimal digits")
        return text


def _since(told: Any, key: str) -> str:
    at = parsing.moment(told, key)
    return at.isoformat().replace("+00:00", "Z") if at else ""
