"""Renders a template to YAML in which every value survives, whatever characters it is made of.

Each expression of a template becomes one quoted YAML scalar, and afterwards the YAML is read back to see that it did:
an expression inside quotes, beside other text or in a comment is an error and never a damaged password.
"""

from __future__ import annotations

import functools
import math
import re
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from remote import modelkey
from runbook.entries import Host
from runbook.errors import BadInput
from runbook.problems import printable
from runbook.secret import Secret
from runbook.textfile import read_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context

MISSING = "A service's config.template in hosts.yaml is a path relative to hosts.yaml."

ALONE = (
    "Each expression becomes one quoted value: write no quotes around it and no text beside it, "
    'but {{ root ~ "/models" }}; it cannot stand in a YAML comment.'
)

# What every template is given beside the variables of .env. The model that was chosen is put in on the server.
GIVEN = frozenset({"root", "server"})

TRIAL = "/models/2026-04-20/best.pt"  # put in and taken out again, to see that it can be
ONE_LINE = 'Give the model a line of its own in the template: model: {{ root ~ "/models/current/best.pt" }}'

_UNDEFINED = re.compile(r"'\w+' is undefined")

Written = tuple[Any, str]  # a value, and the YAML scalar that was made of it


def required_variables(template: Path) -> frozenset[str]:
    """The variables of .env that a template uses. Raises BadInput for a template that cannot be read."""
    from jinja2 import TemplateError, meta

    source = read_text(template, MISSING)
    try:
        return frozenset(meta.find_undeclared_variables(_environment([]).parse(source))) - GIVEN
    except TemplateError as error:
        raise _unrenderable(template, error) from None


def render_config(template: Path, values: Mapping[str, Secret], host: Host) -> str:
    """The text of a configuration file; it holds secrets.

    Raises BadInput, naming the template and the line and never a value, for what does not render, or not to a YAML
    mapping, or to one in which a value is not what it was.
    """
    source = read_text(template, MISSING)
    written: list[Written] = []
    context: dict[str, str | None] = {name: value.reveal() for name, value in values.items()}
    context |= {"root": host.root, "server": host.name}
    try:
        text = _environment(written).from_string(source).render(context)
    except Exception as error:
        raise _unrenderable(template, error) from None
    _verify(template, text, written)
    return text


def check_model_key(template: Path, text: str, key: str, secrets: Iterable[str]) -> None:
    """The server can put another model behind the key: it alone changes. Raises BadInput, naming template and key.

    `secrets`: what no key of a model may lead to, since a model's path is shown.
    """
    keys, document = key.split("."), yaml.safe_load(text)
    try:
        changed = modelkey.replaced(text, key, TRIAL)
    except modelkey.Unplaceable as error:
        raise BadInput(f"{template}: config.model_key {key}: {error}.", ONE_LINE) from None
    leaf = functools.reduce(lambda inner, name: inner.get(name) if isinstance(inner, dict) else None, keys, document)
    if leaf in secrets:
        raise BadInput(f"{template}: config.model_key {key} leads to a password and not to a model.", ONE_LINE)
    if repr(yaml.safe_load(changed)) != repr(_with_leaf(document, keys, TRIAL)):
        raise BadInput(f"{template}: config.model_key {key} cannot be changed on its own.", ONE_LINE)


def _with_leaf(document: Any, keys: Sequence[str], leaf: str) -> Any:
    """A copy of nested mappings in which one leaf is another; anything else becomes equal to nothing."""
    if not keys:
        return leaf
    inner = document.get(keys[0]) if isinstance(document, dict) else None
    return {**document, keys[0]: _with_leaf(inner, keys[1:], leaf)} if isinstance(document, dict) else None


def _environment(written: list[Written]) -> Environment:
    """Jinja2 with our quoting; every value that an expression gave is appended to `written`, in order."""
    from jinja2 import Environment, StrictUndefined, Undefined, pass_context

    @pass_context  # keeps jinja2 from quoting a constant while compiling, whether or not it is ever rendered
    def quoted(context: Context, value: Any) -> str:
        if isinstance(value, Undefined):
            return str(value)  # raises, naming the variable
        if value is not None and not isinstance(value, (str, int, float)):
            raise BadInput("an expression is neither text nor a number nor nothing")
        value = str(value) if isinstance(value, str) else value
        written.append((value, _yaml(value)))
        return written[-1][1]

    # The text is YAML and no web page: there is nothing to escape for HTML.
    environment = Environment(undefined=StrictUndefined, finalize=quoted, keep_trailing_newline=True)  # noqa: S701
    environment.filters["int"] = _whole
    return environment


def _whole(value: Any) -> int:
    """Instead of jinja2's own `int`, which makes 0 of what is no number."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise BadInput("a value is no whole number") from None


def _yaml(value: Any) -> str:
    style = '"' if isinstance(value, str) else None
    scalar: str = yaml.safe_dump(value, default_style=style, width=math.inf, allow_unicode=True)
    return scalar.removesuffix("\n").removesuffix("\n...")


def _verify(template: Path, text: str, written: list[Written]) -> None:
    try:
        data = yaml.safe_load(text)
        leaves = Counter(_leaves(data))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1} of the result)" if mark else ""
        raise BadInput(f"{template} renders to broken YAML{where}.", ALONE) from None
    except RecursionError:
        raise BadInput(f"{template} renders to YAML that is nested too deeply.", ALONE) from None
    if not isinstance(data, dict):
        raise BadInput(f"{template} renders to YAML that is not a mapping (key: value).", ALONE)
    position = 0
    for value, scalar in written:
        position = max(position, text.find(scalar, position))
        if not leaves[_identity(value)]:
            line = text.count("\n", 0, position) + 1
            raise BadInput(f"{template}: an expression does not stand alone (line {line} of the result).", ALONE)
        leaves[_identity(value)] -= 1
        position += len(scalar)


def _leaves(data: Any) -> Iterator[tuple[type, str]]:
    """Every scalar in the data, keys included."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(key)
            yield from _leaves(value)
    elif isinstance(data, list):
        for item in data:
            yield from _leaves(item)
    else:
        yield _identity(data)


def _identity(value: Any) -> tuple[type, str]:
    """Tells 1 from True and 1.0, which are equal to Python and not to who reads the file."""
    return type(value), repr(value)


def _unrenderable(template: Path, error: Exception) -> BadInput:
    """What went wrong and where; of an error's own text only what cannot hold a value."""
    from jinja2 import TemplateSyntaxError, UndefinedError

    if isinstance(error, TemplateSyntaxError):
        problem = f":{error.lineno} is no template: {printable(error.message or '').rstrip('.')}"
    else:
        line = _template_line(error)
        safe = isinstance(error, BadInput) or (isinstance(error, UndefinedError) and _UNDEFINED.fullmatch(str(error)))
        problem = f"{f':{line}' if line else ''} does not render: {error if safe else type(error).__name__}"
    return BadInput(f"{template}{problem}.", "Correct the template.")


def _template_line(error: Exception) -> int | None:
    """Jinja2 puts the template's own lines into the traceback, under this name."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == "<template>"), None)
