"""What bodies do that they should not: each fails its own run, precisely, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from flowgen import (
    All,
    Context,
    DefinitionError,
    Event,
    Invoke,
    Local,
    Race,
    Restart,
    Run,
    SendEvent,
    Sleep,
    StepError,
    Steps,
)
from flowgen.ends import BodyRaised
from flowgen.errors import UnserializableError
from flowgen.history import Started, StepSucceeded
from flowgen.misuse import COMMANDS_PER_ADVANCE, MAX_NESTING
from flowgen.outcome import NULL
from tests.bodies import START, Fed, act, interpreter_of, replay, workflow_of


def step(name: str) -> Run[Any]:
    return Run(name, act)


async def coroutine() -> None: ...


def part() -> Steps[None]:
    yield step("part")


def once(make: Any) -> Any:
    """A body that takes one step, then yields whatever `make` gives."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        yield step("a")
        return (yield make())

    return body


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no")


# -- what is yielded -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: None, "None, which is no command: yield Run"),
        (lambda: 5, "5, which is no command"),
        (lambda: "step", "'step', which is no command"),
        (lambda: act, "<function act>, which is no command"),
        (lambda: [step("x")], "which is no command"),
        (lambda: Unspeakable(), "Unspeakable object"),
        (coroutine, "a coroutine: wrap the async function in Run"),
        (part, "a generator: use `yield from` for it"),
        (lambda: Run, "the class Run itself: yield an instance"),
        (lambda: Sleep, "the class Sleep itself"),
        (lambda: All, "the class All itself"),
        (lambda: workflow_of(once(None)), "the workflow 'body': run it with Invoke(id, workflow, data)"),
    ],
)
def test_a_non_command_is_raised_at_the_yield(make: Any, message: str) -> None:
    """The error stands where the mistake is, and says what to write instead."""
    raised = Fed(once(make)).ok("a").raised
    assert raised.type == "DefinitionError"
    assert message in raised.message
    assert "in body" in raised.trace


def test_a_body_may_catch_its_own_mistake() -> None:
    """The error is an ordinary exception at the yield."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield 5  # type: ignore[misc]
        except DefinitionError:
            yield step("b")
        return "fine"

    assert Fed(body).ok("b").returned == "fine"


def test_yield_from_a_list_is_told_as_what_it_is() -> None:
    """Its first command runs, and what came back cannot be given to a list."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield from [step("x"), step("y")]

    raised = Fed(body).ok("x", 7).raised
    assert raised.type == "DefinitionError"
    assert raised.message.startswith("`yield from` was given a list_iterator: `yield from` takes one command")
    assert "in body" in raised.trace


def test_an_error_of_the_bodys_own_is_its_own() -> None:
    """Also one about something that has no `send`."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("x")
        ctx.event.send("y")  # type: ignore[attr-defined]

    assert Fed(body).ok("x").raised.type == "AttributeError"


def test_restart_is_for_the_body_alone() -> None:
    """A branch cannot restart the run, neither by yielding it nor by returning it."""

    def yields() -> Steps[None]:
        yield step("x")
        yield Restart({})

    def returns() -> Steps[Any]:
        yield step("x")
        return Restart({})

    for branch in (yields, returns):
        raised = Fed(once(lambda branch=branch: All(branch()))).ok("a").ok("all/0/x").raised
        assert "Restart(…)" in raised.message
        assert "ends the whole run" in raised.message


# -- what is returned ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: step("x"), "returned the command Run('x', act): did you mean `return (yield …)`?"),
        (lambda: All(), "returned the command All()"),
        (part, "returned a generator: did you mean `return (yield from …)`?"),
        (coroutine, "returned a coroutine: call the async function with `yield Run(fn, …)`"),
    ],
)
def test_a_command_is_not_a_result(make: Any, message: str) -> None:
    """From the body and from a branch."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        yield step("a")
        return make()

    def branch() -> Steps[Any]:
        yield step("b")
        return make()

    assert f"workflow 'body' {message}" in Fed(body).ok("a").raised.message
    raised = Fed(once(lambda: All(branch()))).ok("a").ok("all/0/b").raised
    assert f"branch 'all/0' {message}" in raised.message


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return {"x": value}


