"""Workflows: still their function, and refused where they are written if they cannot work."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import attrs
import pytest

from flowgen import (
    App,
    Backoff,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Debounce,
    DefinitionError,
    Event,
    OnCron,
    OnEvent,
    Priority,
    RateLimit,
    Run,
    Singleton,
    Sleep,
    Steps,
    Throttle,
    Timeouts,
    Workflow,
    event_type,
)
from flowgen.flow_control import Policies
from flowgen.workflow import OPTIONS, Definition, ScheduleDefinition, TriggerDefinition


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str


@event_type("order/changed")
@attrs.frozen
class OrderChanged:
    order_id: str


def fulfil_order(ctx: Context[OrderPlaced]) -> Steps[list[str]]:
    """Fulfil an order."""
    label = yield Run("label", str, ctx.event.data.order_id)
    return [label]


def plain(ctx: Context[dict[str, Any]]) -> Steps[str]:
    yield Sleep("nap", 1)
    return "done"


def refusal(fn: Any, **options: Any) -> str:
    """What the decorator says about a function that it refuses."""
    with pytest.raises(DefinitionError) as caught:
        App("shop").workflow(**options)(fn)
    return str(caught.value)


# -- what it is ------------------------------------------------------------------------------------


def test_a_workflow_is_still_its_function() -> None:
    """Calling it gives the generator; name, text and signature are the function's."""
    workflow = App("shop").workflow(fulfil_order)
    generator = workflow(Context.of(OrderPlaced("7")))
    assert next(generator) == Run("label", str, "7")
    assert (workflow.__name__, workflow.__doc__) == ("fulfil_order", "Fulfil an order.")  # type: ignore[attr-defined]
    assert inspect.signature(workflow) == inspect.signature(fulfil_order)
    assert inspect.unwrap(workflow) is fulfil_order


def test_the_defaults_are_the_apps() -> None:
    """What the decorator is not told, the app says."""
    backoff = Backoff.fixed("2s")
    app = App("shop", version="3", retries=7, backoff=backoff, loop="asyncio", max_steps=50)
    workflow = app.workflow(plain)
    assert (workflow.app, workflow.version, workflow.loop) == ("shop", "3", "asyncio")
    assert (workflow.retries, workflow.backoff, workflow.max_steps) == (7, backoff, 50)
    assert (workflow.triggers, workflow.schedules, workflow.changes) == ((), (), "strict")
    assert workflow.policies == Policies()


def test_options_win_over_the_apps_defaults() -> None:
    """What the decorator is told holds, zero included."""
    backoff = Backoff.fixed("2s")
    decorate = App("shop").workflow(retries=0, backoff=backoff, changes="additive", max_steps=5, id="my id")
    workflow = decorate(plain)
    assert (workflow.id, workflow.retries, workflow.backoff) == ("my id", 0, backoff)
    assert (workflow.changes, workflow.max_steps) == ("additive", 5)


@pytest.mark.parametrize("name, id", [("fulfil_order", "fulfil-order"), ("_private", "private"), ("a__b", "a--b")])
def test_the_id_is_the_functions_name_dashed(name: str, id: str) -> None:
    """Without an id, the name with dashes is the id."""

    def fn(ctx: Any) -> Steps[None]:
        yield Sleep("nap", 1)

    fn.__name__ = name
    assert App("shop").workflow(fn).id == id


def test_where_names_file_and_line() -> None:
    """A workflow knows where it was written."""
    workflow = App("shop").workflow(plain)
    assert workflow.where == f"{__file__}:{plain.__code__.co_firstlineno}"


def test_the_repr_names_app_and_id() -> None:
    """In messages a workflow is `app/id`."""
    assert repr(App("shop").workflow(plain)) == "<Workflow shop/plain>"


# -- triggers and types ----------------------------------------------------------------------------


