"""The interpreter: what steps give, restored as their functions are annotated."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest

from flowgen import (
    Context,
    Invoke,
    Run,
    Sleep,
    StepError,
    Steps,
    WaitFor,
    event_type,
)
from flowgen.errors import UndecodableError
from flowgen.history import StepSucceeded
from flowgen.outcome import Json
from tests.bodies import Fed, occurrence, workflow_of


@attrs.frozen
class Order:
    id: str
    total: float


@event_type("order/approved")
@attrs.frozen
class Approved:
    by: str


def load() -> Order:
    return Order("7", 1.5)


async def load_async() -> Order:
    return Order("7", 1.5)


def plain(x):  # type: ignore[no-untyped-def]
    return x


@pytest.mark.parametrize("fn", [load, load_async, functools.partial(load)])
def test_a_result_comes_back_as_its_annotation_says(fn: Any) -> None:
    """Sync, async and partial functions: the recorded JSON is restored to the annotated class."""

    def body(ctx: Context[Any]) -> Steps[str]:
        order = yield Run("load", fn)
        return f"{type(order).__name__} {order.total}"

    assert Fed(body).ok("load", Order("7", 1.5)).returned == "Order 1.5"


def test_a_result_without_annotation_is_plain() -> None:
    """Tuples have become lists: what replay gives is what the body gets the first time, too."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        return (yield Run("a", plain, (1, 2)))

    assert Fed(body).ok("a", (1, {"b": (2,)})).returned == [1, {"b": [2]}]


class Odd:
    """A callable without a hash."""

    __hash__ = None  # type: ignore[assignment]
    __name__ = "odd"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self) -> Order:
        return Order("7", 1.0)


def test_a_callable_without_a_hash_can_be_a_step() -> None:
    """A function is looked up by what it is, not by its hash."""

    def body(ctx: Context[Any]) -> Steps[str]:
        order = yield Run("a", Odd())
        return str(order.id)

    assert Fed(body).ok("a", {"id": "7", "total": 1.0}).returned == "7"


def test_a_matched_event_comes_typed_and_a_timeout_as_none() -> None:
    """A wait gives the event with its data as the class that it names, or None."""

    def body(ctx: Context[Any]) -> Steps[list[Any]]:
        one = yield WaitFor("w", Approved, timeout=1)
        two = yield WaitFor("w", Approved, timeout=1)
        assert one is not None
        return [one.name, one.data.by, two]

    fed = Fed(body).ok("w", occurrence('{"by":"ann"}'), position=5)
    assert fed.interpreter.seen() == {"w": 5}
    assert fed.ok("w:1", None).returned == ["order/approved", "ann", None]


def test_an_invoked_workflow_gives_what_it_is_annotated_with() -> None:
    """The result of a child is restored by the child's annotation."""

    def child(ctx: Context[Any]) -> Steps[Order]:
        yield Sleep("s", 1)
        return Order("7", 1.0)

    made = workflow_of(child)

    def body(ctx: Context[Any]) -> Steps[str]:
        order = yield Invoke("c", made)
        return type(order).__name__

    assert Fed(body).ok("c", {"id": "7", "total": 2}).returned == "Order"


def test_a_value_that_does_not_fit_is_told_and_changes_nothing() -> None:
    """Live, a value that does not fit is the caller's to record as a failure: the step stays open."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield Run("load", load)
        except StepError as error:
            return error.error_type
        return "fine"

    fed = Fed(body)
    with pytest.raises(UndecodableError, match="does not fit Order"):
        fed.interpreter.feed(StepSucceeded(fed.at, "load", Json(b'{"id": 7}'), digest=fed.step("load").digest))
    assert fed.asked == ["load"]
    assert fed.fail("load", "UndecodableError").returned == "UndecodableError"


@attrs.frozen
class Picky:
    n: int

    def __attrs_post_init__(self) -> None:
        {}[self.n]


def picky() -> Picky:
    raise AssertionError


def test_a_class_whose_making_fails_is_a_value_that_does_not_fit() -> None:
    """Whatever a user's class raises while it is restored, the run goes on with a failure of that step."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", picky)

    fed = Fed(body)
    with pytest.raises(UndecodableError):
        fed.interpreter.feed(StepSucceeded(fed.at, "a", Json(b'{"n": 7}'), digest=fed.step("a").digest))
