"""One browser for the tests of a module: while it is open, its event loop is in the way of everybody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from gpu_runbook.laptop.report.page import page
from gpu_runbook.laptop.report.values import ServerReport
from tests.report import made
from tests.report.browser import started

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass
class Opened:
    """A page in a browser that has no network, what it asked for, and what it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


Open = Callable[..., AbstractContextManager[Opened]]

_written: dict[tuple[int, ...], tuple[Sequence[ServerReport], str]] = {}


def written(servers: Sequence[ServerReport]) -> str:
    """Their page, made once for all tests that look at the very same ones."""
    key = tuple(map(id, servers))
    if key not in _written:
        _written[key] = servers, page(servers, made.AT)
    return _written[key][1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Open:
    """Write the page of some servers and open it; `screen` and `more` are the browser's."""

    @contextmanager
    def open_page(servers: Sequence[ServerReport], screen: ViewportSize = DESKTOP, **more: Any) -> Iterator[Opened]:
        file = tmp_path / "report.html"
        file.write_text(written(servers), encoding="utf-8", newline="\n")
        with browser.new_context(viewport=screen, **more) as context:
            context.set_offline(True)
            tab = context.new_page()
            found = Opened(tab)
            tab.on("request", lambda request: found.requests.append(request.url))
            tab.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
            tab.on("pageerror", lambda error: found.complaints.append(f"error: {error}"))
            tab.goto(file.as_uri())
            if more.get("java_script_enabled", True):
                tab.wait_for_selector("html[data-ready]", state="attached", timeout=5000)
            yield found

    return open_page