def test_triggers_are_one_or_many() -> None:
    """A single trigger and a list are the same thing."""
    one = OnEvent("order/placed")
    assert App("a").workflow(on=one)(plain).triggers == (one,)
    assert App("a").workflow(on=[one, OnEvent("order/*")])(plain).triggers == (one, OnEvent("order/*"))


def test_schedules_stand_beside_events() -> None:
    """Schedules and events in any order are told apart; each keeps its order."""
    event, nightly, hourly = OnEvent("order/*"), OnCron("0 3 * * *"), OnCron("0 * * * *")
    workflow = App("a").workflow(on=[hourly, event, nightly])(plain)
    assert (workflow.triggers, workflow.schedules) == ((event,), (hourly, nightly))
    assert App("a").workflow(on=nightly)(plain).schedules == (nightly,)


def test_a_schedule_is_there_once() -> None:
    """Its text names it among those of its workflow, so one that is only written differently is the same."""
    message = refusal(plain, on=[OnCron("0 9 * * mon"), OnEvent("a"), OnCron("0  9 * * MON", jitter="5m")])
    assert "on: the schedule '0 9 * * MON' is there twice; remove one" in message


def test_the_definition_has_flow_control_and_schedules() -> None:
    """What any process needs to start runs: policies as they are, schedules as text and numbers."""
    workflow = App("a").workflow(
        on=OnCron("TZ=Asia/Tokyo 0 9 * * mon", jitter="5m", catch_up="all"), singleton=Singleton()
    )(plain)
    assert workflow.definition() == Definition(
        "plain",
        (),
        Policies(singleton=Singleton()),
        (ScheduleDefinition("TZ=Asia/Tokyo 0 9 * * MON", 300_000_000, "all"),),
    )


def test_the_definition_is_what_routing_needs() -> None:
    """A definition has the patterns and conditions, and no class."""
    triggers = [OnEvent(OrderPlaced, where="event.data.order_id != ''"), OnEvent("order/*")]
    workflow = App("a").workflow(on=triggers)(plain)
    assert workflow.definition() == Definition(
        "plain", (TriggerDefinition("order/placed", "event.data.order_id != ''"), TriggerDefinition("order/*"))
    )


def test_the_annotation_says_what_data_is() -> None:
    """`Context[E]` and `Steps[R]` tell how data and result are restored."""
    workflow = App("a").workflow(fulfil_order)
    assert (workflow.event_class, workflow.returns) == (OrderPlaced, list[str])
    assert workflow.class_of("anything") is OrderPlaced


def test_a_dict_is_no_class() -> None:
    """`Context[dict]` means plain data."""
    workflow = App("a").workflow(plain)
    assert (workflow.event_class, workflow.class_of("a"), workflow.returns) == (None, None, str)


def test_each_trigger_has_its_class() -> None:
    """With several typed triggers, the event's name says which class its data is; other names are plain."""

    def both(ctx: Context[OrderPlaced | OrderChanged]) -> Steps[None]:
        yield Sleep("nap", 1)

    workflow = App("a").workflow(on=[OnEvent(OrderPlaced), OnEvent(OrderChanged), OnEvent("order/*")])(both)
    assert workflow.event_class is None
    assert workflow.class_of("order/placed") is OrderPlaced
    assert workflow.class_of("order/changed") is OrderChanged
    assert workflow.class_of("order/paid") is None


def test_the_only_trigger_says_what_data_is() -> None:
    """Without an annotation, a single typed trigger's class is that of all its data, invoked runs included."""

    def untyped(ctx):  # type: ignore[no-untyped-def]
        yield Sleep("nap", 1)

    workflow = App("a").workflow(on=OnEvent(OrderPlaced))(untyped)
    assert (workflow.event_class, workflow.returns) == (OrderPlaced, None)


