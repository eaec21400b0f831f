"""What people get wrong with the testing kit is said in words that help them."""

from __future__ import annotations

from itertools import count
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from flowgen import App, Context, DefinitionError, Event, OnEvent, Run, Sleep, Steps
from flowgen.testing import Scenario, Start, Trace, check_workflow, explore_crashes, play, simulate
from flowgen.testing.properties import PROPERTIES, makes_no_mistake
from flowgen.testing.strategies import events
from flowgen.testing.words import apart

pytest_plugins = ["pytester"]

app = App("shop", retries=0)
FEW = settings(max_examples=5, database=None)
seen: list[str] = []


def ask(name: str) -> bool:
    raise AssertionError("never for real")


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context) -> Steps[bool]:
    return (yield from Run(ask, ctx.event.data["id"]))


@app.workflow(on=OnEvent("order/forgotten"))
def mistaken(ctx: Context) -> Steps[str]:
    asked = yield from Run(ask, "x")
    return asked.name  # type: ignore[attr-defined, no-any-return]


@app.workflow
def endless(ctx: Context) -> Steps[None]:
    while True:
        yield Run(ask, "x")


@app.workflow
def noting(ctx: Context) -> Steps[None]:
    seen.append("a rather long entry of a list outside")
    yield Run(ask, "x")


def failure(check: Any) -> tuple[str, str]:
    """What a check fails with: its message, and its story."""
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value), "\n".join(getattr(caught.value, "__notes__", []))


# -- simulate, explore_crashes, play -----------------------------------------------------------------


@pytest.mark.parametrize("given", [Event("order/placed", {"id": "7"}), ("1h", Event("order/placed", {"id": "7"}))])
def test_one_event_needs_no_list(given: Any) -> None:
    """`simulate` takes one event, or one `(at, event)`, as `explore_crashes` does."""
    assert simulate(app, given, {"ask": True}).run("fulfil").result is True
    assert simulate(app, Start(fulfil, {"id": "7"}), {"ask": True}).run("fulfil").status == "completed"


def test_a_report_of_crashes_is_short_where_an_assertion_shows_it() -> None:
    """pytest cuts what it shows of values; `str(report)` is the whole of it."""
    report = explore_crashes(app, Event("order/placed", {"id": "7"}), {"ask": True}, faults=["evict"])
    assert repr(report).endswith("0 violations; str(report) tells all>")
    assert "no violation" in str(report)


