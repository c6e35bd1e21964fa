"""Which consumers were stopped on purpose, by whom and why: they are to stay so until somebody starts them."""

from __future__ import annotations

from typing import Dict, Iterable, Tuple

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.pause import IntendedStop
from gpu_runbook.server.state import jsonfile
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files


def load(store: Store) -> Tuple[Dict[str, IntendedStop], str]:
    """By service; and what is wrong with the file, usually nothing."""
    found, problem = jsonfile.load(Dict[str, IntendedStop], store.stopped)
    return found or {}, problem


def forget(store: Store, services: Iterable[str]) -> None:
    """Somebody wants these to run again. Raises Refusal when that cannot be written down."""
    known, _ = load(store)
    left = {name: stop for name, stop in known.items() if name not in services}
    if len(left) < len(known):
        _save(store, left)


def _save(store: Store, known: Dict[str, IntendedStop]) -> None:
    if known:
        jsonfile.save(store.stopped, {name: encode(stop) for name, stop in known.items()})
    else:
        files.remove(store.stopped)


def remember(store: Store, service: str, stop: IntendedStop) -> None:
    """Raises Refusal when it cannot be written down."""
    known, _ = load(store)
    _save(store, {**known, service: stop})