@pytest.mark.parametrize(
    "value, path",
    [
        (float("nan"), ""),
        ({"x": [1, float("inf")]}, "$.x[1]"),
        (object(), ""),
        (cyclic(), "$.x"),
        ({"x": "\x00"}, "$.x"),
        ("x" * 20_000_000, ""),
    ],
)
def test_a_result_without_a_json_form_fails_the_run(value: Any, path: str) -> None:
    """With the path to the culprit."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        yield step("a")
        return value

    raised = Fed(body).ok("a").raised
    assert raised.type == "UnserializableError"
    assert "the result of workflow 'body'" in raised.message
    assert path in raised.message


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, path",
    [
        (lambda: Run("x", act, 1, float("nan")), "args[1]"),
        (lambda: Run("x", act, order={"items": [object()]}), "order.items[0]"),
        (lambda: Run("x", act, cyclic()), "args[0].x"),
        (lambda: Invoke("x", "other", {"n": float("nan")}), "$.data.n"),
        (
            lambda: Run("x", act, Context.of({"id": "7"})),
            "args[0]: a Context has no JSON form; pass what is needed of it",
        ),
        (
            lambda: Run("x", act, found=[Sleep("nap", "1s")]),
            "found[0]: a Sleep has no JSON form; yield it, and use what",
        ),
    ],
)
def test_an_argument_without_a_json_form_is_raised_at_the_yield(make: Any, path: str) -> None:
    """The step is not asked for; the message names the argument."""
    fed = Fed(once(make)).ok("a")
    assert (fed.raised.type, fed.asked, fed.interpreter.fresh) == ("UnserializableError", [], {})
    assert path in fed.raised.message


def test_a_bad_argument_is_a_branch_that_failed() -> None:
    """In a group it decides, as any failed branch does; the branches after it never begin."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield Race(a=step("a"), b=Run("b", act, object()), c=step("c"))
        except UnserializableError:
            yield step("after")
        return "fine"

    assert Fed(body).asked == ["after"]


def test_the_occurrence_of_a_refused_step_is_used_up() -> None:
    """The next step of that name is the next occurrence, live and replayed."""

    def body(ctx: Context[Any]) -> Steps[None]:
        for value in (object(), 1):
            with suppress(UnserializableError):
                yield Run("x", act, value)

    assert Fed(body).asked == ["x:1"]


def test_local_arguments_are_fine() -> None:
    """What is marked `Local` is not recorded."""
    assert Fed(once(lambda: Run("x", act, Local(object())))).ok("a").asked == ["x"]


class Neither:
    def __init__(self, x: int) -> None: ...


def neither() -> Neither:
    raise AssertionError


def test_a_class_that_is_no_data_is_refused_at_the_yield() -> None:
    """An arbitrary class as a return annotation: no JSON could become one."""
    fed = Fed(once(lambda: Run("x", neither))).ok("a")
    assert (fed.asked, fed.raised.type) == ([], "DefinitionError")
    assert "Neither" in fed.raised.message


# -- generators used twice -------------------------------------------------------------------------


def test_a_generator_is_a_branch_once() -> None:
    """A group that is yielded again has branches that have run already."""

    def body(ctx: Context[Any]) -> Steps[None]:
        group = All(part())
        yield group
        yield group

    raised = Fed(body).ok("all/0/part").raised
    assert "branch 'all:1/0': part was a branch before" in raised.message


