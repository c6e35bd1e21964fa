"""What travels of a source does and is what stands in its file, line by line; it is only shorter."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.rpc import bundle, minify

TRAVEL = sorted(file for room in bundle.TRAVELS for file in (bundle.FOLDER / room).rglob("*.py"))
FILES = pytest.mark.parametrize(
    "file",
    TRAVEL,
    ids=lambda file: file.stem,
)

FUTURE = "from __future__ import annotations"


def imports(tree: ast.Module) -> list[ast.ImportFrom]:
    """The imports of names on top of a module."""
    return [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]


def bound(tree: ast.Module) -> dict[str, str]:
    """What the imports on top bind: the name, and what it is."""
    return {one.asname or one.name: f"{node.module}.{one.name}" for node in imports(tree) for one in node.names}


IMPLIED = {"ctx", "type_comment", "type_ignores", "kind"}  # by where a name stands, or by nothing that is written here


def types(tree: ast.Module) -> Iterator[ast.AST]:
    """What says of which type something is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) or getattr(node, "annotation", None) or getattr(node, "returns", None):
            yield node


def code(node: Any, is_local: bool = False) -> Any:
    """What a source means: its syntax tree with line numbers, every docstring empty or gone, the functions without
    types, and without the imports on top.
    """
    kind = type(node)
    if kind is ast.Name:  # as most of all nodes are
        return kind, node.lineno, node.id
    if kind is list:
        return [code(one, is_local) for one in node]
    if kind is ast.Constant:
        return kind, node.lineno, repr(node.value)
    if not isinstance(node, ast.AST):
        return node
    if kind is ast.AnnAssign and is_local and node.value is not None:  # type: ignore[attr-defined]
        return code(ast.copy_location(ast.Assign([node.target], node.value), node))  # type: ignore[attr-defined]
    held = {name: value for name, value in ast.iter_fields(node) if name not in IMPLIED}
    for annotation in {ast.FunctionDef: ("returns",), ast.arg: ("annotation",)}.get(kind, ()):
        held[annotation] = None
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        held["body"] = node.body[1:] or ["an empty one", node.body[0].lineno]
    if isinstance(node, ast.Module):
        left_out = imports(node)
        held["body"] = [one for one in held["body"] if one not in left_out]
    is_local = kind not in (ast.ClassDef, ast.Module)
    return kind, getattr(node, "lineno", 0), [code(value, is_local) for value in held.values()]


@FILES
def test_what_travels_means_what_stands_in_the_file(file: Path) -> None:
    source = file.read_text()
    travels = minify.without_prose(source)
    here, there = ast.parse(source), ast.parse(travels)
    said = set(re.findall(r"\w+", re.sub(r"(?m)^from .* import .*$", "", travels)))
    assert bound(there) == {name: of for name, of in bound(here).items() if name in said}
    if FUTURE in source and FUTURE not in travels:
        assert not [*types(there)], "Python 3.8 would have to know them"
        here.body = [node for node in here.body if ast.unparse(node) != FUTURE]
    assert code(there) == code(here)


def test_functions_travel_without_types_and_values_with_theirs() -> None:
    method = "def f(self, y: Dict[str, Tuple[int, ...]], *z: int, w: str = ':') -> None:"
    function = "def g(\n    y: int,\n) -> int:\n    u: int = y\n"
    source = f"class A:\n    x: int = 1\n    {method}\n        u: int = 2\n\n\n{function}"
    kept = "class A:\n x:int=1\n def f(self,y,*z,w=':'):\n  u=2\n\n\ndef g(\ny,\n):\n u=y\n"
    assert minify.without_prose(source) == kept


def test_comments_and_docstrings_stay_at_home() -> None:
    source = '"""Prose."""\nA = "# no comment"  # why\n# more\nB = 1  # it\'s gone\n'
    source += "C = \"\"  # it's gone\nD = '\"'  # it's kept\n"
    assert minify.without_prose(source) == '\nA="# no comment"\n\nB=1\nC=""\nD=\'"\'  # it\'s kept\n'


