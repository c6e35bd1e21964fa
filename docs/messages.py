"""The page of everything that is said: each sentence with what to do, by exit status or level, then by subject."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import takewhile

from docs.sayings import Finder, Saying
from docs.source import modules

# Each kind of saying in the order of the page: its heading, and what the headings stand for.
CHAPTERS = {
    "10": ("Exit status 10: bad input", "Nothing was contacted and nothing was changed. Correct it and run it again."),
    "11": ("Exit status 11: the server", "It was not reached, is not who it was, or cannot carry anything out."),
    "12": ("Exit status 12: refused", "A row, a lock or a gate said no. Nothing was changed."),
    "13": ("Exit status 13: failed, and as it was before", "The run failed and was undone by itself."),
    "14": ("Exit status 14: a person is needed", "Look at `fab status` before anything else."),
    "15": ("Exit status 15: cancelled", "Nothing was changed."),
    "16": ("Exit status 16: contact was lost", "What had begun goes on without you; `fab follow` comes back to it."),
    "17": ("Exit status 17: a defect", "An answer or a state that the code did not expect. `--debug` shows where."),
    "critical": (
        "Rows: critical",
        "Of `fab preflight`, a deploy, `fab status`, `fab health` and the scheduled check. In a deploy a required row "
        "that is critical ends it with exit status 12; `fab health` ends with 2.",
    ),
    "unknown": (
        "Rows: unknown",
        "The question could not be answered, which is no yes: a required row stops a deploy (12); `fab health` ends "
        "with 3.",
    ),
    "warning": ("Rows: warning", "Shown, and stops nothing; `fab health` ends with 1."),
    "skipped": ("Rows: skipped", "There was nothing to ask."),
    "failed": ("The watch: why a release failed", "Stands in the end of the run, which goes back (13)."),
    "unproven": (
        "The watch: why a release is unproven",
        "Nothing spoke against it, and nothing could prove it. A later `fab status` may.",
    ),
    "drift": ("Drift", "What `fab diff` finds not to be as the record has it."),
    "note": ("Notes and warnings", "Said beside what succeeded."),
    "part": (
        "Parts of sentences",
        "What may stand where the sentences above have `<why>`. What docker, ssh or the operating system say by "
        "themselves stands there too, in their words.",
    ),
}

# What a module's sentences are about, where its name does not say it.
SUBJECTS = {
    "remote.batch": "training", "remote.bootstrap": "the call", "remote.carry": "carrying out a run",
    "remote.checks.asked": "checks", "remote.checks.broker": "the broker", "remote.checks.container": "the container",
    "remote.checks.disk": "disk", "remote.checks.gpu": "GPUs", "remote.checks.logtail": "its log",
    "remote.checks.progress": "the offset", "remote.checks.scheduled": "the scheduled check",
    "remote.checks.together": "any check", "remote.choose": "models", "remote.close": "runs that were cut off",
    "remote.codec": "values between laptop and server", "remote.dial": "reaching the broker",
    "remote.docker": "docker commands", "remote.ends": "ends", "remote.engine": "the docker engine",
    "remote.env": "files of variables", "remote.envfile": "files of variables", "remote.fetch": "pulling",
    "remote.files": "files on the server", "remote.gpu_support": "GPUs",
    "remote.ground": "the ground a deploy stands on", "remote.guarded": "files on the server",
    "remote.halt": "restart and stop", "remote.health": "checks",
    "remote.journal": "journals", "remote.lock": "the lock", "remote.look": "images",
    "remote.mend": "runs that were cut off", "remote.modelchoice": "models", "remote.modelfile": "models",
    "remote.modelkey": "models", "remote.models": "models", "remote.offset": "the offset file",
    "remote.operate": "restart and stop", "remote.pause": "the pause", "remote.process": "starting a run",
    "remote.prune": "tidying up", "remote.ready": "starting a run", "remote.record": "the record",
    "remote.recover": "runs that were cut off", "remote.release": "releases",
    "remote.replay": "reading messages again", "remote.rewind": "reading messages again",
    "remote.run": "starting a run",
    "remote.scheduled.act": "the scheduled check", "remote.scheduled.channels": "whoever is to be told",
    "remote.scheduled.crontab": "cron",
    "remote.scheduled.deliver": "whoever is to be told", "remote.scheduled.history": "the scheduled check",
    "remote.scheduled.http": "whoever is to be told", "remote.scheduled.install": "the scheduled check",
    "remote.scheduled.main": "the scheduled check", "remote.scheduled.remove": "the scheduled check",
    "remote.scheduled.restarts": "the scheduled check", "remote.scheduled.round": "the scheduled check",
    "remote.scheduled.silence": "the scheduled check", "remote.scheduled.smtp": "whoever is to be told",
    "remote.scheduled.standstill": "the offset", "remote.scheduled.state": "the scheduled check",
    "remote.scheduled.trial": "whoever is to be told", "remote.scheduled.waiting": "whoever is to be told",
    "remote.setup": "setting up",
    "remote.stage": "staging", "remote.store": "the folder .deploy", "remote.stream": "the stream",
    "remote.surplus": "tidying up", "remote.swap": "the swap", "remote.tree": "the tree",
    "remote.unfinished": "the docker engine",
    "remote.unix_http": "the docker engine", "remote.view": "containers", "remote.vigil": "a release under watch",
    "runbook.checklist": "the checklist", "runbook.connection": "connecting", "runbook.dial": "connecting",
    "runbook.door": "connecting", "runbook.drift": "what has changed", "runbook.entries": "a line of hosts.yaml",
    "runbook.envfile": ".env", "runbook.exchange": "the server's answer", "runbook.fields": "a line of hosts.yaml",
    "runbook.gates.allowed": "security scan", "runbook.gates.ci": "CI",
    "runbook.gates.entries": "a line of hosts.yaml", "runbook.gates.forges": "CI", "runbook.gates.http": "CI",
    "runbook.gates.reports": "security scan", "runbook.gates.scan": "security scan",
    "runbook.gates.shape": "what a forge or a scanner says", "runbook.gates.target": "a line of hosts.yaml",
    "runbook.gates.verdict": "security scan", "runbook.gating": "the checklist", "runbook.going_back": "rollback",
    "runbook.hostkeys": "host keys", "runbook.hostsfile": "a line of hosts.yaml",
    "runbook.inventory": "servers and services that were named", "runbook.jobs": "deploy and rollback",
    "runbook.login": "logging in", "runbook.looking": "looking at a server",
    "runbook.mending": "runs that were cut off", "runbook.models": "models", "runbook.operating": "restart and stop",
    "runbook.pausing": "the pause", "runbook.planning": "the plan", "runbook.pruning": "tidying up",
    "runbook.render": "templates", "runbook.report.view": "the report",
    "runbook.reporting": "files on the laptop",
    "runbook.resolve": "hosts.yaml and .env together", "runbook.running": "runs",
    "runbook.schedule.asking": "the scheduled check", "runbook.schedule.entries": "a line of hosts.yaml",
    "runbook.schedule.settings": "hosts.yaml and .env together", "runbook.schedule.showing": "the scheduled check",
    "runbook.schedule.timeline": "the scheduled check", "runbook.serverenv": "files of variables",
    "runbook.settingup": "setting up", "runbook.show_models": "models",
    "runbook.textfile": "files on the laptop", "runbook.training": "training",
    "runbook.apart": "templates", "runbook.templates": "templates",
    "runbook.yamlfile": "YAML on the laptop", "tasks.deploy": "flags", "tasks.front": "any command",
    "tasks.report": "flags",
    "tasks.schedule": "the scheduled check", "tasks.visit": "flags",
}  # fmt: skip

# Places that hand on what others say, so that no sentence stands in them.
HANDED_ON = {
    ("remote.checks.state", "check"): "why the folder cannot lie there, as a row",
    ("runbook.apart", "_understood"): "what the rendering of a template ended with",
    ("runbook.moving", "move"): "why a move of the state was not heard to its end",
    ("tasks.deploy", "_close"): "that a run was closed, and what was left as it is",
    ("tasks.visit", "_show_notices"): "what a server says for a person to know",
    ("runbook.checklist", "env_row"): "the variables that are missing, joined",
    ("runbook.fields", "parse"): "the sentence of a kind of entry, each named under hosts.yaml",
    ("runbook.hostsfile", "load"): "a sentence of a kind of entry, or of the library that reads them",
    ("runbook.gates.allowed", "read"): "the first of its mistakes, joined",
    ("runbook.gates.ci", "check"): "why nothing could be judged, as a row",
    ("runbook.gates.forges", "_answer"): "why a forge gave no answer",
    ("runbook.gates.scan", "check"): "why the report is no good, or could not be judged, as a row",
    ("runbook.gates.verdict", "judge"): "the scanner's name, at the end of the row",
    ("runbook.health", "of_server"): "why a server could not be reached, as a row",
    ("runbook.hostkeys", "_keys_in"): "what the operating system says of a known_hosts file",
    ("runbook.jobs", "_superseded"): "that a run was closed, and what was left as it is",
    ("runbook.jobs", "looked"): "how a run that was cut off has ended",
    ("runbook.settingup", "set_up"): "how a move of the state that was cut off has ended",
    ("runbook.logs", "_follow"): "what the line says, while following",
    ("runbook.pausing", "pause"): "what the line says",
    ("runbook.pruning", "_listed"): "how a run that was cut off has ended",
    ("runbook.serverenv", "_after_mending"): "how a run that was cut off has ended",
    ("runbook.serverenv", "wish"): "a variable that is missing, or that cannot be written",
    ("runbook.settingup", "_asked"): "what the line says",
    ("runbook.models", "_fit"): "what is wrong with a model",
    ("runbook.models", "_verified"): "how a run that was cut off has ended",
    ("runbook.resolve", "_read_envs"): "an error of .env, together with others",
    ("runbook.templates", "_read"): "what is wrong with the place of a template, by the line of hosts.yaml",
    ("runbook.schedule.asking", "_changing"): "what the line says",
    ("runbook.schedule.showing", "rows"): "why the crontab cannot be read, as a row",
    ("remote.batch", "check"): "how each run of training is, joined",
    ("remote.envfile", "check"): "what is wrong with a file of variables, joined",
    ("remote.prune", "_remove"): "what the docker engine says",
    ("remote.ready", "refused"): "what refused the run before it began",
    ("remote.setup", "_engine"): "what the docker engine says",
    ("remote.tree", "check"): "what is wrong with each directory, joined",
    ("remote.carry", "_failed"): "why a rollback failed, and why that could not be recorded",
    ("remote.checks.broker", "check"): "what the stream's protocol came to",
    ("remote.checks.disk", "judge"): "the findings of each file system, joined",
    ("remote.checks.disk", "look"): "what df says",
    ("remote.checks.gpu", "judge"): "the findings of each card, joined",
    ("remote.checks.progress", "_without_stream"): "why the stream could not be asked",
    ("remote.checks.progress", "_without_offset"): "why the offset file could not be read",
    ("remote.checks.together", "_ask"): "a refusal, as a row",
    ("remote.detach", "detached"): "a refusal of the detached process",
    ("remote.docker", "_asked"): "what the docker engine says",
    ("remote.engine", "_unreachable"): "what the docker engine says",
    ("remote.engine", "send"): "what the docker engine says",
    ("remote.pulling", "pull"): "what the docker engine says",
    ("remote.ground", "offset"): "why the offset file could not be read",
    ("remote.modelfile", "looked_at"): "the state of a model, in words that stand elsewhere",
    ("remote.scheduled.act", "_carry_out"): "how the start of a consumer ended",
    ("remote.scheduled.deliver", "_beat"): "why the heartbeat's address did not answer, as a row",
    ("remote.scheduled.deliver", "empty"): "why an alert was not taken, as a row",
    ("remote.stream", "_connected"): "why the broker could not be reached",
    ("remote.view", "view"): "what is damaged in the record",
    ("remote.vigil", "_at_the_end"): "why the broker or the engine was away",
    ("sandbox.lifecycle", "_again_as_root"): "an error of the sandbox that ran as root",
}

TOP = """\
# What it says

