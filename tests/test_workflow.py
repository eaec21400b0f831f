"""Workflows: still their function, and refused where they are written if they cannot work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import attrs
import pytest

from flowgen import (
    App,
    Backoff,
    Context,
    DefinitionError,
    Event,
    OnEvent,
    Run,
    Sleep,
    Steps,
    Workflow,
    event_type,
)
from flowgen.workflow import LATER, Definition, TriggerDefinition


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
    assert (workflow.triggers, workflow.changes) == ((), "strict")


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
        ("order/placed", "'order/placed' is not a trigger; write on=OnEvent('order/placed')"),
        (OrderPlaced, "OrderPlaced is not a trigger; write on=OnEvent(OrderPlaced)"),
        (Event("a"), "is not a trigger; write on=OnEvent('event/name')"),
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
        ({"colour": 3}, "there is no option 'colour'; the options are on, id, retries"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], reason: str) -> None:
    """Each option is checked; the message names workflow, file and line, option and value."""
    message = refusal(plain, **options)
    assert message.startswith(f"workflow plain ({__file__}:{plain.__code__.co_firstlineno}): ")
    assert reason in message


@pytest.mark.parametrize("name", sorted(LATER))
def test_options_of_later_versions_are_refused_by_name(name: str) -> None:
    """Nothing is accepted and ignored."""
    assert f"the option {name!r} is not available in this version yet" in refusal(plain, **{name: object()})


def test_a_workflow_says_what_it_is() -> None:
    """`Workflow` is what type checkers and `isinstance` see."""
    assert isinstance(App("a").workflow(plain), Workflow)
