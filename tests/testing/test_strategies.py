"""The strategies: whatever is drawn is accepted by what it is for."""

from __future__ import annotations

import collections
import dataclasses
import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from flowgen import App, Context, DefinitionError, Event, OnEvent, Run, Sleep, StepError, Steps, WaitFor, event_type
from flowgen.duration import parse_duration
from flowgen.expression import Expression, parse_path
from flowgen.history import OUTCOMES, AttemptFailed, CancelAccepted, Requested
from flowgen.testing import Faults, assert_replays, check_invariants, raises, scripted, simulate
from flowgen.testing.faults import CHANCES
from flowgen.testing.properties.check import app_of
from flowgen.testing.strategies import (
    Raise,
    data_of,
    durations,
    events,
    expressions,
    failures,
    fault_plans,
    fault_shares,
    histories,
    interleavings,
    json_values,
    outcomes,
    paths,
    policies,
    retry_sequences,
    values,
    workflows,
)
from flowgen.values import decode, decoder, encode

some = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@attrs.frozen
class Point:
    x: int
    y: float = attrs.field(validator=attrs.validators.ge(0))
    _name: str = ""


@dataclasses.dataclass
class Line:
    points: list[Point]
    colour: Colour | None = None


class Pair(NamedTuple):
    one: int
    other: str


class Options(TypedDict):
    size: int
    name: NotRequired[str]


@attrs.frozen
class Tree:
    children: list[Tree]


ANNOTATIONS: list[Any] = [
    *(None, bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta),
    *(Any, object, list, dict, tuple, set),
    *(list[int], tuple[int, str], tuple[float, ...], set[str], frozenset[int], dict[str, Point], dict[int, bool]),
    *(
        collections.deque[int],
        int | None,
        Literal["a", 1],
        Colour,
        Point,
        Line,
        Pair,
        Options,
        Point | Pair | None,
    ),
]


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_values_fit_their_annotation_and_come_back(annotation: Any) -> None:
    """Written and read, each is what it was; so the strategy and `flowgen.values` agree."""

    @given(values(annotation))
    @some
    def check(value: Any) -> None:
        written = encode(value, "a value")
        read = decoder(annotation)(written)
        assert encode(read, "a value") == written
        if annotation not in (Any, object, tuple, set):
            assert read == value

    check()


@given(json_values())
@some
def test_json_values_are_json(value: Any) -> None:
    """They come back without any annotation."""
    assert decode(encode(value, "a value")) == value


def test_the_simplest_value_of_an_optional_is_none() -> None:
    """So that counter-examples shrink to nothing at all."""
    assert find(values(str | None), lambda value: True) is None


def test_a_class_that_refuses_values_is_asked_again() -> None:
    """Its validators are obeyed, though no type says them."""
    assert find(values(Point), lambda point: point.y > 1).y > 1


def test_classes_may_hold_themselves() -> None:
    """The simplest one holds none."""
    assert find(values(Tree), lambda tree: True) == Tree([])
    assert find(values(Tree), lambda tree: bool(tree.children)) == Tree([Tree([])])


def test_a_type_that_nobody_knows_is_refused() -> None:
    """By name, with what to do."""
    with pytest.raises(DefinitionError, match=r"no strategy for values of type .*Odd; give one yourself"):
        values(type("Odd", (), {}))


# -- events ----------------------------------------------------------------------------------------


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: float


app = App("shop")


def charge(total: float) -> Decimal:
    return Decimal(total)


@app.workflow(on=OnEvent(OrderPlaced))
def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
    try:
        yield Run(charge, ctx.event.data.total)
    except StepError:
        return "declined"
    yield Sleep("settle", "1h")
    approved = yield WaitFor("approval", "order/approved", match="data.order_id", timeout="2d")
    return "approved" if approved else "late"


@given(events(OrderPlaced, "order/gone", ids=st.sampled_from([None, "a"])), events())
@some
def test_events_can_be_sent(event: Event[Any], any_event: Event[Any]) -> None:
    """Of classes, of names, and of any name."""
    assert event.name in ("order/placed", "order/gone")
    assert isinstance(event.data, OrderPlaced) == (event.name == "order/placed")
    trace = simulate(app, [event, any_event])
    check_invariants(trace)
    assert len(trace.runs) == (event.name == "order/placed")


