"""Events on the wire and ours: the same fact, in two documents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.events import AcceptedEvent
from flowgen.outcome import Json
from flowgen.runtime.protocol.events import from_wire, to_wire
from flowgen.runtime.protocol.reading import BadEvent, BadRequest, encoded
from flowgen.values import decode

from .wild import TEXTS, VALUES, bent, received, refusal

NOW = 1_767_225_600_000_000


def event(name: str, data: Any, **more: Any) -> AcceptedEvent:
    return AcceptedEvent("internal", name, encoded(data), NOW + 1_500, NOW, **more)


def test_an_event_has_what_sdks_expect() -> None:
    """An id, a name, data, milliseconds, and a user that is an object."""
    document = {"id": "internal", "name": "a/b", "data": {"n": 1}, "ts": NOW // 1000 + 1, "user": {}}
    assert to_wire(event("a/b", {"n": 1})) == document
    assert to_wire(event("a/b", {"n": 1}, key="theirs")) == document | {"id": "theirs"}


FAILURE = {
    "app": "shop",
    "workflow_id": "fulfil",
    "run_id": "01RUN",
    "event": {"name": "go", "data": {}, "id": "e", "ts": 5},
    "error": {
        "type": "ValueError",
        "message": "no",
        "trace": "at x",
        "cause": {"type": "OSError", "message": "disk", "trace": "", "cause": None},
        "step": "charge",
    },
}


def test_the_end_of_a_run_is_told_in_their_words() -> None:
    """What handlers of failures written for SDKs read."""
    there = to_wire(event("flowgen/run.failed", FAILURE))
    assert there["name"] == "inngest/function.failed"
    assert there["data"] == {
        "function_id": "shop-fulfil",
        "run_id": "01RUN",
        "event": FAILURE["event"],
        "events": [FAILURE["event"]],
        "error": {
            "name": "ValueError",
            "message": "no",
            "stack": "at x",
            "cause": {"name": "OSError", "message": "disk", "stack": ""},
        },
    }
    done = {"app": "shop", "workflow_id": "fulfil", "run_id": "01RUN", "event": None, "result": [1]}
    there = to_wire(event("flowgen/run.completed", done))
    assert there["name"] == "inngest/function.finished"
    assert there["data"] == {
        "function_id": "shop-fulfil",
        "run_id": "01RUN",
        "event": None,
        "events": [],
        "result": [1],
    }
    assert decode(from_wire(there, NOW, app="shop").data) == done
    assert to_wire(event("flowgen/run.cancelled", FAILURE))["name"] == "inngest/function.cancelled"


def test_the_end_of_a_run_there_is_one_here() -> None:
    """For our apps under their server: what our handlers of failures read."""
    there = to_wire(event("flowgen/run.failed", FAILURE))
    here = from_wire(there, NOW, app="shop")
    assert here.name == "flowgen/run.failed"
    error = dict(FAILURE["error"], step=None)  # type: ignore[call-overload]
    assert decode(here.data) == FAILURE | {"error": error}


def test_a_function_of_another_app_keeps_its_name() -> None:
    """Where its app ends and its own name begins, nobody can tell."""
    there = to_wire(event("flowgen/run.failed", FAILURE))
    here = decode(from_wire(there, NOW, app="other").data)
    assert (here["app"], here["workflow_id"]) == ("", "shop-fulfil")


def test_ticks_and_invocations_have_other_names() -> None:
    """And a tick says its time as theirs do."""
    tick = {"cron": "0 9 * * *", "tick": "2026-01-01T09:00:00+00:00", "workflow_id": "w"}
    there = to_wire(event("flowgen/cron.tick", tick))
    assert there["name"] == "inngest/scheduled.timer"
    assert there["data"] == {"cron": "0 9 * * *", "scheduledAt": tick["tick"], "fireAt": tick["tick"]}
    assert decode(from_wire(there, NOW).data) == tick | {"workflow_id": ""}
    for name in ("flowgen/run.invoked", "flowgen/run.invoked-after-end"):
        assert to_wire(event(name, {"n": 1}))["name"] == "inngest/function.invoked"
    assert from_wire(to_wire(event("flowgen/run.invoked", {"n": 1})), NOW).name == "flowgen/run.invoked"


NAMES = TEXTS.filter(lambda name: name and not name.startswith(("flowgen/", "inngest/")))


@given(NAMES, st.dictionaries(TEXTS, VALUES, max_size=4), st.integers(0, 4 * 10**12), TEXTS)
def test_an_event_of_a_user_crosses_the_wire(name: str, data: dict[str, Any], ts: int, id: str) -> None:
    """There and back it is the same, up to milliseconds. The engine's own names are not for users."""
    sent = AcceptedEvent(id, name, encoded(data), ts * 1000, NOW)
    said = msgspec.json.decode(msgspec.json.encode(to_wire(sent)))
    got = from_wire(said, NOW)
    assert (got.id, got.name, decode(got.data), got.accepted_at) == (id, name, data, NOW)
    assert got.ts == (ts * 1000 if ts else NOW)


@pytest.mark.parametrize(
    "document, place",
    [
        (None, "event"),
        ({}, "event.name"),
        ({"name": ""}, "event.name"),
        ({"name": "a", "data": [1]}, "event.data"),
        ({"name": "a", "ts": "now"}, "event.ts"),
        ({"name": "a", "ts": -1}, "event.ts"),
        ({"name": "a", "ts": 10**15}, "event.ts"),
        ({"name": "a", "id": 7}, "event.id"),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(document: Any, place: str) -> None:
    """In the class of error that was asked for."""
    refused = refusal(lambda: from_wire(document, NOW, error=BadRequest))
    assert isinstance(refused, BadRequest)
    assert refused.place == place


def test_an_event_says_little() -> None:
    """A name is enough; its time is when it came."""
    assert from_wire({"NAME": "a", "data": None}, NOW).data == Json(b"{}")
    assert from_wire({"name": "a"}, NOW).ts == NOW


EXAMPLES = [
    to_wire(event("a", {"n": {"m": [1]}})),
    to_wire(event("flowgen/run.failed", FAILURE)),
    to_wire(event("flowgen/cron.tick", {"cron": "x", "tick": "y"})),
]


@given(bent(*EXAMPLES) | VALUES)
def test_whatever_comes_in_only_our_error_comes_out(document: Any) -> None:
    """And what is let in goes out again."""
    refused = refusal(lambda: to_wire(from_wire(received(document, BadEvent), NOW, app="shop")))
    assert refused is None or isinstance(refused, BadEvent)