def test_a_generator_cannot_be_in_two_groups_at_once() -> None:
    """The second use fails, and the first is not disturbed by it."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        group = All(part())
        return (yield All(group, group, on_error="collect"))

    fed = Fed(body)
    assert fed.asked == ["all:1/0/part"]
    first, second = fed.ok("all:1/0/part").returned
    assert first == {"value": [None]}
    assert second["failure"]["type"] == "DefinitionError"


# -- bodies that never end -------------------------------------------------------------------------


def spinning(make: Any) -> Any:
    def body(ctx: Context[Any]) -> Steps[None]:
        while True:
            with suppress(DefinitionError):
                yield make()

    return body


def quick() -> Steps[None]:
    return
    yield


@pytest.mark.parametrize("make", [All, lambda: 5, lambda: All(quick()), lambda: Race(a=quick())])
def test_a_body_that_yields_without_waiting_fails_alone(make: Any) -> None:
    """A loop around something that never waits is stopped at a bound, with a hint."""
    fed = Fed(spinning(make))
    assert fed.asked == []
    assert f"yielded {COMMANDS_PER_ADVANCE} commands without waiting for anything" in fed.raised.message


def test_a_spinning_branch_fails_the_run() -> None:
    """Deep in a branch it ends the whole body; what else was open is given up."""

    def spin() -> Steps[None]:
        while True:
            yield All()

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(step("a"), part(), spin())

    fed = Fed(body)
    assert "without waiting" in fed.raised.message
    assert (fed.asked, fed.interpreter.fresh) == ([], {})


def test_sends_do_not_count_as_waiting() -> None:
    """A loop of sends, which its owner answers at once, would be one endless commit."""

    def body(ctx: Context[Any]) -> Steps[None]:
        while True:
            yield SendEvent("s", Event("a/b"))

    interpreter = interpreter_of(body, max_steps=1_000_000)
    interpreter.feed(Started(START, ""))
    for _ in range(COMMANDS_PER_ADVANCE):
        (step_id,) = interpreter.pending
        interpreter.feed(StepSucceeded(START, step_id, NULL, "send"))
    assert isinstance(interpreter.end, BodyRaised)
    assert "without waiting" in interpreter.end.failure.message


def test_a_run_has_a_number_of_steps() -> None:
    """`max_steps` bounds a history; the message says what to do."""

    def body(ctx: Context[Any]) -> Steps[None]:
        while True:
            yield step("a")

    fed = Fed(body, max_steps=3).ok("a").ok("a:1")
    assert fed.asked == ["a:2"]
    message = fed.ok("a:2").raised.message
    assert "more than max_steps=3 steps, the last one 'a:3': raise max_steps, or end with Restart(…)" in message


def test_max_steps_in_a_group_gives_up_what_was_asked() -> None:
    """Nothing of a group that is too large is left open."""
    fed = Fed(once(lambda: All(*(step(f"s{n}") for n in range(5)))), max_steps=4).ok("a")
    assert "max_steps=4" in fed.raised.message
    assert (fed.asked, fed.interpreter.fresh) == ([], {})


def test_clean_up_cannot_spin_either() -> None:
    """A cancelled body that never waits again ends cancelled."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            while True:
                yield All()

    assert Fed(body).cancel().cancelled == "stop"


def deep(n: int) -> Steps[int]:
    if n == 0:
        return 0
    (below,) = yield All(deep(n - 1))
    return below + 1


def test_groups_nest_to_a_bound() -> None:
    """Deep trees are fine; endless ones are an error at the yield."""
    assert Fed(once(lambda: All(deep(MAX_NESTING - 1)))).ok("a").returned == [MAX_NESTING - 1]
    assert "100 groups are nested" in Fed(once(lambda: All(deep(100_000)))).ok("a").raised.message


def test_a_deep_tree_can_be_cancelled() -> None:
    """At the bound, cancelling and closing still have room on the stack."""

    def down(n: int) -> Steps[None]:
        if n:
            yield All(down(n - 1), step("beside"))
        else:
            yield step("bottom")

    fed = Fed(once(lambda: All(down(MAX_NESTING - 1)))).ok("a")
    assert len(fed.asked) == MAX_NESTING
    assert fed.cancel().cancelled == "stop"


def test_groups_of_groups_nest_to_the_same_bound() -> None:
    """Commands nested in commands, without a generator between them."""
    command: Any = step("bottom")
    for _ in range(MAX_NESTING):
        command = All(command)

    def body(ctx: Context[Any]) -> Steps[str]:
        yield command
        return "fine"

    assert Fed(body).ok("bottom", 1).returned == "fine"
    assert "nested" in Fed(once(lambda: All(command))).ok("a").raised.message


