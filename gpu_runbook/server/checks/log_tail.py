"""Are the last lines of a container's log clean, and those of its log files?"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence, Union

from gpu_runbook.common import humanize
from gpu_runbook.protocol.check import OK, SKIPPED, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.foreign_text import quoted
from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.server.docker.engine import Engine, EngineError, Unreadable
from gpu_runbook.server.state.store import Store

LINES = 20
HINT = "docker inspect says which log driver it has; what fab deploy makes has json-file, or its log_driver:"
WIDTH = 200  # characters of a line that is shown


def check(name: str, container: str, engine: Engine, failure_text: Sequence[str]) -> Check:
    """Searches the last 20 lines for the texts, literally. An old line stays among them while little is written."""
    lines = _lines(name, container, engine)
    if isinstance(lines, Check):
        return lines
    found = [line for line in lines if any(text in line for text in failure_text)]
    return _row(name, container, lines, found, "")


def with_files(
    name: str, container: str, engine: Engine, failure_text: Sequence[str], rules: LogRules, store: Store
) -> Check:
    """The same with its log files and levels. `store`: its journals say which lines of the files are its own."""
    if not (rules.files or rules.level):
        return check(name, container, engine, failure_text)
    of_docker = _lines(name, container, engine)
    if isinstance(of_docker, Check) and (of_docker.level == SKIPPED or not rules.files):
        return of_docker
    from gpu_runbook.server.logs import since  # it travels only where hosts.yaml has either

    known = engine.container(container)
    reading, remark = since.read(engine, store, known.id if known else "", rules, failure_text)
    lines = () if isinstance(of_docker, Check) else of_docker
    unread = f"docker's log: {of_docker.sentence}" if isinstance(of_docker, Check) else ""
    remarks = "".join(f"; {one}" for one in (remark, unread) if one)
    return _row(name, container, reading.lines(lines), reading.failures(lines), remarks)


def counted(
    name: str, container: str, engine: Engine, failure_text: Sequence[str], rules: LogRules, store: Store
) -> Check:
    """The same without a line of it, for whoever does not know what to cover in one."""
    row = with_files(name, container, engine, failure_text, rules, store)
    if row.level != WARNING:
        return row
    last = humanize.several(row.figures["lines"], "line")
    return replace(row, sentence=f"{row.figures['failures']} of its last {last} say that it failed")


def _lines(name: str, container: str, engine: Engine) -> Union[List[str], Check]:
    """The last ones of docker's log, or the row that says why there are none."""
    try:
        return engine.logs(container, tail=LINES).splitlines()
    except Unreadable as error:
        return Check(name, UNKNOWN, f"it cannot be read: {quoted(error.message, WIDTH)}", hint=HINT)
    except EngineError as error:
        if error.status == 404:
            return Check(name, SKIPPED, f"there is no container {container}")
        raise


def _row(name: str, container: str, lines: Sequence[str], found: Sequence[str], remark: str) -> Check:
    figures = {"lines": len(lines), "failures": len(found)}
    if not found:
        clean = f"clean: its last {humanize.several(len(lines), 'line')}" if lines else "its log is empty"
        return Check(name, OK, f"{clean}{remark}", figures)
    last = quoted(found[-1], WIDTH)
    sentence = f"{len(found)} of its last {humanize.several(len(lines), 'line')} say that it failed, as: {last}"
    return Check(name, WARNING, f"{sentence}{remark}", figures, f"see fab logs {container} --tail {LINES}")
