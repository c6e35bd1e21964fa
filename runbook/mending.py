"""Has a server bring a run to an end that was cut off."""

from __future__ import annotations

from remote.foreign_text import LONGEST, one_line
from remote.words import encode
from runbook.door import Door
from runbook.errors import LostContact
from runbook.exchange import Deadline, ask, entry
from runbook.inventory import Host, Inventory
from runbook.looking import batch_marks

DONE = 7200.0  # seconds: a consumer may be given an hour to stop, there and back


def mended(door: Door, inventory: Inventory, host: Host, who: str, run: str) -> list[str]:
    """A sentence for each run. The server goes on with it, whether we hear of it or not. Raises LostContact."""
    batches = [encode(marks) for marks in batch_marks(inventory)]
    request = {**host.place, "docker_host": host.docker_host or "", "batches": batches, "who": who}
    try:
        answer = ask(door, "mend", request, deadline=Deadline(DONE))
        told = entry(door.host.name, answer, "mended", tuple[str, ...])
    except KeyboardInterrupt:
        why = f"{door.host.name}: you left while run {run} was brought to an end"
    except LostContact as error:
        why = f"{error.message} while run {run} was brought to an end"
    else:
        return [one_line(sentence, LONGEST) for sentence in told]
    raise LostContact(f"{why}; that goes on by itself", "fab status says how it ended; then run this again")
