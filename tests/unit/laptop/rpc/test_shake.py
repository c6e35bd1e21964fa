"""What stays at home: only what no call can reach, judged here by another rule than the one that leaves it out."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

import pytest

from gpu_runbook.laptop.rpc import bundle, minify
from gpu_runbook.laptop.rpc.shake import shaken
from tests.unit.laptop.rpc.test_bundle import VERBS

ROOTS = [("half.one", "answer")]


@pytest.mark.parametrize("verb", VERBS)
def test_every_name_in_what_travels_stands_for_something(verb: str) -> None:
    modules = {name: source for name, source in bundle.program(verb).items() if source}
    trees = {name: ast.parse(source) for name, source in modules.items()}
    nodes = {name: [*ast.walk(tree)] for name, tree in trees.items()}
    tables = {name: symtable.symtable(source, "", "exec") for name, source in modules.items()}
    tops = {name: {symbol.get_name() for symbol in table.get_symbols()} for name, table in tables.items()}
    for name in modules:
        assert {*_globals(tables[name])} <= tops[name] | {*dir(builtins), "__file__"}, name
        of = {}
        for node in nodes[name]:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(bundle.PACKAGE):
                for one in node.names:
                    of[one.asname or one.name] = module = f"{node.module}.{one.name}"
                    assert module in modules or one.name in tops[str(node.module)], (name, one.name)
        for node in nodes[name]:
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and of.get(node.value.id) in modules
            ):
                assert node.attr in tops[of[node.value.id]], (name, ast.unparse(node))


@pytest.mark.parametrize("verb", VERBS)
def test_a_method_stays_at_home_where_nobody_names_anything_like_it(verb: str) -> None:
    """Judged by the names in our files: what travels has shorter ones in the same lines."""
    travels = {name: source.split("\n") for name, source in bundle.program(verb).items() if source}
    trees = {name: ast.parse(minify.without_prose(bundle._source(name.partition(".")[2]))) for name in travels}

    def there(name: str, node: ast.stmt | ast.expr) -> bool:
        number = node.end_lineno if isinstance(node, ast.Attribute) else node.lineno
        return bool("".join(travels[name][(number or 0) - 1 : number]).strip())

    nodes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree)]
    said = {node.attr for name, node in nodes if isinstance(node, ast.Attribute) and there(name, node)}
    for name, node in nodes:
        if isinstance(node, ast.ClassDef) and there(name, node):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            left = {method.name for method in methods if not there(name, method)}
            assert not left & said and not any(method.startswith("__") for method in left), node.name


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("def f():return 1\ndef answer():return f()", "def f():return 1\ndef answer():return f()"),
        ("def f():return 1\ndef answer():return 2", "\ndef answer():return 2"),
        ("def f():\n return 1\ndef answer():return 2", "\n\ndef answer():return 2"),
        ("A=1\nB=A\ndef answer():return B", "A=1\nB=A\ndef answer():return B"),
        ("A=B=1\ndef answer():return B", "A=B=1\ndef answer():return B"),
        ("A:int=1\ndef answer():return 2", "\ndef answer():return 2"),
        ("def answer():return f()\n@g\ndef f():0\ndef g(x):0", "def answer():return f()\n@g\ndef f():0\ndef g(x):0"),
        ("@g\ndef f():0\ndef g(x):0\ndef answer():0", "\n\n\ndef answer():0"),
        ("def f():0\nprint(f)\ndef answer():0", "def f():0\nprint(f)\ndef answer():0"),
        ("class A:\n b:'B'\nclass B:0\ndef answer():A", "class A:\n b:'B'\nclass B:0\ndef answer():A"),
        (
            "class A:\n def f(self):0\n def g(self):0\ndef answer():A().f",
            "class A:\n def f(self):0\n\ndef answer():A().f",
        ),
        ("class A:\n def f(self):0\ndef answer():A()", "class A:\n def f(self):0\ndef answer():A()"),
        (
            "class A:\n def __len__(s):s.f()\n def f(s):0\n def g(s):s.h()\n def h(s):0\ndef answer():A",
            "class A:\n def __len__(s):s.f()\n def f(s):0\n\n\ndef answer():A",
        ),
        (
            "from half.two import used,idle\nfrom half import two\ndef answer():return used(two.also)",
            "from half.two import used,idle\nfrom half import two\ndef answer():return used(two.also)",
        ),
    ],
)
def test_what_is_reached_stays_and_lines_keep_their_numbers(source: str, left: str) -> None:
    two = "def used(x):0\ndef also():0\ndef idle():0\n"
    found = shaken({"half": "", "half.one": source, "half.two": two}, ROOTS)
    assert found["half.one"] == left
    assert found["half.two"] == (two.replace("def idle():0", "") if "two" in source else "\n\n\n")


@pytest.mark.parametrize(
    ("source", "short"),
    [
        ("def work():0\ndef answer():work()", "def Aa():0\ndef answer():Aa()"),
        ("LIMIT=1\ndef answer():return LIMIT+LIMIT", "Aa=1\ndef answer():return Aa+Aa"),
        ("def work():0\ndef answer(x):x.work()", ""),
        ("def work():0\ndef answer():work()\nclass A:\n work:int=1", ""),
        ("def work():0\ndef answer():return work,'the work'", ""),
        ("def work():0\ndef answer(work):0", ""),
        ("def work():0\ndef answer():f(work=1)", ""),
        ("def work():0\ndef answer():\n global work\n work=1", ""),
        ("class Work:0\ndef answer():Work()", "class Aa:0\ndef answer():Aa()"),
        ("class Work:0\nclass Best(Work):0\ndef answer():Best()", "class Aa:0\nclass Ab(Aa):0\ndef answer():Ab()"),
        ("class Work(OSError):0\nclass Best(Work):0\ndef answer():Best()", ""),
        ("class Work(OSError):\n def _do(self):self._it=1\ndef answer():Work()._do()", ""),
        (
            "class A:\n def _do(self):self._it=1\ndef answer():A()._do()._it",
            "class A:\n def Aa(self):self.Ab=1\ndef answer():A().Aa().Ab",
        ),
        ("class A:\n def do(self):self.it=1\ndef answer():A().do().it", ""),
        ("class A:\n _it=1\ndef answer():A._it", ""),
        ("class A:\n def _do(self):0\ndef answer():A(_do=1)._do", ""),
        ("import os\nclass A:\n def _exit(self):0\ndef answer():os._exit", ""),
        ("def answer(x):x._theirs", ""),
        ("class A:\n def __do(self):self.__do()\ndef answer():0", ""),
        ("from half.two import other\ndef answer():other()", "from half.two import Aa\ndef answer():Aa()"),
        ("from half import two\ndef answer():two.other()", "from half import two\ndef answer():two.Aa()"),
        ("from half.two import other as x\ndef answer():x()", "from half.two import Aa as x\ndef answer():x()"),
        ("from os import other\ndef answer():other()", ""),
        ("def Aa():0\ndef work():0\ndef answer():Aa,work", "def Aa():0\ndef Ab():0\ndef answer():Aa,Ab"),
    ],
)
def test_a_name_on_top_is_short_where_it_is_nothing_else(source: str, short: str) -> None:
    two = "def other():0\n" if "two" in source else ""
    found = minify.with_short_tops({"half": "", "half.one": source, "half.two": two}, ROOTS)
    assert found["half.one"] == (short or source)


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    """What is looked for outside of all functions, wherever in a module."""
    yield from (symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced())
    for child in table.get_children():
        yield from _globals(child)
