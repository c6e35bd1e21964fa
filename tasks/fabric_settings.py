"""What is wrong with Fabric's own settings, as one sentence: files, flags and variables that it reads before a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.protocol.foreign_text import quoted

KINDS = {"_system": "/etc/fabric.yaml", "_user": "~/.fabric.yaml", "_project": "fabric.yaml"}


def explained(error: BaseException) -> BadInput | None:
    """The sentence for an error of `fab` before its first task; None for one that has another cause."""
    frames = [*_frames(error)]
    keys = [
        str(frame.f_locals["key"])
        for frame in frames
        if frame.f_code.co_name == "merge_dicts" and "key" in frame.f_locals
    ]
    for frame in reversed(frames):
        found = frame.f_locals
        if frame.f_code.co_name == "_load_file" and "filepath" in found:
            return _of_file(str(found["filepath"]), error, keys)
        if frame.f_code.co_name == "_merge_file" and "name" in found:
            return _of_file(_path(found), error, keys)
        if frame.f_code.co_name == "load_shell_env":
            return BadInput(
                f"a variable FABRIC_… of the environment is not understood: {quoted(str(error))}", "unset it"
            )
    return None


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace:
        if "invoke" in trace.tb_frame.f_code.co_filename:
            yield trace.tb_frame
        trace = trace.tb_next


def _path(found: dict[str, Any]) -> str:
    """The file of a merge, out of what Invoke knows of it."""
    name = f"_{found['name']}"
    return str(getattr(found["self"], f"{name}_path", None) or KINDS.get(name, "fabric.yaml"))


def _of_file(path: str, error: BaseException, keys: Sequence[str]) -> BadInput:
    """`keys` lead to what was being taken over of it."""
    if isinstance(error, OSError):
        said = error.strerror or type(error).__name__
    elif isinstance(error, UnicodeDecodeError):
        said = "it is no UTF-8"
    elif mark := getattr(error, "problem_mark", None):
        said = f"line {mark.line + 1} is no YAML"
    elif isinstance(error, SyntaxError | ValueError) and getattr(error, "lineno", None):
        said = f"line {error.lineno} is not understood"  # type: ignore[union-attr]
    elif "not supported" in str(error):
        said = "its name ends in none of .yaml, .yml, .json and .py"
    elif keys:
        said = f"its {quoted('.'.join(keys))} is of another kind than Fabric expects"
    else:
        said = "it is no mapping (key: value)"
    return BadInput(f"Fabric's settings in {path} cannot be read: {said}", "correct that file, or leave it out")
