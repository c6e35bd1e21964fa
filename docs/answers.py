"""The page of `--json`: what is promised, and every field of every answer with its type and its meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from docs.keys import anchor
from docs.shapes import Entry, Shape, alternatives, entries, flat, inner, shape_of, within, word
from gpu_runbook.laptop.answers import change, deploy, look, past, schedule
from gpu_runbook.laptop.answers.contract import SCHEMA, FailedRun, Object, ServerAnswer
from gpu_runbook.protocol.forms import Form
from gpu_runbook.protocol.journal import HandledOffsets


@dataclass(frozen=True)
class Section:
    """Some commands that answer the same. `kind`: what one server answers, or the document where it is `whole`."""

    commands: tuple[str, ...]
    kind: Any
    sentence: str = ""
    whole: bool = False


SETUP_ERROR = Annotated[Object, FailedRun, change.SetupDetails]  # `error`, where a setup fails
# In the place of an answer, of a server that gave none.
FAILED = Annotated[Object, FailedRun, ServerAnswer]
FAILED_SETUP = Annotated[Object, FailedRun, change.SetupDetails, ServerAnswer]
FOLLOWED = "logs --follow"

SECTIONS = (
    Section(("preflight",), look.PreflightAnswer),
    Section(("deploy", "rollback"), deploy.DeployAnswer),
    Section(("restart", "stop"), deploy.OperateAnswer),
    Section(("pause", "resume"), change.PauseAnswer),
    Section(("status",), look.StatusAnswer),
    Section(("diff",), look.DiffAnswer),
    Section(("history",), past.HistoryAnswer),
    Section(("show",), past.ShowAnswer),
    Section(("logs",), past.LogsAnswer),
    Section(
        (FOLLOWED,),
        past.FollowedObject,
        "No document: stdout is lines, and each line is one of these objects, printed as soon as it is heard. A line\n"
        "ends with a line feed; other ends of a line may stand within its texts. Where the command fails, its\n"
        "document is the last line: the only one that has `error`.",
        whole=True,
    ),
    Section(
        ("health",),
        look.HealthAnswer,
        "A server that cannot be reached is an answer: one check named `connection`, `critical`.",
        whole=True,
    ),
    Section(("health --since",), look.RoundsAnswer),
    Section(("schedule.install",), schedule.InstallAnswer),
    Section(("schedule.show",), schedule.ScheduleAnswer),
    Section(("schedule.test",), schedule.TrialAnswer),
    Section(("schedule.remove",), schedule.RemoveAnswer),
    Section(("prune",), change.PruneAnswer),
    Section(("setup",), change.SetupAnswer | change.StateMoveAnswer),
    Section(("env.diff",), change.EnvAnswer),
    Section(("env.push",), change.EnvPushAnswer),
    Section(("env.import",), change.EnvImportAnswer),
    Section(("models",), change.ModelsAnswer),
    Section(("models.use", "models.rollback"), change.ModelUseAnswer),
    Section(("training.command",), change.LaunchAnswer, "It is for one server: there are no `servers`.", whole=True),
)
BY_COMMAND = {command: section for section in SECTIONS for command in section.commands}
VALUES = {"health --since": " 24h"}  # a flag's, for a heading that can be typed

TOP = f"""\
# JSON for scripts

What a command with `--json` prints on stdout: every field, its type and what it means. It is a contract: a script that
reads it goes on working with every version that has the same number.

Made from the code by `make docs`.

## The contract

