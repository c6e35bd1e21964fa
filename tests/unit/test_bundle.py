"""What travels with a call: the modules a verb can come to import, no more, and a command line every shell takes."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runbook import bundle

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "ksh", "tcsh", "fish") if shutil.which(shell)]


def test_a_small_verb_takes_little_along() -> None:
    assert list(bundle.program("ping")) == [
        "remote",
        "remote.foreign_text",
        "remote.forms",
        "remote.ping",
        "remote.wire",
        "remote.words",
    ]


VERBS = sorted(
    ".".join(file.relative_to(bundle.FOLDER).with_suffix("").parts)
    for file in bundle.FOLDER.rglob("*.py")
    if "\ndef answer(" in file.read_text()
)


@pytest.mark.parametrize("verb", VERBS)
def test_no_program_is_longer_than_what_a_new_connection_takes_in_two_round_trips(verb: str) -> None:
    assert len(bundle.pack(verb, {})) < 40_000


@pytest.mark.parametrize(
    "line",
    [
        "from remote import far",
        "from remote import near, far",
        "from remote import far as away",
        "from remote import (\n    near,  # this one\n    far,\n)",
        "from remote.far import thing",
        "import remote.far",
        "def later():\n    from remote import far\n",
        "def later():\n    from remote.far import thing\n",
        "from remote.box import lid",
        "from remote.box.lid import thing",
    ],
)
def test_every_way_to_import_a_module_takes_it_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (tmp_path / "box").mkdir()
    used = f"{line}\nnear, far, away, thing, lid"
    modules = {"wire": "", "verb": used, "near": "", "far": "from remote import farther\nfarther", "farther": ""}
    boxed = {"box/__init__": "", "box/lid": "from remote import far\nfar"}
    for name, text in {**modules, **boxed}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(bundle, "FOLDER", tmp_path)
    taken = bundle.program("verb")
    assert {"remote.far", "remote.farther"} <= set(taken)
    assert ("remote.near" in taken) == ("near" in line)


class Typeless(ast.NodeTransformer):
    """Makes of what is assigned with a type, inside a function, an assignment without one."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.plain(one) for one in node.body]
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in () if isinstance(node, ast.ClassDef | ast.Module) else ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, name, None), list):
                setattr(node, name, [self.plain(one) for one in getattr(node, name)])
        return super().generic_visit(node)

    def plain(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return ast.copy_location(ast.Assign([node.target], node.value), node)
        return node


def imports(tree: ast.Module) -> list[ast.ImportFrom]:
    """The imports of names on top of a module."""
    return [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]


def bound(tree: ast.Module) -> dict[str, str]:
    """What the imports on top bind: the name, and what it is."""
    return {one.asname or one.name: f"{node.module}.{one.name}" for node in imports(tree) for one in node.names}


def code(tree: ast.Module) -> str:
    """What a source means: its syntax tree with line numbers, every docstring empty, the functions without types, and
    without the imports on top. The tree is changed.
    """
    tree = Typeless().visit(tree)
    left_out = imports(tree)
    tree.body = [node for node in tree.body if node not in left_out]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            assert isinstance(node.body[0], ast.Expr)
            node.body[0].value = ast.Constant("", lineno=node.body[0].lineno)
        for place in ("col_offset", "end_lineno", "end_col_offset"):
            vars(node).pop(place, None)
    return ast.dump(tree, include_attributes=True)


@pytest.mark.parametrize("file", sorted(bundle.FOLDER.rglob("*.py")), ids=lambda file: file.stem)
def test_what_travels_means_what_stands_in_the_file(file: Path) -> None:
    source = file.read_text()
    travels = bundle.without_prose(source)
    here, there = ast.parse(source), ast.parse(travels)
    said = set(re.findall(r"\w+", re.sub(r"(?m)^from .* import .*$", "", travels)))
    assert bound(there) == {name: of for name, of in bound(here).items() if name in said}
    assert code(there) == code(here)


def test_functions_travel_without_types_and_values_with_theirs() -> None:
    method = "def f(self, y: Dict[str, Tuple[int, ...]], *z: int, w: str = ':') -> None:"
    function = "def g(\n    y: int,\n) -> int:\n    u: int = y\n"
    source = f"class A:\n    x: int = 1\n    {method}\n        u: int = 2\n\n\n{function}"
    kept = "class A:\n x:int=1\n def f(self,y,*z,w=':'):\n  u=2\n\n\ndef g(\n y,\n):\n u=y\n"
    assert bundle.without_prose(source) == kept


def test_comments_and_docstrings_stay_at_home() -> None:
    source = '"""Prose."""\nA = "# no comment"  # why\n# more\nB = 1  # it\'s gone\nC = ""  # it\'s kept\n'
    assert bundle.without_prose(source) == '""\nA="# no comment"\n\nB=1\nC=""  # it\'s kept\n'


def test_what_is_imported_for_a_type_alone_stays_at_home() -> None:
    source = "from a import (\n    b,\n    c as d,\n)\nfrom e import f, g\nfrom h import i\n\nx = d(g)\n"
    assert bundle.without_prose(source) == "from a import c as d\n\n\n\nfrom e import g\n\n\nx=d(g)\n"


@pytest.mark.parametrize("file", sorted(bundle.FOLDER.rglob("*.py")), ids=lambda file: file.stem)
def test_the_scan_agrees_with_the_grammar(file: Path) -> None:
    """For every module of the server's half: the imports found by scanning are those that Python sees."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "remote":
            named |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names if alias.name.startswith("remote.")}
    modules = {name for name in named if importable(name)}
    packages = {name.rpartition(".")[0] for name in modules}
    assert {f"remote.{name}" for name in bundle.imported(file.read_text())} == (modules | packages) - {"remote", ""}


@functools.cache
def importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what looks like its package is a module
        return False


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("python", [sys.executable, "its python"])
def test_the_command_line_runs_in_any_login_shell(tmp_path: Path, shell: str, python: str) -> None:
    if python != sys.executable:
        python = str(tmp_path / python)
        Path(python).symlink_to(sys.executable)
    command = bundle.command_line(python, sudo=False)
    ran = subprocess.run([shell, "-c", command], input=bundle.pack("ping", {}), capture_output=True)
    assert json.loads(ran.stdout.strip(b"\x1e\n"))["answer"]["user"]


def test_sudo_is_asked_never_to_prompt() -> None:
    assert bundle.command_line("python3", sudo=True).startswith("sudo -n python3 -IS -c ")