Every sentence that gpu-runbook may say when something is not well, with what to do about it. Search a few words of
yours: what differs from case to case stands in angle brackets, `<server>` for the name of a server. In square brackets
stands what may be missing, or be one or the other: `[this | that]`. Where a sentence is said of a server, the server's
name is put in front of it.

Made from the code by `make docs`; what each exit status means for a script: [exit-statuses.md](exit-statuses.md).
"""


LONGEST = 90  # characters of all that may stand in one place


@cache
def finder() -> Finder:
    """Everything that the code says."""
    return Finder(modules())


def page() -> str:
    """The page as it should be."""
    lines = [TOP]
    for kind, (heading, meaning) in CHAPTERS.items():
        told = [saying for saying in finder().sayings if saying.kind == kind]
        if told:
            lines += [f"\n## {heading}\n\n{meaning}\n", *_by_subject(told)]
    lines += [
        "\n## What is handed on\n\nAt these places nothing is said that does not stand above or in somebody else's "
        "words.\n",
        *(f"- {subject(module)}: {what}" for (module, _), what in HANDED_ON.items()),
    ]
    return "\n".join(lines) + "\n"


def subject(module: str) -> str:
    """What a module's sentences are about, in words."""
    first, _, rest = module.partition(".")
    words = SUBJECTS.get(module, rest.rpartition(".")[2].replace("_", " "))
    return f"the sandbox: {words}" if first == "sandbox" else words


