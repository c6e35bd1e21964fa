"""Renders a template to YAML in which every value survives, whatever characters it is made of.

Each expression of a template becomes one quoted YAML scalar, and afterwards the YAML is read back to see that it did:
an expression inside quotes, beside other text or in a comment is an error and never a damaged password.

A template is data: jinja2's immutable sandbox runs it, with the globals of GLOBALS alone, and it is one file. How long
it takes and what it uses is bounded by where it is rendered, in `apart`.
"""

from __future__ import annotations

import codecs
import functools
import importlib
import math
import re
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gpu_runbook.common import config_key
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import quotes
from gpu_runbook.laptop.inputs.child_process import INTERRUPTED_AFTER, TooLong
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inventory.entries import Host
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.laptop.inventory.text_file import LIMIT, read_text
from gpu_runbook.protocol.values import dataclass, field

if TYPE_CHECKING:
    from jinja2 import Template as Compiled
    from jinja2.nodes import Template as Syntax
    from jinja2.runtime import Context
    from jinja2.sandbox import SandboxedEnvironment

MISSING = "A service's config.template in hosts.yaml is a path relative to hosts.yaml."

ALONE = (
    "Each expression becomes one quoted value: write no quotes around it and no text beside it, "
    'but {{ root ~ "/models" }}; it cannot stand in a YAML comment.'
)

# What every template is given beside the variables of .env. The model that was chosen is put in on the server.
GIVEN = frozenset({"root", "server"})
GLOBALS = ("dict", "namespace", "range")  # of jinja2's own; docs/hosts-yaml.md names them

TRIAL = "/models/2026-04-20/best.pt"  # put in and taken out again, to see that it can be
ONE_LINE = 'Give the model a line of its own in the template: model: {{ root ~ "/models/current/best.pt" }}'

# What jinja2 and its filters import when they come to use it.
_USED_LATER = ("html", "jinja2.debug", "jinja2.meta", "jinja2.sandbox", "pprint", "textwrap")

_CORRECT = "Correct the template."
SECRET = 4  # characters from which on a value tells something
_LONG = f"it gives more than {LIMIT >> 20} MiB"
_UNDEFINED = re.compile(r"'\w+' is undefined")

Written = tuple[Any, str]  # a value, and the YAML scalar that was made of it


@dataclass(frozen=True)
class Template:
    """A template as it was read. Using it runs it: that is for `apart` alone to do."""

    path: Path
    source: str = field(repr=False)

    @functools.cached_property
    def variables(self) -> frozenset[str]:
        """The variables of .env that it uses. Raises BadInput for what is no template."""
        from jinja2.meta import TrackingCodeGenerator

        try:
            # As jinja2.meta.find_undeclared_variables, without computing what is constant.
            found = TrackingCodeGenerator(self._environment)
            found.optimizer = None
            found.visit(self._syntax)
        except (Exception, TooLong) as error:
            raise _unrenderable(self.path, error) from None
        return frozenset(found.undeclared_identifiers) - GIVEN

    def render(self, values: Mapping[str, Secret], host: Host) -> str:
        """The text of a configuration file; it holds secrets.

        Raises BadInput, naming the template and the line and never a value, for what does not render, or not to a YAML
        mapping, or to one in which a value is not what it was.
        """
        context: dict[str, str | None] = {name: value.reveal() for name, value in values.items()}
        context |= {"root": host.root, "server": host.name}
        self._written.clear()
        try:
            text = self._rendered(context)
        except (Exception, TooLong) as error:
            raise _unrenderable(self.path, error) from None
        try:
            _verify(self, text, self._written)
        except TooLong:
            raise BadInput(f"{self.path} renders to YAML that takes too long to read.", _CORRECT) from None
        return text

    def _rendered(self, context: Mapping[str, Any]) -> str:
        stream: Any = self._compiled.generate(context)  # a generator, though it is declared as less
        pieces, size = [], 0
        try:
            try:
                for piece in stream:
                    pieces.append(piece)
                    size += len(piece)
                    if size > LIMIT:
                        stream.throw(BadInput(_LONG))  # where the template stands, so that its line is known
            except TooLong as late:
                stream.throw(late)  # the same, for one between two pieces
        except TooLong:
            self._environment.handle_exception()  # raises it with the template's own lines, as jinja2 an Exception
        return "".join(pieces)

    @functools.cached_property
    def _written(self) -> list[Written]:
        return []

    @functools.cached_property
    def _environment(self) -> SandboxedEnvironment:
        return _environment(self._written)

    @functools.cached_property
    def _syntax(self) -> Syntax:
        from jinja2 import TemplateSyntaxError, nodes

        syntax = self._environment.parse(self.source)
        kinds: tuple[type[nodes.Node], ...] = (nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)
        other = next(syntax.find_all(kinds), None)
        if other:
            raise TemplateSyntaxError("it is to be one file, that includes, imports and extends no other", other.lineno)
        return syntax

    @functools.cached_property
    def _compiled(self) -> Compiled:
        return self._environment.from_string(self._syntax)


