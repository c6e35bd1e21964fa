"""`python -m tests.standard_library FOLDER`: says which imports below a folder are not of the standard library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


def foreign_imports(folder: Path) -> Iterator[str]:
    """`file:line: module` of each import that is neither the standard library's nor the folder's own."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = ["." * node.level + (node.module or "")]
            for name in names:
                if name.split(".")[0] not in sys.stdlib_module_names | {folder.name}:
                    yield f"{path}:{node.lineno}: {name}"


if __name__ == "__main__":
    found = list(foreign_imports(Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
