"""A forge as a local HTTP server: it answers the documented shapes, and notes who asked for what with which headers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

HEAD = "1a2b3c4d" + "0" * 32
OTHER = "9" * 40
REPOSITORY = "azaion/annotation-queue"

Behaviour = Callable[["Handler"], None]


@dataclass
class Forge:
    """`answers` by path, without the query; with several for one path each answers once, and the last for ever."""

    address: str
    answers: dict[str, list[Behaviour]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def on(self, path: str, *behaviours: Behaviour) -> None:
        self.answers[path] = list(behaviours)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    @property
    def tokens(self) -> set[str]:
        return {headers["authorization"] for _, headers in self.asked if "authorization" in headers}


class Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.0, so that each answer ends with it."""

    forge: Forge

    def do_GET(self) -> None:
        self.forge.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        line = self.forge.answers.get(urlsplit(self.path).path, [says({"message": "Not Found"}, 404)])
        behaviour = line.pop(0) if len(line) > 1 else line[0]
        with suppress(OSError):  # of those who have hung up
            behaviour(self)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def begin(self, status: int, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """What was asked stands in `asked`."""


@contextmanager
def forge() -> Iterator[Forge]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Forge(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Bound", (Handler,), {"forge": found})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        found.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def says(body: Any, status: int = 200, **headers: Any) -> Behaviour:
    """A whole answer: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(handler: Handler) -> None:
        handler.begin(status, **{"Content_Type": "application/json", "Content_Length": len(raw), **headers})
        handler.wfile.write(raw)

    return behave


def pages(of: Callable[[list[Any]], Any], items: list[Any], most: int) -> Behaviour:
    """`most` items a page, whatever is asked for; `of` puts a page's items into their answer."""

    def behave(handler: Handler) -> None:
        first = (int(handler.query.get("page", 1)) - 1) * most
        says(of(items[first : first + most]))(handler)

    return behave


def drips(before: bytes, drop: bytes = b" ") -> Behaviour:
    """Says something, and then one drop every now and then for ever."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(before)
        while not handler.forge.over.wait(0.05):
            handler.wfile.write(drop)

    return behave


def never(handler: Handler) -> None:
    """Takes the question and says nothing."""
    handler.forge.over.wait()


def endless(handler: Handler) -> None:
    """As many bytes as are taken."""
    handler.begin(200)
    while not handler.forge.over.is_set():
        handler.wfile.write(b" " * 65536)


def hangs_up(handler: Handler) -> None:
    """Ends without an answer."""


def github(
    found: Forge, statuses: list[dict[str, Any]], runs: list[dict[str, Any]], commit: str = HEAD, most: int = 100
) -> None:
    """Answers as GitHub documents it for the branch dev, whose head is `commit`."""
    root = f"/repos/{REPOSITORY}"
    state = "pending" if not statuses else "success"
    found.on(f"{root}/branches/dev", says({"name": "dev", "commit": {"sha": commit}, "protected": False}))
    found.on(f"{root}/commits/{commit[:7]}", says({"sha": commit, "commit": {"message": "…"}}))
    found.on(
        f"{root}/commits/{commit}/status",
        pages(
            lambda page: {"state": state, "sha": commit, "total_count": len(statuses), "statuses": page}, statuses, most
        ),
    )
    found.on(
        f"{root}/commits/{commit}/check-runs",
        pages(lambda page: {"total_count": len(runs), "check_runs": page}, runs, most),
    )


def github_branch(found: Forge, commit: str, common: str, head: str = HEAD) -> None:
    """GitHub's comparison of a commit with the branch dev: the last commit that both have in `common`."""
    state = "behind" if common == commit else "ahead" if common == head else "diverged"
    found.on(
        f"/repos/{REPOSITORY}/compare/{head}...{commit}",
        says({"status": state, "merge_base_commit": {"sha": common}, "commits": [], "files": []}),
    )


def run(name: str, conclusion: str | None = "success", status: str = "completed", commit: str = HEAD) -> dict[str, Any]:
    """A check run of GitHub's."""
    return {"id": crc32(name.encode()), "name": name, "head_sha": commit, "status": status, "conclusion": conclusion}


def status(context: str, state: str = "success") -> dict[str, Any]:
    """A commit status of GitHub's."""
    return {
        "id": crc32(context.encode()),
        "context": context,
        "state": state,
        "description": None,
        "target_url": "https://ci",
    }


def gitea(found: Forge, answer: Behaviour, commit: str = HEAD) -> None:
    """Answers as a Gitea or a Forgejo does for the branch dev; `answer` is that to the combined status."""
    root = f"/api/v1/repos/{REPOSITORY}"
    found.on(f"{root}/branches/dev", says({"name": "dev", "commit": {"id": commit, "message": "…"}}))
    found.on(f"{root}/git/commits/{commit[:7]}", says({"sha": commit}))
    found.on(f"{root}/commits/{commit}/status", answer)


def gitea_branch(found: Forge, *before: str, head: str = HEAD, repository: str = REPOSITORY) -> None:
    """A Gitea's list of the commits that led to one and not to another; `before` led to the head of the branch dev."""

    def behave(handler: Handler) -> None:
        asked, apart = handler.query["sha"], handler.query["not"]
        assert apart == head, "the branch is named by the commit at its head"
        says([] if asked in (head, *before) else [{"sha": asked}])(handler)

    root = f"/api/v1/repos/{repository}"
    found.on(f"{root}/branches/dev", says({"name": "dev", "commit": {"id": head, "message": "…"}}))
    found.on(f"{root}/commits", behave)


def combined(statuses: list[dict[str, Any]], most: int = 50) -> Behaviour:
    """A Gitea's combined status; its total_count is that of the page."""
    return pages(
        lambda page: {"state": "success", "sha": HEAD, "total_count": len(page), "statuses": page or None},
        statuses,
        most,
    )


def gitea_status(context: str, word: str = "success") -> dict[str, Any]:
    """One of a Gitea's statuses, whose word stands under `status`."""
    return {"id": crc32(context.encode()), "context": context, "status": word, "creator": None}


@dataclass(frozen=True)
class Post:
    """A status as Woodpecker posts it, each of which a Gitea keeps for ever."""

    workflow: str
    event: str = "success"  # Woodpecker's word for how its pipeline is
    at: str = "2026-11-28T09:15:00+01:00"


# What Woodpecker makes of its own words: the state of a status, and its description.
WOODPECKER = {
    "pending": ("pending", "Pipeline is pending"),
    "blocked": ("pending", "Pipeline is pending approval"),
    "running": ("pending", "Pipeline is running"),
    "success": ("success", "Pipeline was successful"),
    "failure": ("failure", "Pipeline failed"),
    "error": ("error", "Pipeline failed"),
    "killed": ("failure", "Pipeline was canceled"),
    "declined": ("warning", "Pipeline was rejected"),
    "skipped": ("skipped", ""),  # by a later Gitea's word, which other reporters have
}


def woodpecker(found: Forge, *posts: Post, most: int = 50, commit: str = HEAD, until: list[int] | None = None) -> None:
    """A Gitea to which a Woodpecker has posted these, in their order: its combined status is of the newest of each
    context, in pages of `most`, by id. `until`: of each page that is asked for, how many had been posted by then.
    """
    statuses = [_posted(number, post) for number, post in enumerate(posts, 1)]

    def behave(handler: Handler) -> None:
        known = statuses[: until.pop(0)] if until else statuses
        newest = list({one["context"]: one for one in known}.values())
        first = (int(handler.query.get("page", 1)) - 1) * min(most, int(handler.query["limit"]))
        page = sorted(newest, key=lambda one: -one["id"])[first : first + most]
        answer = {"state": "success", "sha": commit, "total_count": len(page), "statuses": page or None}
        says(answer if newest else b"")(handler)

    gitea(found, behave, commit)


def _posted(number: int, post: Post) -> dict[str, Any]:
    state, description = WOODPECKER[post.event]
    return {
        "id": number,
        "status": state,
        "target_url": f"https://ci.lan/repos/7/pipeline/12/{number}",
        "description": description,
        "url": "https://git.lan/api/v1/repos/azaion/annotation-queue/statuses/" + HEAD,
        "context": f"ci/woodpecker/{post.workflow}",
        "creator": {"id": 3, "login": "woodpecker", "is_admin": False},
        "created_at": post.at,
        "updated_at": post.at,
    }