def test_annotations_that_only_a_checker_sees_are_no_error() -> None:
    """A name that cannot be resolved when the decorator runs means plain data."""

    def fn(ctx: Context[NotThere]) -> Steps[str]:  # type: ignore[name-defined]  # noqa: F821
        yield Sleep("nap", 1)

    workflow = App("a").workflow(fn)
    assert (workflow.event_class, workflow.returns) == (None, None)


def test_a_spelled_out_generator_is_fine() -> None:
    """`Generator[…, …, R]` says the same as `Steps[R]`."""

    def fn(ctx: Context[Any]) -> Generator[Any, Any, int]:
        yield Sleep("nap", 1)
        return 7

    workflow = App("a").workflow(fn)
    assert (workflow.event_class, workflow.returns) == (None, int)


def test_trigger_and_annotation_must_agree() -> None:
    """A context annotated with another class than the trigger gives would lie about its data."""
    message = refusal(fulfil_order, on=OnEvent(OrderChanged))
    assert "annotated Context[OrderPlaced], but its trigger gives OrderChanged" in message


@pytest.mark.parametrize(
    "on, hint",
    [
        (OnCron("0 9 * * *"), "OnCron('0 9 * * *') gives a dict; annotate it Context[dict[str, Any]]"),
        ([OnEvent(OrderPlaced), OnCron("0 9 * * *")], "annotate it Context[OrderPlaced | dict[str, Any]]"),
        (
            OnEvent("flowgen/run.failed"),
            "('flowgen/run.failed') gives a dict; annotate it Context[dict[str, Any]]",
        ),
        ([OnEvent("flowgen/run.*"), OnEvent(OrderPlaced)], "annotate it Context[OrderPlaced | dict[str, Any]]"),
    ],
)
def test_flowgens_own_events_give_a_dict(on: Any, hint: str) -> None:
    """A class in the annotation would lie about the data of a tick, or of a run's end."""
    message = refusal(fulfil_order, on=on)
    assert "its context is annotated Context[OrderPlaced], but On" in message
    assert message.endswith(hint)


def test_a_tick_is_a_dict_beside_a_typed_trigger() -> None:
    """Only events with the trigger's name are restored to its class."""

    def both(ctx: Context[OrderPlaced | dict[str, Any]]) -> Steps[None]:
        yield Sleep("nap", 1)

    def untyped(ctx):  # type: ignore[no-untyped-def]
        yield Sleep("nap", 1)

    for fn in (both, untyped):
        workflow = App("a").workflow(on=[OnEvent(OrderPlaced), OnCron("0 9 * * *")])(fn)
        assert workflow.class_of("order/placed") is OrderPlaced
        assert workflow.class_of("flowgen/anything") is None


@pytest.mark.parametrize(
    "on, hint",
    [
        ("order/placed", "'order/placed' is not a trigger; write on=OnEvent('order/placed')"),
        (OrderPlaced, "OrderPlaced is not a trigger; write on=OnEvent(OrderPlaced)"),
        (Event("a"), "is not a trigger; write on=OnEvent('event/name') or on=OnCron('0 9 * * MON')"),
        ([OnEvent("a"), 7], "7 is not a trigger"),
        (0, "0 is not a trigger"),
    ],
)
def test_what_is_no_trigger_is_refused(on: Any, hint: str) -> None:
    """A name or class in place of a trigger is told how to become one."""
    assert hint in refusal(plain, on=on)


# -- what is refused -------------------------------------------------------------------------------


def function(ctx: Context[Any]) -> str:
    return "no yield"


async def async_function(ctx: Context[Any]) -> str:
    return "no yield"


async def async_generator(ctx: Context[Any]) -> AsyncGenerator[Any, Any]:
    yield Sleep("nap", 1)


class Class:
    def method(self, ctx: Context[Any]) -> Steps[None]:
        yield Sleep("nap", 1)


@functools.wraps(plain)
def wrapped(*args: Any) -> Steps[str]:
    return plain(*args)


