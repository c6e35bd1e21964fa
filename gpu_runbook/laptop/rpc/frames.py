"""Tracebacks of the server's half, whose functions have short names there, told with the source that it was made of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from gpu_runbook.laptop.rpc import bundle

_FRAME = re.compile(
    rf'(  File "{bundle.PACKAGE}/([a-z]\w*(?:/\w+)*\.py)", line (\d{{1,6}}), in )\S+\n(?:    .*\n)?(?:    [ ~^]+\n)?'
)


def restored(debug: str) -> str:
    """The same frames with the names of functions and the lines as they stand in our own files."""
    return _FRAME.sub(_frame, debug)


def _frame(match: re.Match[str]) -> str:
    file, number = Path(bundle.FOLDER, match[2]), int(match[3])
    try:
        source = file.read_text("utf-8")
        line, function = source.splitlines()[number - 1].strip(), _function(source, number)
    except (OSError, ValueError, IndexError, SyntaxError):  # of another version, or of whoever says it is ours
        return match[0]
    return f"{match[1]}{function}\n    {line}\n"


def _function(source: str, line: int) -> str:
    """The innermost function that a line is in."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    around = [node for node in functions if node.lineno <= line <= (node.end_lineno or 0)]
    return max(around, key=lambda node: node.lineno).name if around else "<module>"
