"""Finds every sentence that the code may say to a person: errors, rows, verdicts, complaints, and parts of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from docs.source import Module, values
from docs.texts import Texts, last_name, says
from remote.words import CRITICAL, LEVELS, OK
from runbook import errors
from runbook.exchange import KINDS
from runbook.running import ENDS

# What is made of a sentence, its hint and its kind: the places of these among the arguments.
PLACES = {
    "Check": {"level": 1, "sentence": 2, "hint": 4},
    "End": {"outcome": 0, "sentence": 1, "hint": 2},
    "Verdict": {"outcome": 0, "reason": 1},
    "Trouble": {"level": 1, "sentence": 2},
    "Exit": {"message": 0, "code": 1},
    "ModelFile": {"sentence": 3},
    "Drift": {"sentence": 2, "hint": 3},
    "Lack": {"sentence": 0},
}
SENTENCE = ("sentence", "message", "reason")
LISTS = {"problems", "warnings", "trouble", "notes"}  # what is appended to them is said in the end
# A ValueError there is said of a line.
HOSTS_FILE = ("runbook.fields", "runbook.entries", "runbook.gates.entries", "runbook.schedule.entries")
FOLLOWED = {"says", "what"}  # parameters that are a part of a sentence and worth to be told apart
YIELDING = (
    "runbook.envfile",
    "runbook.resolve",
    "runbook.gates.allowed",
)  # what their generators give is a complaint each
RETURNING = {
    ("remote.scheduled.deliver", "_fault"),
    ("remote.scheduled.history", "append"),
    ("remote.scheduled.silence", "silence"),
    ("remote.scheduled.state", "_read"),
    ("remote.scheduled.waiting", "_held"),
    ("remote.swap", "_start_again"),
    ("remote.swap", "back"),
}  # functions that give back a part of a row, alone or beside something else
JOINING = ("remote.scheduled.restarts",)  # puts more behind the sentence of a row
# Their pairs of texts are findings: a sentence of a row that warns, and a hint.
FINDINGS = ("runbook.schedule.settings",)
OF_A_ROUND = ("remote.scheduled.act", "remote.scheduled.main")  # a refusal there stands in a row, and ends no command
NEVER_SAID = {"ServerTraceback", "Gone"}  # what --debug shows, and what ends a process in silence
BECOMES = {
    "Unjudged": "unknown",
    "Drift": "drift",
    "Lack": "critical",
}  # what has no kind of its own among its arguments
BUILT_IN = {"ValueError", "OSError", "TimeoutError", "SSHException", "EOFError", "ConnectionError"}
SAYING = (ast.Call, ast.Raise, ast.Tuple, ast.Yield, ast.Return, ast.Assign, ast.keyword)  # all that `_look_at` knows
WORST = ("critical", "unknown", "warning", "skipped")


@dataclass(frozen=True)
class Saying:
    """A sentence and what to do about it. `kind`: an exit status, a row's level, or one of the words of `messages`."""

    kind: str
    module: str
    sentence: str
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Handed:
    """A place that hands on a sentence of which nothing stands there."""

    module: str
    function: str


