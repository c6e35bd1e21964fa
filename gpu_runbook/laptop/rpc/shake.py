"""Leaves at home what no call of a verb can reach: functions, classes, methods and constants of the modules it takes.

What is reached is found by names alone, and too much rather than too little: a function by whoever names it in its own
module, imports it, or names it behind its module's name; a method by whoever names anything like it behind a dot.
"""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

Place = tuple[str, str]  # a module, and a name on top of it
KEPT = 300  # trees: those of the modules of a few programs
Top = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def shaken(modules: Mapping[str, str], roots: Iterable[Place]) -> dict[str, str]:
    """The sources, by module name, with empty lines for what cannot be reached from the roots."""
    dead = _Reached(modules, roots).dead
    return {name: _without(source, dead[name]) for name, source in modules.items()}


@functools.lru_cache(maxsize=KEPT)
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


@functools.lru_cache(maxsize=KEPT)
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All of a source, as `ast.walk` gives it."""
    return tuple(ast.walk(parsed(source)))


class _Reached:
    """What can be reached, worked off until nothing new is met."""

    def __init__(self, sources: Mapping[str, str], roots: Iterable[Place]) -> None:
        self._tops: dict[str, dict[str, list[Top]]] = {}
        self._imports: dict[str, dict[str, set[Place]]] = {}
        self._methods: dict[str, list[tuple[str, ast.FunctionDef]]] = defaultdict(list)
        self._named: set[str] = set()  # behind a dot
        self._met: set[ast.AST] = set()
        self._waiting: list[tuple[str, ast.AST]] = []
        trees = {module: parsed(source) for module, source in sources.items()}
        for module, tree in trees.items():
            self._tops[module] = _by_name(tree)
            self._imports[module] = _imported(sources[module], trees)
        for module, tree in trees.items():
            for node in tree.body:
                if not isinstance(node, Top | ast.Import | ast.ImportFrom):
                    self._waiting.append((module, node))
        for place in roots:
            self._reach(place)
        self._work_off()
        self.dead = {module: self._left(tree) for module, tree in trees.items()}

    def _work_off(self) -> None:
        while self._waiting:
            module, node = self._waiting.pop()
            if isinstance(node, ast.ClassDef):
                self._class(module, node)
            else:
                self._scan(module, node)

    def _class(self, module: str, node: ast.ClassDef) -> None:
        """A class itself; of its methods those that Python calls, and those that are named."""
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self._scan(module, part)
        for part in node.body:
            if not isinstance(part, ast.FunctionDef):
                self._scan(module, part)
            elif part.name in self._named or part.name.startswith("__"):
                self._meet(module, part)
            else:
                self._methods[part.name].append((module, part))

    def _scan(self, module: str, node: ast.AST) -> None:
        for one in ast.walk(node):
            match one:
                case ast.Name(id=name) | ast.Constant(value=str(name)):  # a type may stand in quotes
                    self._reach((module, name))
                    for place in self._imports[module].get(name, ()):
                        self._reach(place)
                case ast.Attribute(value=ast.Name(id=owner), attr=name):
                    self._name(name)
                    for of, what in self._imports[module].get(owner, ()):
                        if not what:
                            self._reach((of, name))
                case ast.Attribute(attr=name):
                    self._name(name)

    def _reach(self, place: Place) -> None:
        module, name = place
        for node in self._tops.get(module, {}).get(name, ()):
            self._meet(module, node)

    def _name(self, name: str) -> None:
        if name not in self._named:
            self._named.add(name)
            for module, method in self._methods.pop(name, ()):
                self._meet(module, method)

    def _meet(self, module: str, node: ast.AST) -> None:
        if node not in self._met:
            self._met.add(node)
            self._waiting.append((module, node))

    def _left(self, tree: ast.Module) -> list[ast.stmt]:
        """What was not met: whole, or methods of a class that was."""
        dead: list[ast.stmt] = []
        for node in tree.body:
            if isinstance(node, Top) and node not in self._met:
                dead.append(node)
            elif isinstance(node, ast.ClassDef):
                methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
                left = [part for part in methods if part not in self._met]
                dead += left if len(left) < len(node.body) else left[1:]  # a class has to have a body
        return dead


def _by_name(tree: ast.Module) -> dict[str, list[Top]]:
    found: dict[str, list[Top]] = defaultdict(list)
    for node in tree.body:
        if isinstance(node, Top):
            for name in _names(node):
                found[name].append(node)
    return found


def _names(node: Top) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.AnnAssign(target=target):
            yield from _targets(target)
        case ast.Assign(targets=several):
            for one in several:
                yield from _targets(one)


def _targets(target: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _imported(source: str, known: Mapping[str, object]) -> dict[str, set[Place]]:
    """What each name that is imported anywhere in a module may be: a place, or a whole module with an empty name."""
    found: dict[str, set[Place]] = defaultdict(set)
    for node in nodes(source):
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                module = f"{node.module}.{one.name}"
                place = (module, "") if module in known else (str(node.module), one.name)
                found[one.asname or one.name].add(place)
    return found


def _without(source: str, dead: Iterable[ast.stmt]) -> str:
    """The source without some of its statements; the others keep their line numbers."""
    lines = source.split("\n")
    for node in dead:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        for line in range(first - 1, node.end_lineno or first):
            lines[line] = ""
    return "\n".join(lines)