def read(path: Path) -> Template:
    """The template in a file, with what it takes to use it where nothing can be opened. Raises BadInput."""
    for name in _USED_LATER:
        importlib.import_module(name)
    codecs.lookup("unicode-escape")  # how a template's texts are read
    return Template(path, read_text(path, MISSING))


def check_model_key(template: Path, text: str, key: str, secrets: Iterable[str]) -> None:
    """The server can put another model behind the key: it alone changes. Raises BadInput, naming template and key.

    `secrets`: what no key of a model may lead to, since a model's path is shown.
    """
    keys, document = key.split("."), yaml.safe_load(text)
    try:
        changed = config_key.replaced(text, key, TRIAL)
    except config_key.Unplaceable as error:
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


def _environment(written: list[Written]) -> SandboxedEnvironment:
    """Jinja2 with our quoting; every value that an expression gave is appended to `written`, in order."""
    from jinja2 import StrictUndefined, Undefined, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    @pass_context  # keeps jinja2 from quoting a constant while compiling, whether or not it is ever rendered
    def quoted(context: Context, value: Any) -> str:
        if isinstance(value, Undefined):
            return str(value)  # raises, naming the variable
        if value is not None and not isinstance(value, (str, int, float)):
            raise BadInput("an expression is neither text nor a number nor nothing")
        value = str(value) if isinstance(value, str) else value
        if isinstance(value, str) and len(value) > LIMIT:
            raise BadInput(_LONG)
        written.append((value, _yaml(value)))
        return written[-1][1]

    # Nothing is computed before it is rendered: there it is known which line it stands in.
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, finalize=quoted, keep_trailing_newline=True, optimized=False
    )
    environment.globals = {name: environment.globals[name] for name in GLOBALS}
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


def _verify(template: Template, text: str, written: list[Written]) -> None:
    try:
        data = yaml.safe_load(text)
        leaves = Counter(_leaves(data))
    except (yaml.YAMLError, ValueError) as error:  # the latter of a date or a number that is none
        mark = getattr(error, "problem_mark", None)
        raise _misplaced(template, " renders to broken YAML", mark.line + 1 if mark else 0) from None
    except RecursionError:
        raise BadInput(f"{template.path} renders to YAML that is nested too deeply.", ALONE) from None
    if not isinstance(data, dict):
        raise _misplaced(template, " renders to YAML that is not a mapping (key: value)")
    position = 0
    for value, scalar in written:
        position = max(position, text.find(scalar, position))
        if not leaves[_identity(value)]:
            line = text.count("\n", 0, position) + 1
            raise _misplaced(template, ": an expression does not stand alone", line)
        leaves[_identity(value)] -= 1
        position += len(scalar)


def _misplaced(template: Template, what: str, line: int = 0) -> BadInput:
    """`what` is wrong with an expression, in a line of the result; of the template is shown what holds no value."""
    where = f" (line {line} of the result)" if line else ""
    found = quotes.first(template.source)
    if found is None:
        return BadInput(f"{template.path}{what}{where}.", ALONE)
    write = f"; write {printable(found.better)}" if found.better else ""
    sentence = f"has quotes around an expression: {printable(found.text)}{where}{write}"
    for value, _ in template._written:
        if isinstance(value, str) and len(value) >= SECRET:  # somebody who has copied a password beside its variable
            sentence = sentence.replace(value, "…")
    return BadInput(f"{template.path}:{found.line} {sentence}.", ALONE)


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


def _unrenderable(template: Path, error: BaseException) -> BadInput:
    """What went wrong and where; of an error's own text only what cannot hold a value."""
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        problem = f":{error.lineno} is no template: {printable(error.message or '').rstrip('.')}"
    else:
        line = _template_line(error)
        problem = f"{f':{line}' if line else ''} does not render: {_why(error)}"
    return BadInput(f"{template}{problem}.", _CORRECT)


def _why(error: BaseException) -> str:
    """Why a template does not render, in words that hold no value."""
    from jinja2.exceptions import SecurityError, UndefinedError

    if isinstance(error, BadInput) or (isinstance(error, UndefinedError) and _UNDEFINED.fullmatch(str(error))):
        return str(error)
    if isinstance(error, SecurityError):
        return "it reaches for what a template may not touch"
    if isinstance(error, MemoryError):
        return "it takes more memory than a template may"
    if isinstance(error, OverflowError):
        return "a number or a range in it is too large"
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or calls itself"
    if isinstance(error, TooLong):
        return f"it takes longer than {INTERRUPTED_AFTER:g} s"
    return type(error).__name__


def _template_line(error: BaseException) -> int | None:
    """Jinja2 puts the template's own lines into the traceback, under this name."""
    frames = [*traceback.walk_tb(error.__traceback__)]
    return next((line for frame, line in reversed(frames) if frame.f_code.co_filename == "<template>"), None)