@given(data_of(fulfil))
@some
def test_the_data_of_a_workflow_starts_it(data: OrderPlaced) -> None:
    """It is of the class that the workflow names."""
    assert isinstance(data, OrderPlaced)


@pytest.mark.parametrize("kind", [7, Point, "flowgen/run.failed"])
def test_what_is_no_kind_of_event_is_refused(kind: Any) -> None:
    """Classes without a name, and names that are flowgen's own."""
    with pytest.raises(Exception, match="neither an event's name|reserved"):
        events(kind)


@given(interleavings(events("a"), events("b"), within="1h", most=4))
@some
def test_interleavings_are_in_the_order_of_their_times(drawn: list[tuple[str, Event[Any]]]) -> None:
    """Within the time, and not too many; any order of the streams."""
    times = [parse_duration(at, "at") for at, _ in drawn]
    assert times == sorted(times)
    assert len(drawn) <= 4
    assert max(times, default=0) <= 3600 * 1_000_000


def test_interleavings_mix_their_streams() -> None:
    """Later ones before earlier ones, and several of each."""
    names = find(
        interleavings(events("a"), events("b")).map(lambda drawn: [event.name for _, event in drawn]),
        lambda names: names[:3] == ["b", "a", "b"],
    )
    assert names == ["b", "a", "b"]
    assert find(interleavings(), lambda drawn: True) == []


@given(durations("3d"))
@some
def test_durations_are_durations(duration: str) -> None:
    """From nothing to the maximum."""
    assert 0 <= parse_duration(duration, "duration") <= 3 * 86_400 * 1_000_000


# -- outcomes --------------------------------------------------------------------------------------


class Declined(Exception):
    """Not today."""


