"""What a person can do about a run that can neither be finished nor undone."""

from __future__ import annotations


def ways_out(run: str) -> str:
    """What a person can do about it; the next command and the scheduled check try again by themselves."""
    goes = f"fab deploy --supersede {run} deploys all the same"
    return f"it is tried again by the next command; {goes}, fab follow --close {run} --reason … closes it as it is"