def test_a_test_that_fails_shows_its_own_lines(pytester: pytest.Pytester) -> None:
    """The lines of `play` and `check_workflow` are hidden where an assertion fails."""
    pytester.makepyfile(
        """
        from flowgen import App, OnEvent, Run, Sleep
        from flowgen.testing import check_workflow, play
        from hypothesis import strategies as st

        app = App("shop")

        def ask():
            raise NotImplementedError

        @app.workflow(on=OnEvent("go"))
        def body(ctx):
            yield Run(ask)
            return ctx.event.data["nothing"]

        def test_by_script():
            play(body, {}).expect(Sleep).reply()

        def test_by_property():
            check_workflow(body, data=st.just({}))()
        """
    )
    result = pytester.runpytest_subprocess("--tb=short", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    assert "expected any Sleep" in text
    assert "fails by a mistake in its body: KeyError: 'nothing'" in text
    for hidden in ("script.py", "expectations.py", "mistakes.py"):
        assert hidden not in text


def test_a_reply_that_does_not_fit_has_one_story() -> None:
    """The error says it all; that the interpreter refused the value is no news."""
    with pytest.raises(AssertionError, match="does not fit step 'ask'") as caught:
        play(fulfil, {"id": "7"}).expect(Run).reply("yes")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# -- check_workflow ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data", "events", "faults"])
def test_what_is_drawn_is_said_by_a_strategy(name: str) -> None:
    """A value in the place of a strategy is refused where the check is made, with what to say instead."""
    with pytest.raises(DefinitionError, match=rf"check_workflow\({name}=\{{'id': '7'\}}\).*say st.just\("):
        cast(Any, check_workflow)(fulfil, **{name: {"id": "7"}})


def test_one_event_beside_needs_no_list() -> None:
    """`events=` may draw single events."""
    FEW(check_workflow(fulfil, st.just({"id": "7"}), events("order/other"))(lambda trace: None))()


def test_a_body_that_plays_otherwise_the_next_time_is_named() -> None:
    """Hypothesis speaks of data generation then; which workflow it is and what to look for is said besides."""
    played = count()

    def moody(ctx: Context) -> Steps[None]:
        if next(played) == 0:
            yield Run(ask, "x")
        yield Sleep("a while", "1h")

    workflow = App("moody", retries=0).workflow(moody)

    @settings(database=None)
    @check_workflow(workflow, properties=[])
    def never_asks(trace: Trace) -> None:
        assert not trace.executed("ask")

    with pytest.raises(Flaky) as caught:
        never_asks()
    note = caught.value.__notes__[-1]
    assert note.startswith(
        "check_workflow: workflow 'moody' did not do the same when the same scenario was played again"
    )
    assert "`flowgen lint`" in note


def test_a_body_with_a_mistake_does_not_pass() -> None:
    """An error that nobody means to raise is found, with its line, though the run has ended."""
    message, story = failure(FEW(check_workflow(mistaken, st.just({}))(lambda trace: None)))
    assert "mistaken#0 fails by a mistake in its body: AttributeError: 'bool' object has no attribute 'name'" in message
    assert "in mistaken\n    return asked.name" in message
    assert "step 'ask'   gives False" in story


def test_data_that_a_body_does_not_understand_is_found() -> None:
    """Where nothing is said of the data, any data comes; a check of nothing but `KeyError` would be none."""
    message, _ = failure(FEW(check_workflow(fulfil)(lambda trace: None)))
    assert "KeyError: 'id'" in message
    assert "say what there may be (data=)" in message


def test_a_mistake_may_be_meant() -> None:
    """A property can be left out, this one as well."""
    others = [each for each in PROPERTIES if each is not makes_no_mistake]
    FEW(check_workflow(mistaken, st.just({}), properties=others)(lambda trace: None))()


def test_an_error_of_its_own_is_no_mistake() -> None:
    """A body may fail: by a step that failed for good, or by an error that is none of Python's."""

    class TooLarge(Exception):
        pass

    other = App("other", retries=0)

    @other.workflow
    def refusing(ctx: Context) -> Steps[None]:
        yield Sleep("a while", "1s")
        if ctx.event.data["total"] > 5:
            raise TooLarge("more than 5")
        yield Run(ask, "x")

    totals = st.fixed_dictionaries({"total": st.integers(0, 9)})
    FEW(check_workflow(refusing, totals, steps={"ask": TypeError("of a step")})(lambda trace: None))()


def test_many_steps_that_do_the_same_are_told_in_one_line() -> None:
    """A run that turns round and round has a short story."""
    message, story = failure(FEW(check_workflow(endless, max_steps=50)(lambda trace: None)))
    assert "does not come to an end" in message
    assert "step 'ask'   gives False, and so do 49 more, up to 'ask:49'" in story
    assert len(story.splitlines()) < 80


def test_few_steps_are_told_one_by_one() -> None:
    """Steps that do not do the same, and few that do, have a line each."""
    scenario = Scenario(steps={"ask": [True], "ask:1": [True], "ask:2": [False], "pay": [1]})
    assert [line.split()[1] for line in scenario.lines(fulfil)[1:]] == ["'ask'", "'ask:1'", "'ask:2'", "'pay'"]


def test_a_change_of_a_long_value_is_seen() -> None:
    """Of a list that grows, the end is shown, where it differs."""
    seen.extend("another entry of some length" for _ in range(20))
    message, _ = failure(FEW(check_workflow(noting)(lambda trace: None)))
    before, after = (line.split(":", 1)[1] for line in message.splitlines() if ":  " in line or "before:" in line)
    assert before != after


@pytest.mark.parametrize(
    ("one", "other"), [("a" * 300 + "b", "a" * 300 + "c"), ("a" * 300, "a" * 301), ("x", "y"), ("", "a" * 300)]
)
def test_two_texts_are_cut_where_they_differ(one: str, other: str) -> None:
    """Both are short, and not the same."""
    left, right = apart(one, other)
    assert left != right
    assert max(len(left), len(right)) <= 100


def test_a_broken_invariant_is_told_with_one_timeline() -> None:
    """The story has the timeline; the message does not have it once more."""
    left = iter(range(1_000))
    other = App("other")

    @other.workflow
    def counting(ctx: Context) -> Steps[int]:
        number = next(left)
        yield Run(ask, "x")
        return number

    message, story = failure(FEW(check_workflow(counting)(lambda trace: None)))
    assert "replays, but ends differently" in message
    assert "opens" not in message
    assert story.count("worker 1  opens") == 1
