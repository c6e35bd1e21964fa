"""Is the code of an image green? Asked of a forge, or of a command."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from gpu_runbook.common import command, shell_pattern
from gpu_runbook.common.humanize import several
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.gates import forges
from gpu_runbook.laptop.gates.forges import Forge, Result
from gpu_runbook.laptop.gates.parsing import Misshapen, Unjudged, few
from gpu_runbook.laptop.inputs.secret import Secret, masked, spellings
from gpu_runbook.laptop.inventory.address import Target
from gpu_runbook.laptop.inventory.gate_entries import OF_THE_ENVIRONMENT, Ci
from gpu_runbook.laptop.inventory.problems import printable
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import named, one_line, quoted
from gpu_runbook.protocol.forms import Revision, has, minute
from gpu_runbook.protocol.values import dataclass

_ELSEWHERE = "deploy an image that was built from a commit of that branch, or correct ci.branch"
MOST = 100  # results that are told to machines, the worst first
_STATES = (forges.RED, forges.RUNNING, forges.STRANGE, forges.SHAKY, forges.IDLE, forges.GREEN)


@dataclass(frozen=True)
class Commit:
    """What is judged, and why this one: `by` is `label` or `branch`."""

    name: str
    by: str
    branch: str

    def __str__(self) -> str:
        why = "the image's label" if self.by == "label" else f"head of {self.branch}"
        return f"commit {self.name[:8]} ({why})"


def token(ci: Ci, env_values: Mapping[str, Secret], environ: Mapping[str, str]) -> Secret | None:
    """The forge's token: out of the environment, where its name may be asked of it, else out of .env; None without."""
    value = environ.get(ci.token_variable, "").strip() if ci.token_variable in OF_THE_ENVIRONMENT else ""
    return Secret(value) if value else env_values.get(ci.token_variable) or None


def check(name: str, ci: Ci, target: Target, token: Secret | None, hidden: Sequence[str] = ()) -> Check:
    """One row. Asks a forge for at most forges.ROW x ci.timeout seconds, a command for ci.timeout.

    `hidden` are spellings of secrets, to be covered in what either says; the token's are too.
    Nothing is raised: what cannot be asked, or answers nothing of use, is a row as well.
    """
    hidden = sorted({*hidden, *spellings([token] if token else [])}, key=len, reverse=True)
    try:
        return _by_command(name, ci, target, hidden) if ci.command else _by_forge(name, ci, target, token, hidden)
    except Unjudged as error:
        return Check(name, UNKNOWN, masked(str(error), hidden), hint=error.hint)
    except BadInput as error:
        return Check(name, UNKNOWN, error.message, hint=error.hint)


def _by_forge(name: str, ci: Ci, target: Target, token: Secret | None, hidden: Sequence[str]) -> Check:
    if token and not re.fullmatch(r"[\x21-\x7e]+", token.reveal()):
        raise Unjudged(f"{ci.token_variable} has blanks or other characters that no token has", "put it right")
    forge = Forge(ci, target.fill("ci.repository", ci.repository), token)
    try:
        commit = _commit(forge, ci, target)
        # Covered before they are shortened: the half of a token would not be recognised.
        results = [
            dataclasses.replace(one, **{part: masked(getattr(one, part), hidden) for part in ("name", "word", "said")})
            for one in forge.results(commit.name)
        ]
        if commit.by == "label" and not forge.holds(ci.branch, commit.name):
            figures = {"commit": commit.name, "by": commit.by, "results": len(results)}
            return Check(name, CRITICAL, f"{commit} is not on branch {ci.branch}", figures, _ELSEWHERE)
        return judge(name, commit, results, ci.required)
    except Misshapen as error:
        raise Unjudged(f"what {forge.name} answers makes no sense: {error}", "check ci.forge and ci.address") from None


def _commit(forge: Forge, ci: Ci, target: Target) -> Commit:
    """The image's own commit when its label says one, else the head of the branch."""
    revision = _revision(target)
    if not revision:
        return Commit(forge.head(ci.branch), "branch", ci.branch)
    return Commit(revision if len(revision) in (40, 64) else forge.whole(revision), "label", ci.branch)


def _revision(target: Target) -> str:
    """The commit that the image's label names, empty without one. Raises Unjudged for what is none."""
    revision = target.revision.strip().lower()
    if revision and not has(Revision, revision):
        raise Unjudged(
            f'the image says that it was built from "{printable(target.revision, 40)}", which is no commit',
            "build it with the label org.opencontainers.image.revision set to git rev-parse HEAD",
        )
    return revision