def _by_subject(told: Sequence[Saying]) -> Iterable[str]:
    subjects = sorted(
        {subject(saying.module) for saying in told},
        key=lambda words: (words.startswith("the sandbox"), words.removeprefix("the ")),
    )
    for words in subjects:
        yield f"### {words[0].upper()}{words[1:]}\n"
        for saying in _merged([saying for saying in told if subject(saying.module) == words]):
            yield f"- {_code(saying.sentence)}" + _hints(saying)
        yield ""


def _merged(told: Sequence[Saying]) -> list[Saying]:
    """Sentences of one hint that only differ in one place are one, with that place in square brackets."""
    alike: list[list[Saying]] = []
    for saying in sorted(told, key=lambda one: (one.hints, one.sentence)):
        group = alike[-1] if alike else []
        if group and group[0].hints == saying.hints and _in_one([*(one.sentence for one in group), saying.sentence]):
            group.append(saying)
        else:
            alike.append([saying])
    found = [replace(group[0], sentence=_in_one([one.sentence for one in group])) for group in alike]
    return sorted(found, key=lambda one: one.sentence.lstrip("<[").lower())


def _in_one(sentences: Sequence[str]) -> str:
    """`can[not] be read`, `can be read (well | badly)`; empty when there is too little that they have in common."""
    parts = [re.findall(r"<[^>]*>|\w+|\W", text) for text in dict.fromkeys(sentences)]
    if len(parts) == 1:
        return sentences[0]
    head = _alike(parts)
    tail = _alike([part[head:][::-1] for part in parts])
    middles = ["".join(part[head : len(part) - tail]) for part in parts]
    if 2 * (head + tail) < max(map(len, parts)) or sum(map(len, middles)) > LONGEST:
        return ""
    first = parts[0]
    choice = f"[{' | '.join(filter(None, middles))}]"
    return "".join(first[:head]) + choice + "".join(first[len(first) - tail :])


def _alike(texts: Sequence[Sequence[str]]) -> int:
    """How many of their first words are the same in all."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*texts, strict=False)))


def _hints(saying: Saying) -> str:
    """What to do; where that depends on the case, each of it."""
    first, *others = ["", *map(_plain, saying.hints)]
    return first + "".join(f"\n  → {'or: ' if at else ''}{hint}" for at, hint in enumerate(others))


def _code(text: str) -> str:
    """A sentence as it is said, where nothing of it means something to Markdown."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _plain(text: str) -> str:
    """A hint, in which angle brackets stay and commands of ours stand out."""
    words = re.split(r"(\bfab [a-z][a-z.]*(?: --[a-z-]+(?: <[^>]*>)?)*)", text)
    return "".join(f"`{part}`" if at % 2 else re.sub(r"[\\<*|]", r"\\\g<0>", part) for at, part in enumerate(words))