class Complicated(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(one, other)


@given(failures(), failures(Declined, KeyError("k")), outcomes(int, failures(Declined)))
@some
def test_failures_are_exceptions(anything: BaseException, given_: BaseException, outcome: Any) -> None:
    """By default of each kind that retrying tells apart; or those that are asked for."""
    assert isinstance(anything, Exception)
    assert isinstance(given_, Declined | KeyError)
    assert isinstance(outcome, int) or isinstance(outcome.error, Declined)


def test_values_and_failures_are_joined_by_a_bar() -> None:
    """`values | raises(Error)`: the values are the plain case."""
    either = st.floats(0, 1) | raises(Declined)
    assert find(either, lambda drawn: True) == 0.0
    assert find(either, lambda drawn: isinstance(drawn, Raise)) == Raise(Declined("simulated"))


def test_an_exception_that_cannot_be_made_is_refused() -> None:
    """An instance can be given instead."""
    with pytest.raises(DefinitionError, match=r"give an instance, Complicated\(…\)"):
        raises(Complicated)
    assert find(raises(Complicated(1, 2)), lambda drawn: True).error.args == (1, 2)
    with pytest.raises(DefinitionError, match="neither an exception nor a class of exceptions"):
        raises(7)  # type: ignore[arg-type]


@given(retry_sequences(st.just(Decimal(1)), failures(ConnectionError("down")), retries=2))
@some
def test_a_step_goes_through_its_sequence(sequence: list[Any]) -> None:
    """Each attempt comes to what the sequence says, and there are as many of them."""
    attempts = [each.error if isinstance(each, Raise) else each for each in sequence]
    tried = App("tried", retries=2)

    @tried.workflow(on=OnEvent("go"), id="try")
    def body(ctx: Context) -> Steps[Any]:
        return (yield Run(charge, 1.0))

    trace = simulate(tried, [Event("go")], scripted({"charge": attempts}))
    assert len(trace.executions) == len(sequence) <= 3
    assert (trace.run("try").status == "failed") == isinstance(sequence[-1], Raise)


def test_sequences_have_at_most_so_many_retries() -> None:
    """As steps have."""
    with pytest.raises(DefinitionError, match="0 to 20 retries"):
        retry_sequences(int, retries=21)


# -- faults ----------------------------------------------------------------------------------------


@given(fault_shares(), fault_plans(most=2), fault_plans("evict", most=1, within=5))
@some
def test_faults_are_shares_or_plans(shares: Faults, plan: Faults, eviction: Faults) -> None:
    """A plan has at least one fault; what changes results is not drawn unless it is asked for."""
    assert shares.at is None
    assert shares.clock_jump == 0
    assert plan.at is not None
    assert 1 <= len(plan.at) <= 2
    assert eviction.at is not None
    assert set(eviction.at.values()) == {"evict"}
    assert max(eviction.at) <= 5


@pytest.mark.parametrize("kind", CHANCES)
def test_every_kind_of_fault_can_be_asked_for(kind: str) -> None:
    """Also those that are not drawn by default."""
    assert getattr(find(fault_shares(kind), lambda faults: getattr(faults, kind) > 0), kind) > 0
    with pytest.raises(DefinitionError, match="there is no fault 'flood'; there are crash"):
        fault_shares("flood")


# -- expressions and policies ----------------------------------------------------------------------


@given(expressions(("event", "async")), paths())
@some
def test_expressions_compile(expression: str, path: str) -> None:
    """Plain paths and CEL."""
    Expression(expression, ("event", "async"))
    parse_path(path)


@given(policies(), policies("batch", "debounce", "singleton"))
@some
def test_policies_are_accepted_together(every: dict[str, Any], clashing: dict[str, Any]) -> None:
    """As options of a workflow; of those that clash one is left out."""
    for options in (every, clashing):

        @App("shop").workflow(on=OnEvent("go"), **options)
        def body(ctx: Context) -> Steps[None]:
            yield Sleep("a", 1)

    assert not {"batch", "debounce"} <= clashing.keys()


def test_each_policy_comes_up_and_several_at_once() -> None:
    """None is left out for ever."""
    names = ("concurrency", "throttle", "rate_limit", "debounce", "batch", "priority", "singleton", "idempotency")
    for name in (*names, "cancel_on", "timeouts"):
        assert name in find(policies(name), bool)
    assert len(find(policies(), lambda options: len(options) > 3)) == 4
    with pytest.raises(DefinitionError, match="there is no such option"):
        policies("speed")


# -- workflows and histories -----------------------------------------------------------------------


@given(workflows(), st.integers(0, 3))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_random_workflows_run(workflow: Any, seed: int) -> None:
    """On real engines, to their end, with their child."""
    plan = [Event("program/started", {"id": "7"}), ("1m", Event("order/paid", {"id": "7"}))]
    trace = simulate(app_of(workflow), plan, seed=seed)
    check_invariants(trace)
    assert trace.run("program").status in ("completed", "failed")


ORDER = OrderPlaced("a", 1.0)


@given(histories(fulfil, st.just(ORDER)))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_histories_are_those_of_the_workflow(history: list[Any]) -> None:
    """They replay, and so do all their prefixes; times never go back."""
    for length in range(1, len(history) + 1):
        assert_replays(fulfil, history[:length], ORDER)
    times = [record.at for record in history]
    assert times == sorted(times)


def test_histories_come_to_everything() -> None:
    """Failed attempts, waits that are answered or time out, cancels, and ends."""
    drawn = histories(fulfil, st.just(ORDER))
    for kind in (AttemptFailed, CancelAccepted, Requested, OUTCOMES):
        assert find(drawn, lambda history, kind=kind: any(isinstance(record, kind) for record in history))
    answered = find(drawn, lambda history: any(getattr(record, "position", None) is not None for record in history))
    assert any(isinstance(record, Requested) and record.kind == "wait" for record in answered)


@given(st.data())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_histories_of_random_workflows_replay(data: st.DataObject) -> None:
    """Whatever they are made of."""
    workflow = data.draw(workflows())
    history = data.draw(histories(workflow, st.just({"id": "7"})))
    assert_replays(workflow, history, {"id": "7"})