@pytest.mark.parametrize(
    "fn, reason",
    [
        (function, "it is a plain function, without a yield"),
        (wrapped, "if another decorator wraps it, put @app.workflow next to the function"),
        (async_function, "it is an async function; write `def` instead of `async def`"),
        (async_generator, "it is an async generator; write `def` instead of `async def`"),
        (lambda ctx: (yield Sleep("nap", 1)), "it is a lambda"),
        (Class, "it is a class"),
        (Class().method, "it is not a function"),
        (functools.partial(plain), "it is not a function"),
        (plain(Context.of()), "it is not a function"),
        (7, "it is not a function"),
        ("an id", "it is not a function"),
    ],
)
def test_what_is_no_generator_function_is_refused(fn: Any, reason: str) -> None:
    """Everything but a generator function gets its own hint."""
    assert reason in refusal(fn)


@pytest.mark.parametrize("fn", [function, async_function, async_generator, lambda ctx: None, Class])
def test_a_refusal_names_file_and_line(fn: Any) -> None:
    """The message leads to the culprit."""
    line = inspect.getsourcelines(fn)[1]
    assert f"({__file__}:{line})" in refusal(fn)


def test_a_workflow_is_decorated_once() -> None:
    """Registering a workflow again is refused as such."""
    assert "it is a workflow already" in refusal(App("other").workflow(plain))


def none() -> Steps[None]:
    yield Sleep("nap", 1)


def two(ctx: Any, order: Any) -> Steps[None]:
    yield Sleep("nap", 1)


def keyword(*, ctx: Any) -> Steps[None]:
    yield Sleep("nap", 1)


def and_keyword(ctx: Any, *, order: Any) -> Steps[None]:
    yield Sleep("nap", 1)


@pytest.mark.parametrize("fn", [none, two, keyword, and_keyword])
def test_a_workflow_takes_the_context(fn: Callable[..., Any]) -> None:
    """A function that cannot be called with one argument is refused, showing its parameters."""
    shown = ", ".join(inspect.signature(fn).parameters)
    assert f"it takes ({shown}), but is called with one argument" in refusal(fn)


def test_parameters_with_defaults_are_fine() -> None:
    """Only what has to be given counts."""

    def fn(ctx: Any, factor: int = 2, *rest: Any, **more: Any) -> Steps[None]:
        yield Sleep("nap", factor)

    assert next(App("a").workflow(fn)(Context.of())) == Sleep("nap", 2)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"id": ""}, "id: '' is empty"),
        ({"id": "a/b"}, "id: 'a/b' holds a '/'"),
        ({"id": 7}, "id: 7 is not a str"),
        ({"retries": 21}, "retries: 21"),
        ({"retries": "4"}, "retries: '4'"),
        ({"backoff": "1s"}, "backoff: '1s' is not a Backoff"),
        ({"changes": "loose"}, "changes: 'loose' is neither 'strict' nor 'additive'"),
        ({"max_steps": 0}, "max_steps: 0 is not a number of steps"),
        ({"max_steps": True}, "max_steps: True is not a number of steps"),
        ({"max_steps": 10**9}, "max_steps: 1000000000 is not a number of steps"),
        ({"retry": 3}, "there is no option 'retry'; did you mean 'retries'?"),
        ({"throtle": None}, "there is no option 'throtle'; did you mean 'throttle'?"),
        ({"colour": 3}, "there is no option 'colour'; the options are on, id, retries, "),
        ({"colour": 3}, ", concurrency, throttle, rate_limit, debounce, batch, priority, singleton, idempotency, "),
        ({"concurrency": 10}, "concurrency: 10 is not a Concurrency; write Concurrency(10)"),
        ({"timeouts": Singleton()}, "timeouts: Singleton() is not a Timeouts; write Timeouts(finish='2d')"),
        ({"idempotency": "event.cart_id"}, "idempotency: 'event.cart_id' at character 1: an event has no 'cart_id'"),
        ({"debounce": Debounce("5m"), "batch": Batch(2, wait=1)}, "debounce and batch do not go together: "),
        ({"on_failure": plain}, "on_failure: plain is neither a workflow nor the id of one"),
        ({"on_failure": "shop/plain"}, "on_failure: a workflow that handles its own failures would never end"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], reason: str) -> None:
    """Each option is checked; the message names workflow, file and line, option and value."""
    message = refusal(plain, **options)
    assert message.startswith(f"workflow plain ({__file__}:{plain.__code__.co_firstlineno}): ")
    assert reason in message


