"""Suites that run twice: with their workflows here, and once more with them elsewhere, called over HTTP.

The second time is told by `over-http` in the name of a test. Its engines are those of `elsewhere`, and that is all that
is different, so that whatever a test says of results, states, histories and bodies is said of served workflows, too.
And the code that is served has to replay each history that was recorded over HTTP (`check_invariants`).

*The same histories, up to timing*: the test is played here before it is played over HTTP, and of each of its
simulations in which nothing can go wrong the two timelines have to have the same lines, with their virtual times; only
what happens in one moment may come in another order. (Not of properties, nor where a fixture would be used up.)

`ONLY_HERE` says of which tests the second time makes no sense, and why.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction, signature
from typing import Any

import pytest

HERE, THERE = "here", "over-http"

SUITES = (
    "tests/crash/test_kill9.py",
    "tests/examples/test_crash_points.py",
    "tests/examples/test_patterns.py",
    "tests/examples/test_properties.py",
    "tests/examples/test_shop.py::test_a_charge_that_never_gets_an_answer_is_undone",
    "tests/examples/test_shop.py::test_all_orders_are_carried_out",
    "tests/flow/",
    "tests/properties/test_simulations.py",
    "tests/runtime/test_again.py",
    "tests/runtime/test_bodies.py",
    "tests/runtime/test_drain.py",
    "tests/runtime/test_engine.py",
    "tests/runtime/test_finish_timeout.py",
    "tests/runtime/test_operations.py",
    "tests/runtime/test_turns.py",
    "tests/runtime/test_why.py",
)
"""What runs twice: the paths of directories and files, and single tests."""

ONLY_HERE: dict[str, str] = {
    "tests/examples/test_crash_points.py::test_a_file_is_no_different": "the same points are explored in memory",
    "tests/examples/test_crash_points.py::test_there_are_twelve": "it runs no workflow",
    "tests/examples/test_patterns.py::test_every_program_has_a_check": "it runs no workflow",
    "tests/examples/test_patterns.py::test_so_many_at_a_time": "it runs no workflow",
    "tests/examples/test_patterns.py::test_the_index_names_every_program": "it runs no workflow",
    "tests/runtime/test_bodies.py::test_the_digest_covers_loose_modules_beside_the_workflow": "it runs no workflow",
    "tests/examples/test_properties.py::test_every_example_is_checked": "it runs no workflow",
    "tests/examples/test_properties.py::test_large_orders_are_among_those_drawn": "it runs no workflow",
    "tests/examples/test_patterns.py::test_the_story_ends_as_well_on_a_file": (
        "a story that is told over HTTP by another test"
    ),
    "tests/examples/test_patterns.py::test_the_program_tells_its_story": (
        "a story that is told over HTTP by another test"
    ),
    "tests/flow/test_fan_out.py::test_a_step_sends_five_thousand_events": (
        "thousands of events, which only a router sees"
    ),
    "tests/flow/test_fan_out.py::test_no_fault_loses_or_doubles_a_sent_event": (
        "thousands of events, which only a router sees"
    ),
    "tests/flow/test_fan_out.py::test_one_of_many_has_the_key": "thousands of events, which only a router sees",
    "tests/flow/test_fan_out.py::test_the_last_of_many_is_the_last": "thousands of events, which only a router sees",
    "tests/flow/test_ticks.py::test_another_engine_doubles_no_tick": "many ticks, of which no app hears",
    "tests/flow/test_ticks.py::test_a_paused_workflow_does_not_tick_until_it_is_resumed": (
        "many ticks, of which no app hears"
    ),
    "tests/flow/test_ticks.py::test_a_schedule_that_was_removed_ticks_no_more": "many ticks, of which no app hears",
}
"""The tests that run here only, by their path and name, and why."""

COMPARED = ("tests/flow/", "tests/examples/test_patterns.py")
"""The suites that simulate, and play as much elsewhere as here: their timelines are compared."""

OTHER_DICE = {
    "tests/examples/test_patterns.py::test_the_story_ends_well[over-http-debounced_reindex]": (
        "whether an edit in the moment in which a run opens enters it or the next one"
    ),
    "tests/flow/test_concurrency.py::test_a_run_that_sleeps_holds_none": "which of three equals is first",
    "tests/flow/test_concurrency.py::test_a_run_that_waits_holds_none": "which of three equals is first",
    "tests/flow/test_concurrency.py::test_a_run_that_waits_beside_its_step_is_not_forgotten": (
        "whether an app that has no slot hears what its run asks for next"
    ),
    "tests/flow/test_invoking.py::test_an_invoke_that_is_given_up_at_once_leaves_nothing_behind": (
        "whether a child begins in the moment in which its parent gives up on it"
    ),
}
"""The tests with simulations that differ in what comes first in one moment: by ids, which are other ones over HTTP, or
by the calls that it takes. Their timelines are not compared."""

EXAMPLES = 5
"""So many examples of a property are tried over HTTP: the first time tries more."""

_USED_UP = {"tmp_path", "opened"}
_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{16,26}…?")


@pytest.fixture(autouse=True)
def place(request: pytest.FixtureRequest) -> Any:
    """Where the workflows of a test are."""
    return getattr(request, "param", HERE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of a suite is there twice."""
    name = _name_of(metafunc.definition)
    if name.startswith(SUITES) and name not in ONLY_HERE:
        metafunc.parametrize("place", [HERE, THERE], indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Play a test where it is to be played."""
    if pyfuncitem.funcargs.get("place") != THERE:
        return (yield)
    name = _name_of(pyfuncitem)
    here = (
        _played_here(pyfuncitem)
        if name.startswith(COMPARED) and not {name, pyfuncitem.nodeid} & OTHER_DICE.keys()
        else []
    )
    from tests.crash import harness
    from tests.elsewhere import elsewhere
    from tests.runtime import operations

    with elsewhere(pyfuncitem.module, harness, operations), _few_examples(pyfuncitem.function), _recorded() as there:
        result = yield
    for one, other in zip(here, there, strict=bool(here)):
        assert one == other, "a simulation over HTTP is not what it is here"
    return result


def _name_of(item: pytest.Function) -> str:
    """The path and name of a test, without its parameters."""
    return item.nodeid.partition("[")[0]


def _played_here(item: pytest.Function) -> list[list[str]]:
    """The timelines of a test when it is played here; none of one that cannot be played twice."""
    function = item.function
    names = signature(function).parameters
    asynchronous = iscoroutinefunction(function) or not names.keys() <= item.funcargs.keys()  # if it is wrapped
    if asynchronous or hasattr(function, "hypothesis") or _USED_UP & set(item.fixturenames):
        return []
    with _recorded() as timelines:
        item.obj(**{name: item.funcargs[name] for name in names})
    return timelines


@contextmanager
def _recorded() -> Iterator[list[list[str]]]:
    """Inside, the timelines of simulations are kept: their lines without ids, sorted, if nothing could go wrong."""
    from flowgen.testing.simulator import Simulation

    timelines: list[list[str]] = []
    run = Simulation.run

    async def recording(self: Simulation, tasks: Any) -> Any:
        trace = await run(self, tasks)
        quiet = self._world.dice.quiet and self._workers == 1
        timelines.append(sorted(_ID.sub("…", trace.timeline()).splitlines()) if quiet else [])
        return trace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulation, "run", recording)
        yield timelines


@contextmanager
def _few_examples(function: Any) -> Iterator[None]:
    """Inside, a property has few examples. (Hypothesis has no word for that, once it is defined.)"""
    from hypothesis import settings

    name = "_hypothesis_internal_use_settings"
    usual = getattr(function, name, None)
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(usual, settings):
            patch.setattr(function, name, settings(usual, max_examples=min(EXAMPLES, usual.max_examples)))
        yield