def test_what_is_imported_for_a_type_alone_stays_at_home() -> None:
    source = "from a import (\n    b,\n    c as d,\n)\nfrom e import f, g\nfrom h import i\n\nx = d(g)\n"
    assert minify.without_prose(source) == "from a import c as d\n\n\n\nfrom e import g\n\n\nx=d(g)\n"


def within(function: ast.AST) -> list[ast.FunctionDef]:
    return [one for one in ast.walk(function) if isinstance(one, ast.FunctionDef) and one is not function]


def variables(function: ast.AST) -> list[ast.Name | ast.arg]:
    """Every place in it where a variable is named; what stands in a function within is of that one."""
    others = {id(node) for one in within(function) for node in ast.walk(one)}
    return [node for node in ast.walk(function) if isinstance(node, ast.Name | ast.arg) and id(node) not in others]


def name(node: ast.Name | ast.arg) -> str:
    return node.id if isinstance(node, ast.Name) else node.arg


def own(function: ast.AST) -> set[str]:
    """The variables that it binds."""
    return {name(node) for node in variables(function) if isinstance(getattr(node, "ctx", ast.Store()), ast.Store)}


ARGUMENTS = {one.arg for file in TRAVEL for one in ast.walk(ast.parse(file.read_text())) if isinstance(one, ast.arg)}
BY_NAME = minify.given_by_name(minify.without_prose(file.read_text()) for file in TRAVEL)


@pytest.mark.parametrize("by_name", [None, BY_NAME], ids=["alone", "in a program"])
@FILES
def test_short_names_change_nothing_but_the_names_of_variables(file: Path, by_name: frozenset[str] | None) -> None:
    source = minify.without_prose(file.read_text())
    here, there = ast.parse(source), ast.parse(minify.with_short_names(source, by_name))
    outside = {name for name, symbol in symbols(source) if symbol.is_global()} | {*dir(builtins)}
    for old, new in zip(ast.walk(here), ast.walk(there), strict=True):
        if (
            isinstance(old, ast.arg)
            and isinstance(new, ast.arg)
            and old.arg not in (by_name or {*ARGUMENTS} - {"self"})
        ):
            old.arg = new.arg  # that it is so wherever it is named, the pairs tell
        assert alone(old) == alone(new)
        if not isinstance(old, ast.FunctionDef):
            continue
        pairs = {*zip(map(name, variables(old)), map(name, variables(new)), strict=True)}
        assert len(pairs) == len({before for before, _ in pairs}) == len({after for _, after in pairs}), old.name
        changed = {before for before, after in pairs if before != after}
        assert changed <= own(old) - outside, old.name
        assert not changed & {
            name(node) for one in within(old) for node in variables(one) if name(node) not in own(one)
        }


def alone(node: ast.AST) -> object:
    """What a node is, without the name of a variable: its line, what it says itself, and the kinds of its parts.

    Two trees of which all nodes are so alike, one after the other, are alike.
    """
    if isinstance(node, ast.Name):
        return ast.Name, node.lineno, type(node.ctx)
    parts = [[*map(_kind, value)] if isinstance(value, list) else _kind(value) for _, value in ast.iter_fields(node)]
    return type(node), getattr(node, "lineno", 0), parts


def _kind(value: object) -> object:
    return type(value) if isinstance(value, ast.AST) else repr(value)


