"""The values that travel and are kept: what is encoded is decoded equal, any other document is named by its place."""

from __future__ import annotations

import dataclasses
import json
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from gpu_runbook.protocol import check, health, plan, rounds, snapshot
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.prune import Thing
from gpu_runbook.protocol.state_move import Moved
from gpu_runbook.server.models import choices, model_files
from gpu_runbook.server.run import swap
from gpu_runbook.server.schedule import standstill, state
from gpu_runbook.server.schedule.notify import message, policy
from gpu_runbook.server.state import schedule_files, store
from gpu_runbook.server.verbs import env, history, model_use, models, prune, setup, training_command
from gpu_runbook.server.verbs.schedule import install, remove, show
from tests.hostile.conduct import nothing_done
from tests.hostile.damage import damaged, documents
from tests.hostile.properties import Ground, Property
from tests.hostile.values import values


def kinds(*modules: ModuleType) -> list[type[Any]]:
    """Every value that one of these modules defines."""
    found = [(module, thing) for module in modules for thing in vars(module).values() if isinstance(thing, type)]
    return [kind for module, kind in found if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__]


KINDS = [
    *kinds(
        check,
        plan,
        snapshot,
        swap,
        history,
        model_files,
        choices,
        models,
        model_use,
        prune,
        setup,
        env,
        training_command,
    ),
    *kinds(health, policy, install, message, remove, rounds, schedule_files, show, standstill, state),
    *(Thing, Moved, store.Marker),
]


@st.composite
def of_a_kind(draw: st.DrawFn) -> Any:
    return draw(values(draw(st.sampled_from(KINDS))))


def what_is_encoded_is_decoded_equal(value: Any, ground: Ground) -> None:
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


@st.composite
def nearly_of_a_kind(draw: st.DrawFn) -> tuple[type[Any], Any]:
    """A kind, and the document of one of its values with damage to it, or any document at all."""
    value = draw(of_a_kind())
    document = json.loads(json.dumps(encode(value)))
    return type(value), draw(damaged(document) | documents)


def any_document_is_a_value_or_malformed(case: tuple[type[Any], Any], ground: Ground) -> None:
    kind, document = case
    with nothing_done():
        try:
            value = decode(kind, document)
        except Malformed as error:
            assert str(error).startswith(kind.__name__.lower())
            assert len(str(error)) < 1000
        else:
            assert decode(kind, json.loads(json.dumps(encode(value)))) == value


PROPERTIES = (
    Property("values encoded and decoded", of_a_kind(), what_is_encoded_is_decoded_equal),
    Property("documents that are nearly values", nearly_of_a_kind(), any_document_is_a_value_or_malformed),
)
