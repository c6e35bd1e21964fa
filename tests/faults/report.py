"""The table of what died where, and what was left of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.faults.story import Played

Say = Callable[[str], None]

HEAD = """\
# Reliability

`make faults` repeats a first deploy, a deploy and a rollback under load, with a death before and after every docker
command that changes something, and at every line of the journal. After each, one further command is given, and then:
exactly one consumer runs; by the engine's own events there were never two; no message is lost, and at most one
unsaved batch is read twice; every journal has an end; the record names what runs; nobody holds the lock; config.yaml
is the one of the release in force and offset.yaml is there; restart policies are right; the training container has
the process it had. The same death at a point of each kind is part of `make test`.

"""


def table(played: Sequence[Played]) -> str:
    """A row per kind of run and death: points struck, wholes, messages that were read twice at most."""
    lines = ["| run | death | points | whole | twice at most |", "|---|---|---|---|---|"]
    for action, death in dict.fromkeys((one.action, one.death) for one in played):
        cases = [one for one in played if (one.action, one.death) == (action, death)]
        whole = sum(1 for one in cases if not one.wrong)
        lines.append(f"| {action} | {death} | {len(cases)} | {whole} | {max(one.twice for one in cases)} |")
    lines.append(f"| all | | {len(played)} | {sum(1 for one in played if not one.wrong)} | |")
    return "\n".join(lines)


def page(text: str, played: Sequence[Played]) -> str:
    broken = [f"- {one.action}, {one.death} {one.point}: {'; '.join(one.wrong)}" for one in played if one.wrong]
    return HEAD + text + "\n" + "".join(f"{line}\n" for line in ["", *broken] if broken)
