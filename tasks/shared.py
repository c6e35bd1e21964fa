"""What every task has in common, and light: `fab --list` reads this and the tasks, and nothing below them."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec

from fabric import Config
from invoke.exceptions import Exit

from . import encoding

Arguments = ParamSpec("Arguments")

HOSTS = "servers or groups of hosts.yaml, comma-separated; all without it"
SERVICE = "services of hosts.yaml, comma-separated; all without it"
TAG = "the image's tag, or its digest sha256:…: 1.1 for all services, or annotation-queue=1.1,training=2.0"
JSON = "JSON on stdout; what a person reads goes to stderr"
DEBUG = "show the traceback of an error"


def take_over() -> None:
    """What Fabric does before a task: it leaves ssh_config alone, which the tasks read, and ends without a traceback.

    Its parser takes not all that ssh takes, so that a line for another host would end every command. Its own settings
    are in files, too; and whoever closes the pipe of `fab --list | head` has read enough.
    """
    shown = sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what Python has not written yet would be refused at its end
            return
        from . import fabric_settings

        sentence = fabric_settings.explained(error)
        if sentence is None:
            shown(kind, error, trace)
            return
        _show(sentence, {"json": "--json" in sys.argv})
        sys.exit(sentence.exit_code)

    sys.excepthook = end
    Config.load_ssh_config = lambda config: None


def guarded(task: Callable[Arguments, int | None]) -> Callable[Arguments, None]:
    """Every error becomes one sentence and its exit status; the task's own number is the exit status otherwise."""

    @functools.wraps(task)
    def body(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        from gpu_runbook.laptop.errors import Cancelled, Defect, RunbookError
        from gpu_runbook.laptop.terminal import interrupts

        encoding.fit(document=bool(kwargs.get("json")))
        interrupts.listen()
        try:
            code = task(*args, **kwargs)
        except KeyboardInterrupt:
            _show(Cancelled("cancelled, nothing changed"), kwargs)
            raise Exit(code=Cancelled.exit_code) from None
        except RunbookError as error:
            _show(error, kwargs)
            raise Exit(code=error.exit_code) from None
        except Exception as error:
            _show(_unexpected(error), kwargs)
            raise Exit(code=Defect.exit_code) from None
        finally:
            interrupts.end()
            gc.freeze()  # Python ends sooner when it need not look for garbage among all that was imported
        if code:
            raise Exit(code=code)

    return body


def _unexpected(error: Exception) -> Any:
    """What no code foresaw, by its kind and place: the error's own text may quote a secret."""
    import traceback

    from gpu_runbook.laptop.errors import Defect

    frame = traceback.extract_tb(error.__traceback__)[-1]
    defect = Defect(
        f"a defect of this tool, or an answer it does not understand: {type(error).__name__} in "
        f"{frame.filename} line {frame.lineno}",
        "run it again with --debug, and report what it says",
    )
    defect.__cause__ = error
    return defect


def _show(error: Any, flags: Mapping[str, Any]) -> None:
    """For a person on stderr; for a script on stdout as well, with what was done before it."""
    from gpu_runbook.laptop.terminal import interrupts

    interrupts.heard = False  # one more Ctrl-C does not take the answer away
    from gpu_runbook.laptop.terminal.screen import put, show_error

    if flags.get("json"):
        import json

        from gpu_runbook.laptop.answers.contract import SCHEMA
        from gpu_runbook.laptop.terminal.spool import pieces

        told = {"schema": SCHEMA, "servers": error.results, "error": error.as_result()}
        lines = flags.get("follow")  # what is followed comes as JSON lines
        for piece in [json.dumps(told, ensure_ascii=False)] if lines else pieces(told):
            put(piece, end="")
        put("")
    if flags.get("debug"):
        from gpu_runbook.laptop.sanitize import clean
        from gpu_runbook.laptop.terminal import traceback as backtrace

        put(clean("\n".join(backtrace.lines(error))), sys.stderr)
    show_error(error)