def judge(name: str, commit: Commit, results: list[Result], required: tuple[str, ...]) -> Check:
    """The verdict over all results or, with `required`, over those that its patterns match.

    One that was skipped is neither green nor red. Each pattern needs one that is green, and all results together do
    where there is no pattern. Others that failed are then a warning.
    """
    groups = {wanted: [one for one in results if _meant(wanted, one)] for wanted in required} or {"": results}
    counted = [one for one in results if any(one in group for group in groups.values())]
    by_state = {state: [one for one in counted if one.state == state] for state in _STATES}
    figures = {"commit": commit.name, "by": commit.by, "results": len(counted)}
    figures |= {"missing": sum(not group for wanted, group in groups.items() if wanted)}
    figures |= {"failed": len(by_state[forges.RED]), "running": len(by_state[forges.RUNNING])}
    figures |= {"contexts": [_told(one) for one in sorted(results, key=_badness)[:MOST]]}
    level, sentence, hint = _verdict(groups, counted, by_state)
    if level == OK:
        beside = [one for one in results if one not in counted and one.state == forges.RED]
        if beside:
            level, sentence = WARNING, f"{sentence}; failed, and not required: {_named(beside)}"
    return Check(name, level, f"{commit}: {sentence}", figures, hint)


def _meant(pattern: str, one: Result) -> bool:
    return one.name == pattern or shell_pattern.matches(pattern, one.name)


def _badness(one: Result) -> int:
    return _STATES.index(one.state)


def _told(one: Result) -> dict[str, str]:
    """A result for machines."""
    return {"name": one.name, "state": one.state, "word": one.word, "since": one.since}


def _verdict(
    groups: Mapping[str, list[Result]], counted: list[Result], by_state: Mapping[str, list[Result]]
) -> tuple[str, str, str]:
    """(level, sentence, hint); what is worst comes first. `groups`: the results that each pattern matches."""
    count = len(counted)
    red, running, strange, shaky, idle, green = (by_state[state] for state in _STATES)
    missing = [wanted for wanted, group in groups.items() if wanted and not group]
    if red:
        return CRITICAL, f"{len(red)} of {count} failed: {_named(red)}", "mend it, or deploy an image of a green commit"
    if missing:
        hint = "wait for it, or correct ci.required"
        return CRITICAL, f"no result of {few(missing)}, which {'is' if len(missing) == 1 else 'are'} required", hint
    if running:
        are = "is" if len(running) == 1 else "are"
        hint = "wait until it is done; one that hangs is to be run again"
        return CRITICAL, f"{len(running)} of {count} {are} still running: {_under_way(running)}", hint
    if strange:
        return UNKNOWN, f"what the forge says of {_named(strange)} is not known here", "look at the forge"
    nothing = next((wanted for wanted, group in groups.items() if all(one in idle for one in group)), None)
    if nothing is not None:
        said = f"{several(len(groups[nothing]), 'result')}, and none did anything: {_named(groups[nothing])}"
        sentence = (f"of {few([nothing])} there is {said}" if nothing else said) if groups[nothing] else "no results"
        return CRITICAL, f"{sentence}; nothing says that it is green", "run the CI for this commit"
    if shaky:
        return WARNING, f"{len(shaky)} of {count} passed with a warning: {_names(shaky)}", "look at the forge"
    if idle:
        are = "is" if len(green) == 1 else "are"
        return OK, f"{len(green)} of {count} results {are} green, and the rest did nothing: {_named(idle)}", ""
    return OK, "its one result is green" if count == 1 else f"all {count} results are green", ""


def _names(results: list[Result]) -> str:
    return few([quoted(one.name, 50) for one in results])


def _named(results: list[Result]) -> str:
    return few([f"{quoted(one.name, 50)} ({named(one_line(one.word, 20))})" for one in results], width=80)


def _under_way(results: list[Result]) -> str:
    """Those that wait longest first, with since when, and with what is said of it, such as whom they wait for."""
    return few([_waiting(one) for one in sorted(results, key=lambda one: one.since or "later")], width=160)


def _waiting(one: Result) -> str:
    told = [f"since {minute(one.since)}"] * bool(one.since) + [quoted(one.said, 60)] * bool(one.said)
    return quoted(one.name, 50) + (f" ({', '.join(told)})" if told else "")


def _by_command(name: str, ci: Ci, target: Target, hidden: Sequence[str]) -> Check:
    """Exit status 0 is green, 1 to 125 is not; what was not found, killed or too slow said nothing."""
    argv = [target.fill("ci.command", word) for word in ci.command]
    revision = _revision(target)
    told = {"REVISION": revision, "BRANCH": ci.branch, "SERVICE": target.service, "IMAGE": target.image}
    ended = command.run(argv, ci.timeout, env=told)
    program = printable(argv[0])
    said = one_line(masked(ended.complaint, hidden), 200)
    judged = f"commit {revision[:8]}" if revision else f"branch {ci.branch}"
    if ended.status == 0:
        return Check(name, OK, f"{judged}: {program} says that it is green", {"status": 0})
    if ended.status is None:
        raise Unjudged(f"{program} did not answer within {ci.timeout} s", "raise ci.timeout, or see what it waits for")
    if 1 <= ended.status <= 125:
        return Check(
            name, CRITICAL, f"{judged}: {program} says no: {said}", {"status": ended.status}, "mend what it names"
        )
    if ended.status < 0:
        raise Unjudged(f"{program} was ended by signal {-ended.status}")
    raise Unjudged(f"{program} could not be run: {said}", "correct ci.command")
