"""The whole page: values in, HTML out. Whatever a server says in them is shown as text, and can be nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from gpu_runbook.laptop.commands.health import worst
from gpu_runbook.laptop.report import clock
from gpu_runbook.laptop.report.values import ServerReport, moment
from gpu_runbook.laptop.report.view import used, view
from gpu_runbook.laptop.sanitize import clean

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = resources.files(__package__) / "templates"
STYLES = ("vendor/uPlot.min.css", "report.css")
SCRIPTS = ("vendor/uPlot.iife.min.js", "report.js")


def page(servers: Sequence[ServerReport], made_at: str) -> str:
    """One HTML file for one server or for several; `made_at` is RFC 3339 by the laptop's clock."""
    from markupsafe import Markup

    views = [view(report, number) for number, report in enumerate(servers, start=1)]
    scripts, styles = [*map(_read, SCRIPTS)], [*map(_read, STYLES)]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            servers=views,
            level=worst(one.now.level for one in views),
            made_at=made_at,
            # Our own files, and no text of anybody else's.
            styles=[Markup(text) for text in styles],  # noqa: S704
            scripts=[Markup(text) for text in scripts],  # noqa: S704
            hashes=[fingerprint(text) for text in scripts],
        )
    )


def fingerprint(script: str) -> str:
    """How a content security policy names the one script that it lets run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def embedded(value: Any) -> Any:
    """JSON as it may stand in a page: no text in it can end the element that it stands in."""
    from markupsafe import Markup

    text = json.dumps(_cleaned(value), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    return clean(value) if isinstance(value, str) else value


def _read(name: str) -> str:
    return TEMPLATES.joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    environment.filters |= {
        "brief": clock.brief,
        "embedded": embedded,
        "full": clock.full,
        "iso": clock.iso,
        "moment": moment,
        "place": place,
        "stretch": stretch,
        "used": used,
    }
    return environment


def _plain(value: Any) -> Any:
    """What an expression gives, with nothing in it that turns the direction of text or hides in it."""
    return clean(value) if type(value) is str else value


def place(percent: float) -> str:
    """A position on an axis as style."""
    return f"left:{percent:.3f}%"


def stretch(start: float, end: float) -> str:
    """A part of an axis as style, in percent; what is short and lies at the end grows to the left."""
    side = f"right:{100 - end:.3f}%" if start > 98 else f"left:{start:.3f}%"
    return f"{side};width:{end - start:.3f}%"
