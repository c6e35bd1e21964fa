"""The page of what died where, and what was left of it: made of the parts' files, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from textwrap import fill

from tests.faults.deaths import DEATHS
from tests.faults.kept import Outcome, Results
from tests.faults.troubles import TROUBLES

HEAD = """\
# Reliability

Whatever dies in the middle of a run, the server ends in one piece. `make faults` tries it, in parts of less than three
quarters of an hour; this page is made of what they found out, and the parts' files lie in `docs/reliability/`, each
case with how it went. `make test` plays a few cases of each kind.

## What is claimed

After any death, after two in one run, after the death of whoever helped, and after any trouble that is over, at most
one further command or one round of the scheduled check, and then:

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
has undone nothing of ours runs, and the deploy is for a person to give again. A round ends as `fab health` does, with
exit status 0 to 3.

A run outlives an engine or a containerd that is away for 5 seconds, without anybody's help. Where the engine is away
for longer than a run waits, or the old consumer cannot be killed, the run does not claim an end that nobody has seen.

Whatever a container, a registry, a broker or a server answers or puts in the way, every command ends in time, says what
it found in its own words, and nothing outside of the mounts is read into a container's reach, written, given away or
run.

## How

A GPU server of real parts: sshd, docker engine, registry, RabbitMQ with a stream, a consumer and a training run, 80
messages a second all the time. Three kinds of run: a first deploy, a deploy over a running release, a rollback. In
front of `docker` and of `python3` on the server stand shims that halt the run at a point: *before* and *after* each
docker command that changes something, and *at each line* of the run's journal, after it was written and before it is
synced; for one of the deaths also *at each sync* of any other file, in the middle of writing it. There one thing dies;
then the run is let go. Points are counted until a run ends before it comes to the next. Each death after which somebody
may have to help is played twice: with the same command given again, and with a round made as cron makes it, which
starts none by itself here.

In the part *twice* a seed draws deaths and points: a second death in a run that outlives its first one, or one of the
command or the round that helps. In *away* a run waits for an engine for 3 seconds instead of 90. In *clock* everything
of ours on the server takes it to be a year earlier or later than the engine does. In *move* a server of version 0.1.0,
with a consumer that was stopped, a pause, waiting alerts and that version's check, has its state moved out of the root,
and that is halted before each change of a file, a directory or the crontab. In *evil* a seed draws a trick and a
command: a consumer plays the trick all the time that the command runs, or somebody else tells lies, and files with a
mark in them lie where no container is to get at them. In *day* a seed draws what happens: deploys, rollbacks, stops,
restarts, pauses, outages of the broker and of the channel, kills of the consumer, reboots; rounds are made in between,
and in the end two ledgers are held against each other: every message that was published and every one that was handled,
every alert that was owed and every one that was received.

"""
NOT_COVERED = """
## What is not covered

- More than two deaths in one run.
- A power cut that loses more than the journal's unsynced end: what docker itself had not synced, or a disk that lies.
- A clock that jumps while a run is under way, and one that is off for the docker engine as well.
- Points between a line of the journal and the next docker command, of which there are few, and within a single system
  call.
"""
LONGEST = 400  # characters of what was wrong with one case


def page(parts: Sequence[Results], missing: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page, in Markdown. `missing`: name and subject of the parts of which nothing is known yet."""
    told = "".join(_entry(f"**{name}**: {one.what}") for name, one in {**DEATHS, **TROUBLES}.items())
    outcomes = [one for part in parts for one in part.outcomes if one.came]
    struck, others = _apart(outcomes, lambda one: one.row.count(" | ") == 2)
    tables = [of_parts(parts, missing), struck_at_points(struck), of_the_rest(others)]
    broken = [f"- {one.case}: {'; '.join(one.wrong)[:LONGEST]}\n" for part in parts for one in part.wrong]
    found = "\nNot whole:\n\n" + "".join(broken) if broken else ""
    results = "\n\n".join(filter(None, tables)) + "\n" + found
    return f"{HEAD}What strikes at a point:\n\n{told}\n## Results\n\n{results}{NOT_COVERED}"


def summary(part: Results) -> str:
    """One line about a part: how far it is, when and of which commit."""
    how = f"{len(part.wrong)} wrong" if part.wrong else "all as it should be"
    end = "" if part.whole else ", not all of it"
    when = f"{part.begun[:10]}, commit {part.commit}, seed {part.seed}, {part.seconds / 60:.0f} minutes"
    return f"{part.part}: {part.cases} cases{end}, {how} ({when})"


def of_parts(parts: Sequence[Results], missing: Sequence[tuple[str, str]] = ()) -> str:
    """A row for each part: how many cases, how many wrong, when and of which commit."""
    lines = [
        "| part | cases | wrong | date | commit | minutes | servers | seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in parts:
        count = f"{one.cases}" if one.whole else f"{one.cases}, not all"
        told = (one.part, count, len(one.wrong), one.begun[:10], one.commit, f"{one.seconds / 60:.0f}")
        lines.append(f"| {' | '.join(map(str, (*told, one.servers, one.seed)))} |")
    lines += [f"| {name} | none yet |  |  |  |  |  |  |" for name, _ in missing]
    cases, wrong = sum(one.cases for one in parts), sum(len(one.wrong) for one in parts)
    minutes = sum(one.seconds for one in parts) / 60
    return "\n".join([*lines, f"| all | {cases} | {wrong} |  |  | {minutes:.0f} |  |  |"])


def struck_at_points(outcomes: Sequence[Outcome]) -> str:
    """A row per kind of run, what strikes and who helps: points struck, wholes, those without help, read twice."""
    lines = [
        "| run | what strikes | who helps | points | whole | by itself | twice at most |",
        "|---|---|---|---|---|---|---|",
    ]
    groups = _groups(sorted(outcomes, key=_place))
    lines += [_line(row, cases) for row, cases in groups.items()]
    return "\n".join([*lines, _line("all |  | ", outcomes)]) if outcomes else ""


def of_the_rest(outcomes: Sequence[Outcome]) -> str:
    """A row for each kind of case that strikes at no point of its own."""
    rows = [
        f"| {row.replace(' | ', ', ')} | {sum(one.cases for one in found)} | {_wrong(found)} |"
        for row, found in _groups(outcomes).items()
    ]
    return "\n".join(["| what else | cases | wrong |", "|---|---|---|", *rows]) if rows else ""


def _entry(text: str) -> str:
    return f"{fill(text, 120, initial_indent='- ', subsequent_indent='  ', break_on_hyphens=False)}\n"


def _wrong(outcomes: Iterable[Outcome]) -> str:
    return str(sum(bool(one.wrong) for one in outcomes) or "nothing")


def _groups(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(one.row, []).append(one)
    return groups


def _apart(outcomes: Iterable[Outcome], fits: Callable[[Outcome], bool]) -> tuple[list[Outcome], list[Outcome]]:
    found: tuple[list[Outcome], list[Outcome]] = ([], [])
    for one in outcomes:
        found[not fits(one)].append(one)
    return found


def _place(one: Outcome) -> tuple[str, int, str]:
    action, death, helper = one.row.split(" | ")
    return action, [*DEATHS, *TROUBLES].index(death), helper


def _line(what: str, cases: Sequence[Outcome]) -> str:
    whole = sum(not one.wrong for one in cases)
    alone = sum(not one.helped for one in cases)
    return f"| {what} | {len(cases)} | {whole} | {alone} | {max((one.twice for one in cases), default=0)} |"
