"""The table of what died where, and what was left of it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.deaths import DEATHS
from tests.faults.further import Tried
from tests.faults.matrix import Matrix
from tests.faults.story import Played

HEAD = """\
# Reliability

Whatever dies in the middle of a run, the server ends in one piece. This page is what `make faults` measured; `make
test` plays a few cases of each kind.

## What is claimed

After any death, at most one further command, and then:

- exactly one consumer runs, by the docker engine's own events there were never two, and it alone comes back by itself
  after a restart of the engine;
- no message is lost, and at most one unsaved batch (50 messages here) is read twice, where a consumer was killed or
  could not save;
- `config.yaml` is the one of the release in force, every release on record has its own, and `offset.yaml` is whole;
- every journal has an end, the ends one after the other lead to the release that the record names, and the record
  names the container that runs;
- nobody holds the lock, and no temporary file is left over;
- the training container has the process it had.

Where the run outlives the death (laptop, reset, black hole, engine) all that holds without a further command, but for
one thing: a docker engine that is killed takes the consumer with it, and does not always start it again. A run notices
that as long as it lasts; what falls outside of it, and a first deploy that is undone, is for the further command. On a
full disk one consumer runs before anybody helps. `fab status` names the run that was cut off where there is one, and
none where there is not; neither it nor the command nor the laptop shows a traceback.

## How

A GPU server of real parts: sshd, docker engine, registry, RabbitMQ with a stream, a consumer and a training run, 80
messages a second all the time. Three kinds of run: a first deploy, a deploy over a running release, a rollback. In
front of `docker` and of `python3` on the server stand shims that halt the run at a point: *before* and *after* each
docker command that changes something, and *at each line* of the run's journal, after it was written and before it is
synced; for one of the deaths also *at each sync* of any other file, in the middle of writing it. There one thing dies;
then the run is let go. Points are counted until a run ends before it comes to the next.

"""
NOT_COVERED = """
## What is not covered

- Two deaths in one run, and a death during recovery itself. Recovery leads to states and may be repeated, which its own
  tests show step by step.
- A power cut that loses more than the journal's unsynced end: what docker itself had not synced, or a disk that lies.
- A file system of docker's own that is full. Here it is that of the root.
- Points between a line of the journal and the next docker command, of which there are few, and within a single system
  call.
"""


def table(played: Sequence[Played]) -> str:
    """A row per kind of run and death: points struck, wholes, those without a further command, read twice at most."""
    lines = ["| run | death | points | whole | by itself | twice at most |", "|---|---|---|---|---|---|"]
    known = list(DEATHS)
    groups = sorted({(one.action, one.death) for one in played}, key=lambda pair: (pair[0], known.index(pair[1])))
    for action, death in groups:
        lines.append(
            _line(f"{action} | {death}", [one for one in played if (one.action, one.death) == (action, death)])
        )
    return "\n".join([*lines, _line("all | ", played)])


def _line(what: str, cases: Sequence[Played]) -> str:
    whole = sum(not one.wrong for one in cases)
    alone = sum(not one.helped for one in cases)
    return f"| {what} | {len(cases)} | {whole} | {alone} | {max((one.twice for one in cases), default=0)} |"


def further(tried: Sequence[Tried]) -> str:
    """A row for each that is no death."""
    rows = [f"| {one.what} | {one.cases} | {len(one.wrong) or 'nothing'} |" for one in tried]
    return "\n".join(["| beside deaths | cases | wrong |", "|---|---|---|", *rows]) if rows else ""


def page(matrix: Matrix, deaths: Sequence[str], jobs: int, seconds: float) -> str:
    """The whole page, in Markdown."""
    played = matrix.played
    told = "".join(f"- **{name}**: {DEATHS[name].what}\n" for name in deaths)
    broken = [f"- {one.action}, {one.death} {one.point}: {'; '.join(one.wrong)}\n" for one in played if one.wrong]
    took = f"{len(played)} cases in {seconds / 60:.0f} minutes on {jobs} servers side by side on one machine.\n\n"
    broken += [f"- {one.what}, {sentence}\n" for one in matrix.tried for sentence in one.wrong]
    found = "\nNot whole:\n\n" + "".join(broken) if broken else ""
    results = f"{took}{table(played)}\n\n{further(matrix.tried)}\n{found}"
    return f"{HEAD}The deaths:\n\n{told}\n## Results\n\n{results}{NOT_COVERED}"
