"""How full a file system is, in the words of every command that says so: which folder, df's percent, what is left."""

from __future__ import annotations

from gpu_runbook.common import humanize

REMEDY = "fab prune makes room; health.disk in hosts.yaml says which paths count"


def enough(path: str, percent: int, left: int) -> str:
    """`left`: bytes."""
    return f"{path} {percent} % full ({humanize.size(left)} left)"


def scarce(path: str, percent: int, left: int, what: str = "full") -> str:
    """The same beyond a threshold; `what` there is too much of."""
    return f"{path} is {percent} % {what}, {humanize.size(left)} are left"