def symbols(source: str) -> Iterator[tuple[str, symtable.Symbol]]:
    """What each function of a source knows by a name, but not what stands in a comprehension."""
    tables = [symtable.symtable(source, "", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if isinstance(table, symtable.Function) and not table.get_name().endswith(("comp", "expr")):
            yield from ((symbol.get_name(), symbol) for symbol in table.get_symbols())


@pytest.mark.parametrize(
    "source, short",
    [
        ("def f(given):\n one=given\n return one\n", "def f(given):\n a=given\n return a\n"),
        ("def f():\n for one,two in g(one=1):h(two.one,f'{one}{{two}}')\n", None),
        ("def f():\n a,one=g();é='é';return é,one\n", "def f():\n a,b=g();é='é';return é,b\n"),
        ("def f():\n one=1\n def g():return one\n return g\n", ""),
        ("def f():\n one=1\n return lambda two:one+two\n", ""),
        ("def f():\n class one:two=1\n two=one\n return two\n", ""),
        ("one=1\ndef f():\n global one\n one=2\n", ""),
        ("import one\ndef f():return [one for one in one.g]\n", ""),
        ("def f():\n print=g\n return print\n", ""),
        ("def f():\n import one\n one=one\n", ""),
        ("def f():\n try:one=g\n except E as one:pass\n", ""),
        ("def f():\n if(one:=g()):return one\n", "def f():\n if(a:=g()):return a\n"),
        ("def f():\n one=1;del one\n", "def f():\n a=1;del a\n"),
        ("def f(self,x):return self.x(x)\n", "def f(a,x):return a.x(x)\n"),
        ("def f(self):return lambda:self\n", ""),
        ("def f(x,self):return self\n", ""),
    ],
)
def test_a_variable_has_a_letter_where_nobody_else_knows_its_name(source: str, short: str | None) -> None:
    if short is None:
        short = source.replace("one,two in", "a,b in").replace("two.one", "b.one").replace("{one}", "{a}")
    assert minify.with_short_names(source) == (short or source)


@pytest.mark.parametrize(
    ("source", "short"),
    [
        ("def f(one,two=2):return one+two\nf(1,two=3)\n", "def f(a,two=2):return a+two\nf(1,two=3)\n"),
        ("def f(one):return one\nf(**{'one':1})\n", ""),
        ("class A:\n def __call__(self,one):self.x=one\n", "class A:\n def __call__(a,one):a.x=one\n"),
        ("class A:\n def f(self,one):self.x=one\n", "class A:\n def f(a,b):a.x=b\n"),
        ("def f(one,two=lambda:one):return one\n", "def f(one,a=lambda:one):return one\n"),
        ("@one\ndef f(one):return one\n", ""),
        ("def f(one):\n def g():return one\n return g\n", ""),
        ("def f(one):return lambda one:one\n", ""),
        ("def f(*one,two,**three):return one,two,three\n", ""),
        ("def f(one,**three):return one,three\n", ""),
        ("def f(print):return print\n", ""),
        ("one=1\ndef f(one):return one\n", ""),
    ],
)
def test_an_argument_has_a_letter_where_no_call_gives_it_by_name(source: str, short: str) -> None:
    assert minify.with_short_names(source, minify.given_by_name([source])) == (short or source)


def test_where_the_places_of_names_are_wrong_all_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def f():\n one=1;return one\n"
    tree = ast.parse(source.replace("return one", "return  one"))
    monkeypatch.setattr(minify.ast, "parse", lambda text: tree)  # type: ignore[attr-defined]
    assert minify.with_short_names(source) == source


def test_more_variables_than_letters_keep_their_names() -> None:
    source = "def f():\n" + "".join(f" long{number}={number}\n" for number in range(30))
    short = minify.with_short_names(source)
    assert " a=0\n" in short and " z=24\n long25=25\n" in short


def test_within_brackets_a_line_begins_at_its_beginning() -> None:
    source = "def f():\n    x = [\n        1,\n        (\n            2),\n    ]\n    return x\n"
    assert minify.without_prose(source) == "def f():\n x=[\n1,\n(\n2),\n]\n return x\n"


def test_a_variable_that_is_called_like_a_field_has_a_letter_all_the_same() -> None:
    source = "class A:\n state: str = ''\ndef f(x):\n state=x\n return state\n"
    assert "state=x" not in minify.with_short_names(source)
    seen = "state=1\ndef f(x):\n state=x\n return state\n"  # of the module: somebody else may mean it
    assert minify.with_short_names(seen) == seen
