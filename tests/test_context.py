"""The context: what a body sees depends on the run alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import Context, DefinitionError, Event, event_type
from flowgen.context import ERROR, INFO, LogLine


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str


def context(seed: int = 7, scope: str = "") -> Context[Any]:
    made = Context([Event("a")], run_id="r", workflow_id="w", seed=seed)
    made._scope = scope
    return made


# -- making one ------------------------------------------------------------------------------------


def test_a_context_for_a_test_from_a_dict() -> None:
    """`Context.of` gives plain data back, with defaults for all else."""
    ctx = Context.of({"order_id": "7"})
    assert ctx.event.data == {"order_id": "7"}
    assert (ctx.run_id, ctx.workflow_id, ctx.event.name) == ("test-run", "test-workflow", "test/event")
    assert ctx.now == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_context_for_a_test_from_a_typed_event() -> None:
    """An instance of an event class brings its event's name along."""
    ctx = Context.of(OrderPlaced("7"))
    assert (ctx.event.name, ctx.event.data.order_id) == ("order/placed", "7")


def test_a_context_for_a_test_from_an_event() -> None:
    """A whole `Event` is taken as it is."""
    event = Event("order/placed", {"order_id": "7"}, id="e-1")
    assert Context.of(event).event is event


def test_a_context_for_a_test_without_data() -> None:
    """No data is an empty dict."""
    assert Context.of().event.data == {}
    assert Context.of(event="a/b").event.name == "a/b"


def test_a_context_for_a_test_at_a_time() -> None:
    """`now` is given aware; a naive one is refused."""
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert Context.of(now=noon).now == noon
    with pytest.raises(DefinitionError, match="now of Context.of.*no time zone"):
        Context.of(now=datetime(2026, 5, 1, 12))


def test_the_first_of_several_events_is_the_event() -> None:
    """With several events, `event` is the first of them."""
    events = [Event("a"), Event("b")]
    ctx = Context(events, run_id="r", workflow_id="w", seed=0)
    assert (ctx.event.name, [e.name for e in ctx.events]) == ("a", ["a", "b"])


def test_the_repr_names_the_run() -> None:
    """A context in a traceback says whose it is."""
    assert repr(context()) == "<Context of run 'r' of 'w'>"


# -- time ------------------------------------------------------------------------------------------


def test_now_is_the_clock_that_the_interpreter_sets() -> None:
    """`now` moves only when a record is fed, and is exact to the microsecond."""
    ctx = context()
    ctx._clock = 1_777_636_800_000_001
    assert ctx.now == datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert ctx.now.utcoffset() == timedelta(0)


# -- dice ------------------------------------------------------------------------------------------

draws = st.lists(st.sampled_from(["random", "uuid"]), max_size=20)
scopes = st.sampled_from(["", "all/0", "all/1", "race/a"])


def draw(ctx: Context[Any], what: str) -> float | UUID:
    return ctx.random.random() if what == "random" else ctx.uuid()


@given(seed=st.integers(0, 2**48), mine=draws, others=st.lists(st.tuples(scopes, st.sampled_from(["random", "uuid"]))))
def test_draws_do_not_depend_on_other_scopes(seed: int, mine: list[str], others: list[tuple[str, str]]) -> None:
    """The n-th draw in a scope is the same whatever the other scopes draw in between."""
    alone = context(seed, "mine")
    expected = [draw(alone, what) for what in mine]
    beside = context(seed)
    got = []
    for what in mine:
        for scope, other in others:
            beside._scope = scope
            draw(beside, other)
        beside._scope = "mine"
        got.append(draw(beside, what))
    assert got == expected


@given(what=draws)
def test_uuids_do_not_depend_on_random_draws(what: list[str]) -> None:
    """Drawing numbers moves no uuid, and drawing uuids moves no number."""
    ctx, numbers, uuids = context(), context(), context()
    for each in what:
        assert draw(ctx, each) == draw(numbers if each == "random" else uuids, each)


def test_scopes_and_seeds_draw_differently() -> None:
    """Other scopes and other seeds have other numbers, and no uuid comes twice."""
    contexts = [context(seed, scope) for seed in (1, 2) for scope in ("", "all/0", "all/1")]
    assert len({ctx.random.random() for ctx in contexts}) == 6
    assert len({ctx.uuid() for ctx in contexts for _ in range(10)}) == 60


def test_the_numbers_are_pinned() -> None:
    """Histories outlive releases, so the draws of a seed never change."""
    ctx = context(seed=7, scope="all/0")
    assert ctx.random.random() == 0.10189515531972537
    assert str(ctx.uuid()) == "fd0e4419-2fb0-4773-9862-86766062d15b"


def test_a_uuid_is_a_version_4_uuid() -> None:
    """Version and variant are those of a random UUID."""
    made = context().uuid()
    assert (made.version, made.variant) == (4, "specified in RFC 4122")


# -- logging ---------------------------------------------------------------------------------------


def test_lines_wait_until_they_are_taken() -> None:
    """Each line is handed over once, in order."""
    ctx = context()
    ctx.logger.info("loaded %s of %d", "order", 7, extra={"order": 7})
    ctx.logger.error("oh")
    assert ctx.take_lines() == [LogLine(INFO, "loaded order of 7", {"order": 7}), LogLine(ERROR, "oh", {})]
    assert ctx.take_lines() == []


def test_nothing_is_logged_while_replaying() -> None:
    """A replayed body logs nothing, not even an exception."""
    ctx = context()
    ctx._replaying = True
    for log in (ctx.logger.debug, ctx.logger.info, ctx.logger.warning, ctx.logger.error, ctx.logger.exception):
        log("again")
    ctx._replaying = False
    ctx.logger.warning("new")
    assert [line.message for line in ctx.take_lines()] == ["new"]


@pytest.mark.parametrize(
    "name, level", [("debug", 10), ("info", 20), ("warning", 30), ("error", 40), ("exception", 40)]
)
def test_the_levels_are_those_of_logging(name: str, level: int) -> None:
    """Levels are the numbers that `logging` uses."""
    ctx = context()
    log: Callable[[str], None] = getattr(ctx.logger, name)
    log("line")
    assert [line.level for line in ctx.take_lines()] == [level]


def test_an_exception_is_logged_with_its_trace() -> None:
    """`exception` keeps the trace of what is being handled; outside of one there is none."""
    ctx = context()
    try:
        raise ValueError("no such order")
    except ValueError:
        ctx.logger.exception("failed", extra={"order": 7})
    ctx.logger.exception("calm")
    failed, calm = ctx.take_lines()
    assert failed.extra["order"] == 7
    assert failed.extra["trace"].endswith("ValueError: no such order\n")
    assert calm.extra["trace"] == ""


class Broken:
    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = object.__repr__


@pytest.mark.parametrize("message, args", [("%d", ("x",)), ("%s %s", ("x",)), ("no place", ("x",)), (Broken(), ())])
def test_logging_never_raises(message: Any, args: tuple[Any, ...]) -> None:
    """A line that cannot be formatted is kept as a line about that; raising would differ from replay."""
    ctx = context()
    ctx.logger.info(message, *args)
    (line,) = ctx.take_lines()
    assert "could not be formatted" in line.message


def test_a_context_that_never_logged_has_no_lines() -> None:
    """Taking lines from an unused logger makes none."""
    assert context().take_lines() == []


def test_extra_is_copied() -> None:
    """Changing the fields after logging does not change the line."""
    ctx, fields = context(), {"order": 7}
    ctx.logger.info("a", extra=fields)
    fields["order"] = 8
    assert ctx.take_lines()[0].extra == {"order": 7}