class Finder:
    """Goes through all modules once; what is found is in `sayings`, what cannot be read in `handed`."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.modules = modules
        self.texts = Texts(modules)
        self.makers = PLACES | dict(_exceptions(modules))
        self.statuses = {name: str(cls.exit_code) for name, cls in vars(errors).items() if hasattr(cls, "exit_code")}
        self.calls = _calls(modules)
        self.sayings: dict[Saying, None] = {}
        self.handed: dict[Handed, None] = {}
        for module in modules.values():
            for node in list(module.parents):
                if isinstance(node, SAYING):
                    self._look_at(node, module)

    def _look_at(self, node: ast.AST, module: Module) -> None:
        match node:
            case ast.Call(func=function) if last_name(function) in self.makers:
                self._made(node, last_name(function), module)
            case ast.Call(func=ast.Name(id="bad_input")):
                self._told(
                    "10", [node.args[0]], [node.args[2]], module, ": <n> errors, nothing was contacted or changed."
                )
            case ast.Call(func=ast.Attribute(attr="complain"), args=[_, sentence, *_]):
                self._told("10", [sentence], [], module)
            case ast.Call(func=ast.Attribute(attr="append", value=target), args=[text]) if last_name(
                target
            ) in LISTS and _is_text(text):
                self._told(_list_kind(last_name(target), module), [text], [], module)
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[text, *_])) if name in BUILT_IN:
                self._told("10" if module.name in HOSTS_FILE else "part", [text], [], module)
            case ast.Call(func=ast.Attribute(attr="say"), args=[text, ast.Constant(value="yellow")]) if _is_text(text):
                self._told("note", [text], [], module)
            case ast.Call(func=ast.Name(id="replace"), keywords=[*_, ast.keyword(arg="sentence", value=text)]):
                self._told("part", [text], [], module)
            case ast.Call(func=ast.Attribute(attr="replace"), keywords=words) if module.name in JOINING:
                for text in (word.value for word in words if word.arg == "sentence" and _is_text(word.value)):
                    self._told("part", [text], [], module)
            case ast.Tuple(elts=[text, ast.Constant(value=str()) | ast.Name() as hint]) if (
                module.name in FINDINGS and _is_text(text)
            ):
                self._told("warning", [text], [hint], module)
            case ast.Yield(value=ast.Tuple(elts=[text, ast.Constant(value="yellow")])) if module.name.startswith(
                "runbook.schedule"
            ) and _is_text(text):
                self._told("note", [text], [], module)
            case ast.Return(value=ast.Tuple() | ast.JoinedStr() as value) if (
                module.name,
                _function(module, node),
            ) in RETURNING:
                for text in value.elts if isinstance(value, ast.Tuple) else [value]:
                    if _is_text(text):
                        self._told("part", [text], [], module)
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="troubles"))], value=ast.IfExp(body=text)) if (
                _is_text(text)
            ):
                self._told("part", [text], [], module)
            case ast.keyword(arg="why", value=text) if _is_text(text):  # why a run has not come to its end
                self._told("part", [text], [], module)
            case ast.keyword(arg="excuse", value=text) if _is_text(text):
                self._told("unproven", [text], [], module)
            case ast.Yield(value=ast.JoinedStr() | ast.Constant(value=str()) as text) if module.name in YIELDING:
                self._told(_list_kind(_function(module, node), module), [text], [], module)
            case ast.Tuple(elts=[ast.Name() as level, text, *hints]) if self._is_sentence(node, text, module):
                for kind in self._of_name(level, module):
                    self._told(kind, [text], hints[:1], module)
            case ast.Tuple(elts=[_, _, ast.Name() as level, text]) if _is_text(text):
                for kind in self._of_name(level, module):
                    self._told(kind, [text], [], module)
            case ast.Tuple(elts=[ast.Constant(value=str(outcome)), text]) if outcome in ENDS and _is_text(text):
                self._told(str(ENDS[outcome].exit_code), [text], [], module)

    def _made(self, call: ast.Call, name: str, module: Module) -> None:
        """A call of something that carries a sentence."""
        places = self.makers[name]
        text = next((found for word in SENTENCE if (found := _argument(call, places, word)) is not None), None)
        if text is None:
            return
        hint = _argument(call, places, "hint")
        for kind in self._kinds(call, name, places, module):
            self._told(kind, [text], [hint] if hint is not None else [], module)

    def _kinds(self, call: ast.Call, name: str, places: Mapping[str, int], module: Module) -> list[str]:
        if name in self.statuses:
            return [self.statuses[name]]
        if name in ("Refusal", "End") and module.name in OF_A_ROUND:
            return ["part"]
        if name in ("Refusal", "EngineError", "Held"):
            kind = _argument(call, places, "kind")
            words = (
                self.texts.of(kind, module) if kind is not None else ("server" if name == "EngineError" else "refused",)
            )
            return [str(KINDS[word].exit_code) for word in words if word in KINDS]
        if name == "Exit":
            return [self.statuses[last_name(code.value)] for code in call.args[1:] if isinstance(code, ast.Attribute)]
        if name == "End":
            outcomes = self.texts.of(call.args[0], module)
            return [str(ENDS[word].exit_code) for word in outcomes if word in ENDS]
        if "level" in places:
            level = _argument(call, places, "level")
            return self._levels(level, module) if level is not None and not self._of_a_tuple(level, module) else []
        if name == "Verdict":
            return [word for word in self.texts.of(call.args[0], module) if word in ("failed", "unproven")]
        return [BECOMES.get(name, "part")]

    def _of_name(self, level: ast.Name, module: Module) -> list[str]:
        """The levels that a name stands for: one of them itself, or a local `level`; none for any other name."""
        if level.id == "level":
            return self._levels(level, module)
        return [level.id.lower()] if level.id.isupper() and level.id.lower() in WORST else []

    def _of_a_tuple(self, level: ast.expr, module: Module) -> bool:
        """Whether it is one of several that a function gave at once: then the sentence stands where those are made."""
        found = values(module, level.id, level) if isinstance(level, ast.Name) else []
        return any(index is not None for _, index in found)

    def _is_sentence(self, node: ast.AST, text: ast.expr, module: Module) -> bool:
        """Whether what stands beside a level is a sentence, and not a hint that is set with it."""
        if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store):
            return False
        around = module.parents.get(node)
        target = around.targets[0] if isinstance(around, ast.Assign) else None
        names = [last_name(part) for part in target.elts] if isinstance(target, ast.Tuple) else []
        said = self.texts.of(text, module)
        return (not names or names[1] in SENTENCE) and any(map(says, said)) and not set(said) & set(LEVELS)

    def _levels(self, level: ast.expr, module: Module) -> list[str]:
        """The levels a row may have, but for ok; one that cannot be told is critical."""
        found = set(self.texts.of(level, module))
        return sorted(found & set(WORST), key=WORST.index) or ([] if found <= {OK} else [CRITICAL])

    def _told(
        self, kind: str, texts: list[ast.expr], hints: Sequence[ast.expr], module: Module, ending: str = ""
    ) -> None:
        """Note each of the sentences an expression may be; one of which nothing stands there is followed to callers."""
        node = texts[0]
        told = tuple(dict.fromkeys(text for hint in hints for text in self._hints(hint, module) if says(text)))
        found = self._followed(node, module)
        if found is None:
            said = [text for text in self.texts.of(node, module) if text]
            whole = [text for text in said if not text.rstrip().endswith(":")]  # the rest is empty in a case of none
            found = [(module.name, text + ending) for text in whole or said]
        for name, text in found:
            if says(text):
                self.sayings[Saying(kind, name, _tidy(text), tuple(map(_tidy, told)))] = None
            else:
                self.handed[Handed(module.name, _function(module, node))] = None

    def _hints(self, hint: ast.expr, module: Module) -> list[str]:
        followed = self._followed(hint, module)
        return [text for _, text in followed] if followed else list(self.texts.of(hint, module))

    def _followed(self, node: ast.expr, module: Module) -> list[tuple[str, str]] | None:
        """A sentence that is a parameter of its function, or has one that matters: as it is called. None otherwise."""
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        for function in (outer for outer in module.around(node) if isinstance(outer, ast.FunctionDef)):
            parameters = {arg.arg for arg in (*function.args.args, *function.args.kwonlyargs)}
            if not names & parameters & FOLLOWED and any(map(says, self.texts.of(node, module))):
                continue
            found = []
            for caller, call in self.calls.get(function.name, ()):
                if self.texts.function(call, caller)[1] is function:
                    bound = self.texts.arguments(call, function, caller, {}, 0)
                    found += [(caller.name, text) for text in self.texts.of(node, module, bound) if says(text)]
            if found:
                return found
        return None


def _calls(modules: Mapping[str, Module]) -> dict[str, list[tuple[Module, ast.Call]]]:
    """Every call by the last name of what is called."""
    found: dict[str, list[tuple[Module, ast.Call]]] = {}
    for module in modules.values():
        for node in module.parents:
            if isinstance(node, ast.Call):
                found.setdefault(last_name(node.func), []).append((module, node))
    return found


def _exceptions(modules: Mapping[str, Module]) -> Iterator[tuple[str, dict[str, int]]]:
    """The project's own exceptions, with the places of their arguments."""
    known = {"Exception", "BaseException", "ValueError", "OSError"}
    initial: dict[str, list[str]] = {}
    for _ in range(3):  # a class may stand before its base
        for name, node in (entry for module in modules.values() for entry in module.classes.items()):
            bases = [last_name(base) for base in node.bases]
            if not set(bases) & known or name in NEVER_SAID:
                continue
            known.add(name)
            made = (part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__")
            own = next(made, None)
            inherited = next((initial[base] for base in bases if base in initial), ["message"])
            initial[name] = [arg.arg for arg in own.args.args[1:]] if own else inherited
    yield from ((name, {arg: place for place, arg in enumerate(arguments)}) for name, arguments in initial.items())


def _argument(call: ast.Call, places: Mapping[str, int], name: str) -> ast.expr | None:
    if name not in places:
        return None
    by_name = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    if by_name is not None:
        return by_name
    return call.args[places[name]] if places[name] < len(call.args) else None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr | ast.BinOp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _function(module: Module, node: ast.AST) -> str:
    function = module.function(node)
    return function.name if function else ""


def _list_kind(name: str, module: Module) -> str:
    """Of a list or generator of sentences: what becomes of it."""
    if module.name.startswith("runbook.gates"):
        return "part"
    if module.name.startswith("remote"):
        return "note"
    return "note" if name in ("warnings", "notes", "_disagreements", "_of_the_file", "_unquoted") else "10"


def _tidy(text: str) -> str:
    return " ".join(text.split())