# -- flow control ----------------------------------------------------------------------------------


FLOW_CONTROL: dict[str, Any] = {
    "concurrency": Concurrency(10, key="event.data.customer_id"),
    "throttle": Throttle(3, per="1m"),
    "rate_limit": RateLimit(10, per="1h"),
    "debounce": Debounce("5m", max_wait="1h"),
    "batch": Batch(100, wait="5s"),
    "priority": Priority("event.data.vip ? 120 : 0"),
    "singleton": Singleton(mode="cancel"),
    "idempotency": "event.data.cart_id",
    "cancel_on": CancelOn("order/cancelled", match="data.order_id"),
    "timeouts": Timeouts(start="1h", finish="2d"),
    "on_failure": "ops/notify",
}


@pytest.mark.parametrize("name", FLOW_CONTROL)
def test_each_option_of_flow_control_is_kept(name: str) -> None:
    """What is written becomes that policy of the workflow and its definition, and no other."""
    option = FLOW_CONTROL[name]
    workflow = App("shop").workflow(**{name: option})(plain)
    kept: Any = (option,) if name in ("concurrency", "cancel_on") else option
    assert workflow.policies == workflow.definition().policies == Policies(**{name: kept})
    nothing: Any = None
    assert App("shop").workflow(**{name: nothing})(plain).policies == Policies()


def test_there_is_an_example_of_each_policy() -> None:
    """A policy that is added is tested here, and accepted by the decorator."""
    assert list(FLOW_CONTROL) == [field.name for field in attrs.fields(Policies)]


def test_what_type_checkers_see_is_what_is_accepted() -> None:
    """The decorator's typed signature has each option that there is."""
    [_, with_options] = typing.get_overloads(App.workflow)
    parameters = list(inspect.signature(with_options).parameters)
    assert sorted(parameters) == sorted(["self", "fn", *OPTIONS])


def test_limits_and_cancelling_events_may_be_several() -> None:
    """One option and a list of one are the same thing."""
    limits = [Concurrency(10), Concurrency(2, key="event.data.customer_id")]
    cancels = [CancelOn("a"), CancelOn("b")]
    policies = App("a").workflow(concurrency=limits, cancel_on=cancels)(plain).policies
    assert (policies.concurrency, policies.cancel_on) == (tuple(limits), tuple(cancels))


def test_a_failure_handler_is_a_workflow_or_its_id() -> None:
    """An id alone is of the same app; it may be defined later."""
    handler = App("ops").workflow(id="notify")(plain)
    ways: list[tuple[Any, str]] = [(handler, "ops/notify"), ("notify", "shop/notify"), ("ops/notify", "ops/notify")]
    for written, name in ways:
        assert App("shop").workflow(on_failure=written)(plain).policies.on_failure == name


def test_a_failure_handler_gets_a_dict() -> None:
    """One that reads its data as an instance of a class could not read what it gets."""
    handler = App("shop").workflow(fulfil_order)
    assert (
        "on_failure: <Workflow shop/fulfil-order> reads its data as OrderPlaced, but a workflow that handles failures "
        "gets a dict with workflow_id, run_id, error and event; name a workflow that reads a dict"
    ) in refusal(plain, on_failure=handler)


def test_a_workflow_says_what_it_is() -> None:
    """`Workflow` is what type checkers and `isinstance` see."""
    assert isinstance(App("a").workflow(plain), Workflow)
