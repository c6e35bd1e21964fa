"""Writes an expression of the code as the texts it may become.

Names are followed to their assignments, calls to what a function returns, conditions to both sides. What is known only
when the code runs is named in angle brackets: `error.strerror` is <why>, `door.host.name` is <server>.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product

from docs.source import Function, Module, Value, given, values

MOST = 8  # texts of one expression; more of them would not be read
TOGETHER = 4  # of one that is put together
DEEP = 6  # calls and names followed from one expression

# Names of the code as a person would call what they hold.
CALLED = {
    "host": "server", "label": "server", "hostname": "server", "strerror": "why", "error": "why", "message": "why",
    "refusal": "why", "failure": "why", "complaint": "why", "problem": "why", "exc": "why",
    "entry": "service", "k": "service", "v": "why", "reason": "why", "me": "user", "swap": "service", "st_uid": "uid",
    "st_gid": "gid", "geteuid": "uid", "getegid": "gid", "exit_code": "status", "ExitCode": "status", "at": "time",
    "problems": "why", "trouble": "why", "pw_name": "user", "splitlines": "last line", "match": "nearest",
    "argv": "command", "s_imode": "mode", "lineno": "line", "tb_lineno": "line", "dirname": "folder", "lost": "why",
    "get_name": "kind", "returncode": "status", "len": "n",
}  # fmt: skip
# Of a chain of names the one before the last says more: `service.name`, `plan.id`.
PLAIN = {"name", "id", "message", "value", "path", "text"}
OF_ID = {"plan": "run", "run": "run", "last": "run", "target": "release", "entry": "release"}
# Functions that hand their argument on, a little changed.
THROUGH = {
    "str", "repr", "clean", "printable", "masked", "quote", "strip", "rstrip", "lstrip", "removesuffix", "removeprefix",
    "lower", "upper", "list", "tuple", "sorted", "set", "round", "int", "expanduser", "fromkeys", "map", "reversed",
    "one_line", "shortened", "few",
}  # fmt: skip
MEASURES = {
    "span": "time", "size": "size", "len": "n", "isoformat": "time", "strftime": "time", "count": "line",
    "fingerprint": "fingerprint",
}  # fmt: skip

OF_ITS_OWNER = {"replace", "get", "partition", "rpartition", "split", "format"}  # methods that say less than it

Bindings = Mapping[str, tuple[str, ...]]


class Texts:
    """All modules, and how their expressions read."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.modules = modules

    def of(self, node: ast.expr, module: Module, bound: Bindings | None = None, deep: int = 0) -> tuple[str, ...]:
        """The texts an expression may be, each once, at most MOST. `bound`: parameters whose arguments are known."""
        bound = bound or {}
        found = self._of(node, module, bound, deep)
        return tuple(dict.fromkeys(found))[:MOST]

    def _of(self, node: ast.expr, module: Module, bound: Bindings, deep: int) -> Sequence[str]:
        match node:
            case ast.Constant(value=None):
                return [""]
            case ast.Constant(value=value):
                return [str(value)]
            case ast.JoinedStr(values=parts):
                return self._joined(parts, module, bound, deep)
            case ast.FormattedValue(value=value):
                return [_formatted(text, node) for text in self.of(value, module, bound, deep)]
            case ast.BinOp(left=left, right=ast.Constant(value=int())):
                return [placeholder(left)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                texts = self._joined([left, right], module, bound, deep)
                return [placeholder(left)] if any(re.fullmatch("<[^<>]*><[^<>]*>", text) for text in texts) else texts
            case ast.IfExp(body=body, orelse=orelse):
                sides = [side for side in (body, orelse) if not (isinstance(side, ast.Constant) and side.value is None)]
                return [text for side in sides for text in self.of(side, module, bound, deep)]
            case ast.BoolOp(op=ast.Or(), values=parts):
                texts = [text for part in parts[:2] for text in self.of(part, module, bound, deep)]
                return [text for text in texts if text] or [""]
            case ast.BoolOp(values=parts):
                return self.of(parts[-1], module, bound, deep)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [text for part in parts for text in self.of(part, module, bound, deep)]
            case ast.Starred(value=value) | ast.ListComp(elt=value) | ast.GeneratorExp(elt=value):
                return self.of(value, module, bound, deep)
            case ast.Name() if deep < DEEP:
                return self._name(node, module, bound, deep)
            case ast.Attribute() | ast.Subscript() if deep < DEEP:
                return self._constant(node, module, bound, deep) or [placeholder(node)]
            case ast.Call() if deep < DEEP:
                return self._call(node, module, bound, deep)
        return [placeholder(node)]

    def _joined(self, parts: Sequence[ast.expr], module: Module, bound: Bindings, deep: int) -> list[str]:
        """Every way of putting the parts together; a part with too many ways is named, unless nothing else is said."""
        ways = [self.of(part, module, bound, deep) for part in parts]
        named = list(ways)
        while _count(named) > TOGETHER:
            longest = max(range(len(named)), key=lambda index: len(named[index]))
            part = parts[longest]
            named[longest] = (placeholder(part.value if isinstance(part, ast.FormattedValue) else part),)
        texts = ["".join(way) for way in product(*named)]
        return texts if any(map(says, texts)) else ["".join(way) for way in islice(product(*ways), MOST)]

    def _name(self, node: ast.Name, module: Module, bound: Bindings, deep: int) -> Sequence[str]:
        if node.id in bound:
            return bound[node.id]
        found = values(module, node.id, node)
        texts = [text for value in found for text in self._value(value, module, bound, deep + 1)]
        return texts or self._constant(node, module, bound, deep) or [placeholder(node)]

    def _value(self, value: Value, module: Module, bound: Bindings, deep: int) -> Sequence[str]:
        node, index = value
        if index is None:
            return self.of(node, module, bound, deep)
        home, function = self.function(node, module)
        if function is None or home is None or deep >= DEEP:
            return []
        inner = self.arguments(node, function, module, bound, deep)
        given = [entry.value for entry in ast.walk(function) if isinstance(entry, ast.Return)]
        tuples = [entry for entry in given if isinstance(entry, ast.Tuple) and len(entry.elts) > index]
        return [text for entry in tuples for text in self.of(entry.elts[index], home, inner, deep + 1)]

    def _constant(self, node: ast.expr, module: Module, bound: Bindings, deep: int) -> Sequence[str]:
        """A name of a module, here or imported; of a table, every entry. Empty when there is none."""
        if isinstance(node, ast.Subscript):
            home, value = self._global(node.value, module)
            if home and isinstance(value, ast.Dict):
                return [text for entry in value.values for text in self.of(entry, home, {}, deep + 1)]
            return []
        home, value = self._global(node, module)
        return self.of(value, home, {}, deep + 1) if home and isinstance(value, ast.expr) else []

    def _global(self, node: ast.expr, module: Module) -> tuple[Module | None, ast.expr | None]:
        """What a module-level name holds: `NAME`, or `module.NAME`."""
        home, name = self._named(node, module)
        if home is None:
            return None, None
        found = _top(home, name)
        return (home, found[0][0]) if found else (None, None)

    def _named(self, node: ast.expr, module: Module) -> tuple[Module | None, str]:
        """The module that a name is of, and what it is called there."""
        if isinstance(node, ast.Name):
            source, name = module.imports.get(node.id, (module.name, node.id))
            return self.modules.get(source), name
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            source, name = module.imports.get(node.value.id, ("", ""))
            return self.modules.get(f"{source}.{name}" if name else source), node.attr
        return None, ""

    def function(self, call: ast.expr, module: Module) -> tuple[Module | None, Function | None]:
        """The project's own function that is called, and the module it is in."""
        if not isinstance(call, ast.Call):
            return None, None
        function = call.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self":
            return module, module.functions.get(function.attr)
        home, name = self._named(function, module)
        return home, home.functions.get(name) if home else None

    def _call(self, node: ast.Call, module: Module, bound: Bindings, deep: int) -> Sequence[str]:
        name = last_name(node.func)
        if name == "join" and isinstance(node.func, ast.Attribute):
            return self._join(node, module, bound, deep)
        if name == "several" and len(node.args) == 2:
            return [f"<n> {word}s" for word in self.of(node.args[1], module, bound, deep)]
        source, _ = self.function(node, module)
        if source and source.name == "remote.foreign_text":
            texts = self.of(node.args[0], module, bound, deep)
            return [f'"{text}"' for text in texts] if name == "quoted" else texts
        if name in MEASURES:
            return [f"<{MEASURES[name]}>"]
        if name == "get" and isinstance(node.func, ast.Attribute):
            table = ast.copy_location(ast.Subscript(node.func.value, node.args[0]), node)
            rest = [text for arg in node.args[1:] for text in self.of(arg, module, bound, deep)]
            return [*(self._constant(table, module, bound, deep) or [placeholder(node)]), *filter(None, rest)]
        if name in THROUGH:
            inner = (
                node.func.value if isinstance(node.func, ast.Attribute) and not _is_module(node.func, module) else None
            )
            outer = node.args[-1 if name == "map" else 0] if node.args else node.func
            return self.of(inner if inner is not None else outer, module, bound, deep)
        home, function = self.function(node, module)
        if home and function:
            inner_bound = self.arguments(node, function, module, bound, deep)
            said = [text for value in given(function) for text in self.of(value, home, inner_bound, deep + 1)]
            return said or [placeholder(node)]
        return [placeholder(node)]

    def _join(self, node: ast.Call, module: Module, bound: Bindings, deep: int) -> Sequence[str]:
        """Of a short list written out its parts with what is between them; of any other each of them."""
        between = self.of(node.func.value, module, bound, deep)[0]  # type: ignore[attr-defined]
        what = node.args[0]
        if isinstance(what, ast.Call) and last_name(what.func) in {"filter", "fromkeys", "sorted", "map", "set"}:
            what = what.args[-1]
        if isinstance(what, ast.List | ast.Tuple) and len(what.elts) < 4:
            ways = [self.of(part, module, bound, deep) for part in what.elts]
            return [between.join(filter(None, way)) for way in product(*ways)]
        if isinstance(what, ast.Name) and any(isinstance(node, ast.BinOp) for node, _ in values(module, what.id, what)):
            return [placeholder(what)]  # a list that grows
        return [text for text in self.of(what, module, bound, deep) if text] or [placeholder(what)]

    def arguments(self, call: ast.expr, function: Function, module: Module, bound: Bindings, deep: int) -> Bindings:
        assert isinstance(call, ast.Call)  # noqa: S101  the caller found the function by it
        names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
        names = names[1:] if names[:1] == ["self"] else names
        passed = dict(zip(names, call.args, strict=False))
        passed |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        return {name: self.of(arg, module, bound, deep + 1) for name, arg in passed.items()}


def says(text: str) -> bool:
    """Whether anything of a sentence stands in the code."""
    bare = "".join(part.partition(">")[2] if at else part for at, part in enumerate(text.split("<")))
    return sum(char.isalpha() for char in bare) >= 2


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def placeholder(node: ast.AST) -> str:
    return f"<{_words(node)}>"


def _words(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return _called(name)
        case ast.Attribute(value=value, attr="id") if last_name(value) in OF_ID:
            return OF_ID[last_name(value)]
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return _called(name)
        case ast.Attribute(value=value, attr=name) if name in PLAIN and not isinstance(value, ast.Call):
            return _words(value)
        case ast.Attribute(attr=name):
            return _called(name)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return _called(name)
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return _called(name)
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Name(id=name), *_]):
            return _called(name)
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in OF_ITS_OWNER:
            return _words(value)
        case ast.Call(func=function) if last_name(function) in MEASURES:
            return MEASURES[last_name(function)]
        case ast.Call(func=function):
            return _called(last_name(function)) if last_name(function) not in THROUGH else _first(node)
        case ast.FormattedValue(value=value) | ast.Subscript(value=value) | ast.Starred(value=value):
            return _words(value)
        case ast.GeneratorExp(elt=element) | ast.ListComp(elt=element):
            return _words(element)
        case ast.IfExp(body=body):
            return _words(body)
        case ast.JoinedStr(values=parts):
            return next((_words(part) for part in parts if isinstance(part, ast.FormattedValue)), "text")
    return _first(node)


def _first(node: ast.AST) -> str:
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute | ast.Name)]
    words = [_called(last_name(inner)) for inner in names if last_name(inner) not in THROUGH]
    return words[0] if words else "value"


def _called(name: str) -> str:
    plain = name.strip("_")
    return CALLED.get(plain) or CALLED.get(plain.lower()) or plain.lower().replace("_", " ")


def _formatted(text: str, node: ast.FormattedValue) -> str:
    """A constant as its format says; what is known later only in its quotes."""
    if node.conversion == ord("r"):
        return f"'{text}'"
    parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
    spec = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    if not spec or not re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    return format(float(text) if "." in text else int(text), spec)


def _top(module: Module, name: str) -> list[Value]:
    last = ast.Pass()
    module.tree.body.append(last)
    module.parents[last] = module.tree
    try:
        return values(module, name, last)
    finally:
        module.tree.body.remove(last)


def _is_module(function: ast.Attribute, module: Module) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id in module.imports | {"dict": 0}


def _count(ways: Iterable[Sequence[str]]) -> int:
    count = 1
    for way in ways:
        count *= max(len(way), 1)
    return count
