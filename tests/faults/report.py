"""The table of what died where, and what was left of it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.deaths import DEATHS
from tests.faults.further import Tried
from tests.faults.helpers import HELPERS
from tests.faults.matrix import Matrix
from tests.faults.story import Played

HEAD = """\
# Reliability

Whatever dies in the middle of a run, the server ends in one piece. This page is what `make faults` measured; `make
test` plays a few cases of each kind.

## What is claimed

After any death, at most one further command or one round of the scheduled check, and then:

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

Where `fab schedule.install` has left the check, nobody has to come: the next round does what the further command would
have done, and starts a consumer that fell with its engine. It decides nothing by itself: after a first deploy that it
has undone nothing of ours runs, and the deploy is for a person to give again. A round ends with exit status 0, 1 or 2;
3 would be one that failed by itself.

## How

A GPU server of real parts: sshd, docker engine, registry, RabbitMQ with a stream, a consumer and a training run, 80
messages a second all the time. Three kinds of run: a first deploy, a deploy over a running release, a rollback. In
front of `docker` and of `python3` on the server stand shims that halt the run at a point: *before* and *after* each
docker command that changes something, and *at each line* of the run's journal, after it was written and before it is
synced; for one of the deaths also *at each sync* of any other file, in the middle of writing it. There one thing dies;
then the run is let go. Points are counted until a run ends before it comes to the next. Each death after which somebody
may have to help is played twice: with the same command given again, and with a round made as cron makes it, which
starts none by itself here.

"""
NOT_COVERED = """
## What is not covered

- Two deaths in one run, and a death during recovery itself: recovery leads to states and may be repeated. `make test`
  shows it step by step, and kills a round in the middle of it.
- A power cut that loses more than the journal's unsynced end: what docker itself had not synced, or a disk that lies.
- A file system of docker's own that is full. Here it is that of the root.
- Points between a line of the journal and the next docker command, of which there are few, and within a single system
  call.
"""


def table(played: Sequence[Played]) -> str:
    """A row per kind of run, death and who helps: points struck, wholes, those without help, read twice at most."""
    lines = [
        "| run | death | who helps | points | whole | by itself | twice at most |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str], list[Played]] = {}
    for one in sorted(played, key=_place):
        groups.setdefault((one.action, one.death, one.helper), []).append(one)
    lines += [_line(" | ".join(group), cases) for group, cases in groups.items()]
    return "\n".join([*lines, _line("all |  | ", played)])


def _place(one: Played) -> tuple[str, int, int]:
    return one.action, list(DEATHS).index(one.death), HELPERS.index(one.helper)


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
    broken = [f"- {one}: {'; '.join(one.wrong)}\n" for one in played if one.wrong]
    took = f"{len(played)} cases in {seconds / 60:.0f} minutes on {jobs} servers side by side on one machine.\n\n"
    broken += [f"- {one.what}, {sentence}\n" for one in matrix.tried for sentence in one.wrong]
    found = "\nNot whole:\n\n" + "".join(broken) if broken else ""
    results = f"{took}{table(played)}\n\n{further(matrix.tried)}\n{found}"
    return f"{HEAD}The deaths:\n\n{told}\n## Results\n\n{results}{NOT_COVERED}"
