"""The values that travel and are kept: what is encoded is decoded equal, any other document is named by its place."""

from __future__ import annotations

import dataclasses
import json
from itertools import chain
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.server.schedule import standstill, state
from gpu_runbook.server.schedule.notify import message, policy
from gpu_runbook.server.state import store
from gpu_runbook.server.verbs import model_use
from tests.hostile.conduct import nothing_done
from tests.hostile.damage import damaged, documents
from tests.hostile.forms import PROTOCOL
from tests.hostile.properties import Ground, Property
from tests.hostile.values import values


def kinds(module: ModuleType) -> list[type[Any]]:
    """Every value that a module defines."""
    found = [
        thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == module.__name__
    ]
    return [kind for kind in found if dataclasses.is_dataclass(kind)]


# Of the server's modules those whose values are kept as JSON: each must have one.
KEPT = {module: kinds(module) for module in (model_use, policy, message, standstill, state)}
if bare := [module.__name__ for module, found in KEPT.items() if not found]:
    raise AssertionError(f"no value to keep in {', '.join(bare)}")

KINDS = [*chain.from_iterable(map(kinds, PROTOCOL)), *chain.from_iterable(KEPT.values()), store.Marker]


@st.composite
def of_a_kind(draw: st.DrawFn) -> Any:
    return draw(values(draw(st.sampled_from(KINDS))))


def what_is_encoded_is_decoded_equal(value: Any, ground: Ground) -> None:
    assert decode(type(value), json.loads(json.dumps(encode(value))), type(value).__name__.lower()) == value


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
            value = decode(kind, document, kind.__name__.lower())
        except Malformed as error:
            assert str(error).startswith(kind.__name__.lower())
            assert len(str(error)) < 1000
        else:
            assert decode(kind, json.loads(json.dumps(encode(value))), kind.__name__.lower()) == value


PROPERTIES = (
    Property("values encoded and decoded", of_a_kind(), what_is_encoded_is_decoded_equal),
    Property("documents that are nearly values", nearly_of_a_kind(), any_document_is_a_value_or_malformed),
)