def test_recursion_in_the_body_is_its_own_error() -> None:
    """A function that calls itself for ever fails its run, with Python's error."""

    def forever(n: int) -> int:
        return forever(n + 1)

    def body(ctx: Context[Any]) -> Steps[int]:
        yield step("a")
        return forever(0)

    assert Fed(body).ok("a").raised.type == "RecursionError"


# -- hostile exceptions ----------------------------------------------------------------------------


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    "error, kind",
    [
        (lambda: StopIteration("x"), "RuntimeError"),
        (GeneratorExit, "GeneratorExit"),
        (KeyboardInterrupt, "KeyboardInterrupt"),
        (lambda: SystemExit(3), "SystemExit"),
        (Mute, "Mute"),
        (lambda: Falsy("really"), "Falsy"),
        (lambda: ValueError("nul \x00 and \ud800 half"), "ValueError"),
        (lambda: ExceptionGroup("many", [ValueError("x")]), "ExceptionGroup"),
    ],
)
def test_whatever_a_body_raises_is_its_failure(error: Callable[[], BaseException], kind: str) -> None:
    """From the body, and from a branch of it; the text can be stored."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        raise error()

    def branch() -> Steps[None]:
        yield step("b")
        raise error()

    assert Fed(body).ok("a").raised.type == kind
    raised = Fed(once(lambda: All(branch()))).ok("a").ok("all/0/b").raised
    assert raised.type == kind
    raised.message.encode()
    assert "\x00" not in raised.message


def test_stop_iteration_inside_a_yield_from_is_no_result() -> None:
    """A generator that raises StopIteration does not end as if it had returned."""

    def sub() -> Steps[None]:
        yield step("b")
        next(iter(()))

    def body(ctx: Context[Any]) -> Steps[str]:
        yield from sub()
        return "never"

    assert Fed(body).ok("b").raised.type == "RuntimeError"


# -- being closed ----------------------------------------------------------------------------------


def test_eviction_is_not_heard() -> None:
    """What a body yields or raises while it is closed is dropped; what was open stays as history says."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            seen.append("finally")
            try:
                yield step("in finally")
            finally:
                raise ValueError("on the way out")

    fed = Fed(body)
    seen.clear()
    fed.interpreter.close()
    assert (seen, fed.end) == (["finally"], None)
    fed.interpreter.close()
    again = replay(body, fed.history)
    assert again.pending.keys() == {"a"}
    again.close()


def test_parts_that_refuse_to_be_closed_are_closed_themselves() -> None:
    """No inner generator stays suspended, to complain on stderr whenever it happens to be collected."""
    made: list[Any] = []

    def cleaning() -> Steps[None]:
        for name in "xyz":
            yield step(name)

    def inner() -> Steps[None]:
        try:
            yield step("a")
        finally:
            made.append(cleaning())
            yield from made[-1]

    def body(ctx: Context[Any]) -> Steps[None]:
        made.append(inner())
        yield from made[-1]

    interpreter = Fed(body).interpreter
    interpreter.close()
    assert len(made) >= 3
    assert [generator for generator in made if generator.gi_frame is not None] == []


def test_a_body_that_swallows_its_closing_is_left_after_a_few_tries() -> None:
    """Closing ends, even if the generator never does."""
    tries: list[int] = []
    stop: list[bool] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        while not stop:
            try:
                yield step("a")
            except GeneratorExit:
                tries.append(1)

    fed = Fed(body)
    tries.clear()
    fed.interpreter.close()
    assert 1 < len(tries) <= 20
    stop.append(True)


def test_branches_are_closed_with_the_body() -> None:
    """No generator is left suspended, those held back by a limit included."""
    made: list[Any] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        made.extend([part(), part()])
        yield All(*made[-2:], limit=1)

    interpreter = Fed(body).interpreter
    interpreter.close()
    assert all(generator.gi_frame is None for generator in made[:2])


def test_a_caught_step_error_does_not_blame_the_step_twice() -> None:
    """A StepError that a user makes up is no step of this run."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        raise StepError("other", "ValueError", "made up")

    end = Fed(body).ok("a").end
    assert isinstance(end, BodyRaised)
    assert end.step is None