- **One document.** stdout is one JSON object and nothing else; what people read goes to stderr. `fab logs --follow` is
  the exception: it prints [lines](#fab-logs---follow).
- **`schema`** is its first field: the number of this contract, {SCHEMA} now. The number is raised when a field is taken
  away, can be missing where it never was, or gets another type or meaning; `CHANGELOG.md` says so.
- **Within a number** fields may be added, and a text that is one of some words may be another word. So pass over what
  you do not know. Nothing is removed or retyped.
- **`servers`** is a list, one object for each server in the order in which they were taken. The tables below say what
  is in one of them. Three answers are made otherwise, and say so.
- **Exit statuses** are in [exit-statuses.md](exit-statuses.md). The document is complete whatever the status.
- **Times** are RFC 3339 in UTC, such as `2026-04-20T10:11:12Z`, by the server's clock. Sizes are bytes, durations
  seconds, unless a field says otherwise. What there is none of is an empty text, list or object, or null where the type
  has it.
- **Sentences and hints** are for people: their words change from version to version. Branch on the exit status, on
  `outcome` and on `level`.
- **No secrets**: what is secret is in no answer.

```sh
fab status --json > status.json
jq -r '.servers[] | .server + " " + .release' status.json
```

## When a command fails

The document then has `schema`, `servers` and `error`, and no other field. What `fab health` and other checks find, with
exit status 1, 2 or 3, is no failure but an answer.

- `error` says why the command ends with its exit status.
- `servers` has those that were asked until then. Of a server that failed, the object is `server` and the fields of an
  error in the place of its answer; of any other it is the answer. A command that asks goes on to the next server, and
  with several servers `error` then counts those that gave no answer. A command that changes something ends at the first
  failure. `servers` is empty where nothing was contacted, as after bad input, at a defect of the tool itself, and of
  `fab training.command`.

| field | type | what it means |
|---|---|---|
%s

A run that failed adds to both what is known of it, and `fab setup` that needs a person what it would have answered;
each of these fields may be missing:

| field | type | what it means |
|---|---|---|
%s

Nothing is on stdout at all where the command line itself is not understood (exit status 1), and there may be nothing
after a Ctrl-C (exit status 15). `fab logs --follow` that is ended by Ctrl-C is no failure.
"""

BETWEEN = """
## What servers answer

`may be missing` is a field that not every such object has.
"""

OBJECTS = """
## Objects

What stands in more than one place, or within something else, by name.
"""


def page() -> str:
    """The page as it should be."""
    failed = [_row(entry) for entry in entries(Shape((FailedRun,))) if entry.needed]
    details = [entry for part in (FailedRun, change.SetupDetails) for entry in entries(Shape((part,)))]
    known = [_row(entry, told=False) for entry in details if not entry.needed and entry.name != "server"]
    shapes = {shape.name: shape for section in SECTIONS for shape in _inside(section)}
    shapes[HandledOffsets.__name__] = Shape((HandledOffsets,))
    objects = "".join(_object(shape) for _, shape in sorted(shapes.items()))
    return TOP % ("\n".join(failed), "\n".join(known)) + BETWEEN + "".join(map(_section, SECTIONS)) + OBJECTS + objects


def places(section: Section) -> dict[str, str]:
    """By place in a document: what stands there, for a machine to compare."""
    return flat(section.kind, "" if section.whole else "servers[]")


def places_of_a_failure() -> dict[str, str]:
    """The same of the document of a command that failed."""
    return flat(SETUP_ERROR, "error") | flat(FAILED_SETUP, "servers[]")


def _inside(section: Section) -> Iterable[Shape]:
    """The objects within the answers of a section, but for the answers themselves."""
    own = _own(section)
    return (shape for shape in within(section.kind) if shape not in own)


def _own(section: Section) -> list[Shape]:
    return [shape for kind in alternatives(section.kind) if (shape := shape_of(kind))]


def _section(section: Section) -> str:
    names = ", ".join(f"fab {command}" for command in section.commands)
    typed = ", ".join(f"`fab {command}{VALUES.get(command, '')} --json`" for command in section.commands)
    lines = ["", f"### {names}", "", typed]
    for shape in _own(section):
        lines += ["", *filter(None, (shape.says, section.sentence)), "", *_table(shape, numbered=section.whole)]
    return "\n".join(lines) + "\n"


def _object(shape: Shape) -> str:
    note = ["", "What is empty or null in one is left out."] if shape.slim else []
    return "\n".join(["", f"### {shape.name}", "", shape.says, *note, "", *_table(shape)]) + "\n"


def _table(shape: Shape, numbered: bool = False) -> list[str]:
    head = ["| field | type | what it means |", "|---|---|---|"]
    number = ["| `schema` | whole number | the number of the contract |"] if numbered else []
    fields = sorted(entries(shape), key=lambda entry: not entry.needed)
    return [*head, *number, *(_row(entry) for entry in fields if not (numbered and entry.name == "schema"))]


def _row(entry: Entry, told: bool = True) -> str:
    missing = ", may be missing" if told and not entry.needed else ""
    return f"| `{entry.name}` | {_type(entry)}{missing} | {entry.means} |"


def _type(entry: Entry) -> str:
    return _said(entry.kind) + (", or empty" if isinstance(entry.kind, Form) and entry.default == "" else "")


def _said(kind: Any) -> str:
    """What a field may hold, in words, with links to the objects."""
    if len(alternatives(kind)) > 1:
        some = [_said(one) for one in alternatives(kind) if one is not NoneType]
        return " or ".join([*some, *(["null"] if NoneType in alternatives(kind) else [])])
    shape, element = shape_of(kind), inner(kind)
    if shape:
        return f"[{shape.name}](#{anchor(shape.name)})"
    if element:
        return f"list of {_said(element[1])}" if element[0] == "[]" else f"object, {_said(element[1])} by name"
    if get_origin(kind) is Literal:
        return " or ".join(f"`{one}`" for one in get_args(kind))
    if isinstance(kind, Form) and kind.kind is str:
        return f"text: {kind.says.removesuffix(' or nothing')}" + (", or empty" if " or nothing" in kind.says else "")
    return word(kind)
