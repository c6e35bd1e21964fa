"""What every task has in common, and light: `fab --list` reads this and the tasks, and nothing below them."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec

from fabric import Config
from invoke import tasks
from invoke.exceptions import Exit

from . import command_line, encoding, errors, surroundings

Arguments = ParamSpec("Arguments")

HOSTS = "servers or groups of hosts.yaml, comma-separated; all without it"
SERVICE = "services of hosts.yaml, comma-separated; all without it"
TAG = "the image's tag, or its digest sha256:…: 1.1 for all services, or annotation-queue=1.1,training=2.0"
JSON = "JSON on stdout; what a person reads goes to stderr"
DEBUG = "show the traceback of an error"

# Invoke's, without the one-letter flags that it would make up: `-d` would be a dry run here, and debugging there.
task = functools.partial(tasks.task, auto_shortflags=False)


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
        sys.exit(errors.show(sentence, errors.of_the_line()))

    sys.excepthook = end
    command_line.take_over()
    Config.load_ssh_config = lambda config: None


def guarded(task: Callable[Arguments, int | None]) -> Callable[Arguments, None]:
    """Every error becomes one sentence and its exit status; the task's own number is the exit status otherwise."""

    @functools.wraps(task)
    def body(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        from gpu_runbook.laptop.errors import Cancelled, RunbookError
        from gpu_runbook.laptop.terminal import interrupts

        encoding.fit(document=bool(kwargs.get("json")))
        surroundings.complete()
        interrupts.listen()
        try:
            code = task(*args, **kwargs)
        except KeyboardInterrupt:
            raise Exit(code=errors.show(Cancelled("cancelled, nothing changed"), kwargs)) from None
        except RunbookError as error:
            raise Exit(code=errors.show(error, kwargs)) from None
        except Exception as error:
            raise Exit(code=errors.show(_unexpected(error), kwargs)) from None
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
