"""Puts the model that was chosen on a server into its configs, in place and as releases kept them."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Dict, Optional, Tuple

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store
from gpu_runbook.server.system import files

_AS_IT_IS = "utf-8", "surrogateescape"  # any bytes, and back


def chosen(store: Store) -> Optional[str]:
    """The path of the model that was chosen, empty when none was; None when model.json cannot be understood."""
    raw = files.read(store.model)
    try:
        path = json.loads(raw)["path"] if raw else ""
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return path if isinstance(path, str) and path.isprintable() else None


def with_chosen(store: Store, config: ConfigFile, text: str) -> Optional[str]:
    """The text as it goes into its place, with the model that was chosen; None when it cannot be put there."""
    path = chosen(store) if config.model_key else ""
    if not path:
        return text
    from gpu_runbook.common.config_key import Unplaceable, replaced

    try:
        return replaced(text, config.model_key, path)
    except Unplaceable:
        return None


def point(store: Store, run: str, configs: Dict[str, ConfigFile]) -> None:
    """Lead what the release in force keeps of the configs, and then those in place, to the chosen model.

    May be repeated. One that cannot take it stays as it is. Raises Refusal for one that cannot be read or written.
    """
    known, _ = record.load(store)
    release = known.find(known.current)
    if release:
        services = dict(release.services)
        for service in set(services) & set(configs):
            kept = os.path.join(store.release(release.id, service), "config.yaml")
            text = _rewrite_kept(store, run, configs[service], kept)
            if text is not None:
                services[service] = dataclasses.replace(services[service], config_hash=store.keyed_hash(text))
        record.save(store, record.changed(known, dataclasses.replace(release, services=services)))
    for config in configs.values():
        found = _present(config.path)
        text = _pointed(store, config, found[0]) if found else None
        if found is None or text is None or text.encode(*_AS_IT_IS) == found[0]:
            guarded.remove(files.staged_name(config.path, run))  # of a try that was cut off
        else:
            mode, uid, gid = guarded.identity(found[1])
            guarded.write(config.path, text.encode(*_AS_IT_IS), mode, (uid, gid), run)


def _present(path: str) -> Optional[Tuple[bytes, os.stat_result]]:
    """The config in place, None without one; nor is it one, what a container has put there instead."""
    try:
        return guarded.read(path)
    except guarded.Unfit:
        return None
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}", guarded.hint(error)) from error


def _rewrite_kept(store: Store, run: str, config: ConfigFile, path: str) -> Optional[str]:
    """Put the chosen model into a kept config; its text, None for one that cannot take it."""
    raw = files.read(path)
    text = _pointed(store, config, raw) if raw is not None else None
    if text is None or text.encode(*_AS_IT_IS) == raw:
        files.remove(files.staged_name(path, run))  # as below
    else:
        files.write(path, text.encode(*_AS_IT_IS), suffix=run)
    return text


def _pointed(store: Store, config: ConfigFile, raw: bytes) -> Optional[str]:
    return with_chosen(store, config, raw.decode(*_AS_IT_IS))
