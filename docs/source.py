"""The project's own code as syntax trees: modules, functions, constants, and what a name means where it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
READ = ("runbook", "remote", "tasks", "sandbox")
LEFT_OUT = ("sandbox/image", "sandbox/server")  # programs that run in the sandbox's containers, in place of others'

WITHOUT_PARTS = (ast.expr_context, ast.operator, ast.cmpop)  # of which nobody asks where they stand
Function = ast.FunctionDef | ast.AsyncFunctionDef
Value = tuple[ast.expr, int | None]  # an expression, or one element of what it gives


@dataclass
class Module:
    """One file. `imports`: local name -> (module, name in it), the name empty for a whole module."""

    name: str
    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes: list[ast.AST] = [self.tree]
        for node in nodes:
            children = [one for one in ast.iter_child_nodes(node) if not isinstance(one, WITHOUT_PARTS)]
            self.parents.update(dict.fromkeys(children, node))
            nodes += children
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                self.imports.update((alias.asname or alias.name, (alias.name, "")) for alias in node.names)
            elif isinstance(node, Function):
                self.functions.setdefault(node.name, node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def function(self, node: ast.AST) -> Function | None:
        """The innermost function around a node."""
        return next((outer for outer in self.around(node) if isinstance(outer, Function)), None)


@cache
def modules() -> dict[str, Module]:
    """Every module that may say something to a person, by its dotted name."""
    found = {}
    for folder in READ:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            place = path.relative_to(PROJECT).as_posix()
            if not place.startswith(LEFT_OUT):
                name = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                found[name] = Module(name, ast.parse(path.read_text()))
    return found


def values(module: Module, name: str, at: ast.AST) -> list[Value]:
    """What a local name may hold at a place: the assignments that reach it. Empty for what is not assigned."""
    found: list[Value] = []
    node: ast.AST = at
    for outer in module.around(at):
        for block in _blocks(outer):
            if node in block:
                more, surely = _assigned(block[: block.index(node)], name)
                found += more
                if surely:
                    return found
        if isinstance(outer, Function):
            return found
        if isinstance(outer, ast.For) and name in {
            part.id for part in ast.walk(outer.target) if isinstance(part, ast.Name)
        }:
            return found + _of_loop(outer, name)
        node = outer
    return found


def given(function: Function) -> list[ast.expr]:
    """What a function returns or yields, less what functions inside it do."""
    found: list[ast.expr] = []
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            found += [] if isinstance(node.value, ast.Constant) and node.value.value is None else [node.value]
        elif not isinstance(node, Function | ast.Lambda):
            waiting = [*ast.iter_child_nodes(node), *waiting]
    return found


def _of_loop(loop: ast.For, name: str) -> list[Value]:
    """Of a loop over the entries of a table, every entry of it."""
    match loop:
        case ast.For(
            target=ast.Tuple(elts=[_, ast.Name(id=second)]), iter=ast.Call(func=ast.Attribute(attr="items") as table)
        ):
            return [(ast.Subscript(table.value, ast.Constant(name)), None)] if second == name else []
    return []


def _blocks(node: ast.AST) -> list[list[ast.stmt]]:
    blocks = [getattr(node, part, None) for part in ("body", "orelse", "finalbody")]
    return [block for block in blocks if isinstance(block, list)]


def _assigned(block: Sequence[ast.stmt], name: str) -> tuple[list[Value], bool]:
    """The values that a block may leave in a name, and whether it surely leaves one."""
    found: list[Value] = []
    for statement in reversed(block):
        more, surely = _by_one(statement, name)
        found += more
        if surely:
            return found, True
    return found, False


def _by_one(statement: ast.stmt, name: str) -> tuple[list[Value], bool]:
    if isinstance(statement, ast.Assign):
        return next(
            (found for target in statement.targets if (found := _to(target, statement.value, name))[1]), ([], False)
        )
    if isinstance(statement, ast.AnnAssign) and statement.value:
        return _to(statement.target, statement.value, name)
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name) and statement.target.id == name:
        longer = ast.copy_location(ast.BinOp(statement.target, ast.Add(), statement.value), statement)
        return [(longer, None)], True
    if isinstance(statement, ast.Try):
        branches = [[*statement.body, *statement.orelse], *(handler.body for handler in statement.handlers)]
        return _by_branches(branches, name)
    if isinstance(statement, ast.If):
        return _by_branches([statement.body, statement.orelse], name)
    if isinstance(statement, ast.Match):
        return _by_branches([*(case.body for case in statement.cases), []], name)
    if isinstance(statement, ast.For | ast.While):
        return _by_branches([statement.body, []], name)
    if isinstance(statement, ast.With):
        return _assigned(statement.body, name)
    return [], False


def _to(target: ast.expr, value: ast.expr, name: str) -> tuple[list[Value], bool]:
    if isinstance(target, ast.Name) and target.id == name:
        return [(value, None)], True
    if isinstance(target, ast.Tuple):
        for index, part in enumerate(target.elts):
            if isinstance(part, ast.Name) and part.id == name:
                if isinstance(value, ast.Tuple):
                    return [(value.elts[index], None)], True
                return [(value, index)], True
    return [], False


def _by_branches(branches: Sequence[Sequence[ast.stmt]], name: str) -> tuple[list[Value], bool]:
    """A branch that leaves the function leaves no value behind."""
    found: list[Value] = []
    surely = True
    for branch in branches:
        if branch and isinstance(branch[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
            continue
        more, always = _assigned(branch, name)
        found += more
        surely = surely and always
    return found, surely
