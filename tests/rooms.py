"""`python -m tests.rooms`: says what is not as the house is built, which docs/architecture.md draws.

- `laptop` never imports `server`, and `server` never `laptop`; `common` knows `protocol` alone, `protocol` nothing.
- What travels to a server needs nothing but the standard library.
- It names what it uses: whatever no name leads to stays at home.
- A room leans on rooms of lower floors only: there is no circle.
- A package has a docstring and nothing else.
- No two classes of one name.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

PACKAGE = "gpu_runbook"
FOLDER = Path(__file__).parents[1] / PACKAGE
MAY = {  # of the four parts: which others each may import
    "protocol": (),
    "common": ("protocol",),
    "server": ("protocol", "common"),
    "laptop": ("protocol", "common"),
}
TRAVELS = ("protocol", "common", "server")


class Import(NamedTuple):
    """One import: who imports, on which line, and the module it is of, both dotted and without the package."""

    file: Path
    line: int
    by: str
    module: str


def complaints(folder: Path = FOLDER) -> Iterator[str]:
    """A sentence for each thing that is not as it should be."""
    yield from parts(folder)
    yield from foreign(folder)
    yield from lookups(folder)
    yield from circles(folder)
    yield from packages(folder)
    yield from twins(folder)


def parts(folder: Path) -> Iterator[str]:
    for one in imports(folder):
        mine, other = one.by.split(".")[0], one.module.split(".")[0]
        if other != mine and mine in MAY and other in MAY and other not in MAY[mine]:
            yield f"{_place(one)}: {mine} imports {other}"


def foreign(folder: Path) -> Iterator[str]:
    """What is neither the standard library's nor ours, in what travels."""
    for file in _files(folder):
        if file.relative_to(folder).parts[0] in TRAVELS:
            for line, module in _imported(file):
                if module.split(".")[0] not in sys.stdlib_module_names | {PACKAGE}:
                    yield f"{file}:{line}: {module} is not in the standard library"


def lookups(folder: Path) -> Iterator[str]:
    """What finds something by a name that is made up at run time: of what travels only what is named comes along."""
    for file in _files(folder):
        if file.relative_to(folder).parts[0] in TRAVELS:
            for node in ast.walk(_parsed(file.read_text())):
                if isinstance(node, ast.Name) and node.id in ("globals", "locals", "vars", "eval"):
                    yield f"{file}:{node.lineno}: {node.id} finds what no name leads to"


def circles(folder: Path) -> Iterator[str]:
    try:
        TopologicalSorter(rooms(folder)).prepare()
    except CycleError as error:
        yield f"rooms in a circle: {' -> '.join(error.args[1])}"


def rooms(folder: Path = FOLDER) -> dict[str, set[str]]:
    """Each room, and those that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in imports(folder):
        by, of = room(folder, one.by), room(folder, one.module)
        found[by] |= {of} - {by}
    return found


def room(folder: Path, module: str) -> str:
    """The package that a module is in; a module that lies right below a part is a room of its own."""
    above = module.rpartition(".")[0]
    return module if folder.joinpath(*module.split(".")).is_dir() or "." not in above else above


def imports(folder: Path) -> Iterator[Import]:
    """Every import of ours in ours, wherever it stands; of a module, or of a name in one."""
    for file in _files(folder):
        by = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for line, module in _imported(file):
            root, _, inner = module.partition(".")
            if root == PACKAGE and inner:
                yield Import(file, line, by, _module(folder, inner))


def packages(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("__init__.py")):
        tree = _parsed(file.read_text())
        first, *rest = (node.lineno for node in tree.body or [ast.Pass(lineno=1)])
        if file.parent != folder and (rest or ast.get_docstring(tree) is None):
            yield f"{file}:{(rest or [first])[0]}: a package has a docstring and nothing else"


def twins(folder: Path) -> Iterator[str]:
    seen: dict[str, Path] = {}
    for file in _files(folder):
        for node in _parsed(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                if node.name in seen:
                    yield f"{file}:{node.lineno}: {node.name} is a class of {seen[node.name]} as well"
                seen[node.name] = file


@cache
def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.rglob("*.py")))


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _imports_in(text: str) -> tuple[tuple[int, str], ...]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.Import):
            found += ((node.lineno, one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            where = "." * node.level + (node.module or "")
            found += ((node.lineno, f"{where}.{one.name}") for one in node.names)
    return tuple(found)


def _imported(file: Path) -> tuple[tuple[int, str], ...]:
    """Line and dotted name of what a file imports, with the name that is taken out of it."""
    return _imports_in(file.read_text())


def _module(folder: Path, dotted: str) -> str:
    """The module or package that a dotted name is, or is in."""
    path = folder.joinpath(*dotted.split("."))
    return dotted if path.is_dir() or path.with_suffix(".py").exists() else dotted.rpartition(".")[0]


def _place(one: Import) -> str:
    return f"{one.file}:{one.line}"


if __name__ == "__main__":
    found = list(complaints())
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
