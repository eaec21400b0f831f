"""`check_workflow`: a workflow and strategies become a hypothesis test.

An example is a scenario, drawn as it is played: what starts the workflow, what happens beside, and, when the engine
asks for it, what each attempt of a step comes to. It is simulated while nothing goes wrong; some are simulated again
with faults, and some with a cancel. Then the properties are asked (`promises`), and the author's own assertion.

A failure carries the scenario as a note: the story, the timeline, and two lines that tell it again.

Refuses to know what is right (`promises`), and how stories are told (`scenario`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache, wraps
from operator import methodcaller
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, HypothesisException

from ...app import App
from ...commands.base import shown
from ...duration import MAX_SPAN, format_duration, parse_duration
from ...errors import DefinitionError
from ...workflow import Workflow
from ..faults import Faults
from ..simulator import rare_collections, simulate
from ..strategies import data_of, fault_plans
from ..trace import Trace
from .case import Case, Property
from .ending import cancel_cleans_up
from .equivalence import survives_crashes
from .promises import PROPERTIES
from .scenario import Scenario, timeline, variable_of
from .spelling import refuse_misspelt
from .steps import Draw, DrawnSteps, Interrupted, Outcomes

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""

Steps = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
Assertion = Callable[..., None]

MAX_STEPS = 200
HORIZON = "400d"
_LONGEST = "12s"
_HALF_A_SECOND = 500_000
_BODIES_A_STEP = 5
"""So many times as many bodies as a run may take steps are too many at one moment, in all runs together."""

_PLOTS = st.integers(0, 19)
"""What an example is about: from 14 on faults, from 18 on a cancel, below neither. It shrinks to neither."""

_FAULTS_FROM, _CANCEL_FROM = 14, 18
_SEEDS = st.integers(0, 3)
_SPANS = st.sampled_from(["0s", "1s", _LONGEST])


def check_workflow(
    workflow: Workflow[Any, Any],
    data: st.SearchStrategy[Any] | None = None,
    events: st.SearchStrategy[Any] | None = None,
    steps: Steps | None = None,
    *,
    app: App | None = None,
    faults: st.SearchStrategy[Faults] | None = None,
    until: str | float | timedelta = HORIZON,
    max_steps: int = MAX_STEPS,
    properties: Sequence[Property] = PROPERTIES,
) -> Callable[..., Any]:
    """Make a hypothesis test of a workflow: a decorator over `def test_x(trace)`, or call what it gives.

    `data` draws what starts the workflow: its event's data, an instance of the event's class, or an `Event`
    (default: by the event's class). `events` draws what happens beside, `[(at, event), …]` (see `interleavings`).
    `steps` says what steps do, by id, name or function: a strategy to draw from, for each attempt
    (`st.floats() | raises(Timeout)`), a function to call, an exception to raise, or a value; or it is a function that
    makes such a dict, called for each simulated world. A step that is not mentioned gives values of its function's
    annotation; none runs for real. A name that is nearly that of a step is refused. `app` is the app of the workflow,
    where it cannot be found beside it.

    `faults` draws what goes wrong (default: plans of faults that strike while the runs last). A world is watched
    `until` then, and a run takes at most `max_steps` steps. `properties` are the built-in ones that are asked.

    The assertion is called with the trace of each scenario, once without and perhaps once with faults. Settings of
    hypothesis work as ever, `@example(scenario=Scenario(…))` tells a scenario again.

    ::

        @check_workflow(fulfil, data=st.builds(OrderPlaced), steps={"charge": st.floats(0, 9) | raises(Timeout)})
        def test_money_is_never_lost(trace):
            assert trace.run("fulfil").status == "completed"

        check_workflow(fulfil, data=st.builds(OrderPlaced))()     # the built-in properties alone
    """
    _check_arguments(workflow, data=data, events=events, faults=faults)
    own = app or app_of(workflow)
    return _decorator(
        Check(
            workflow=workflow,
            app=_checked_app(own, max_steps),
            variable=variable_of(own, workflow),
            data=data_of(workflow) if data is None else data,
            events=st.just([]) if events is None else events,
            steps={} if steps is None else steps,
            faults=faults,
            until=parse_duration(until, "until of check_workflow", maximum=MAX_SPAN),
            most_bodies=_BODIES_A_STEP * max_steps,
            properties=tuple(properties),
        )
    )


def _decorator(check: Check) -> Callable[..., Any]:
    """Makes a test of an assertion; called without one it is run, with the built-in properties alone."""

    def checked(assertion: Assertion | None = None) -> Any:
        if assertion is not None:
            return _as_test(check, assertion)
        test = _as_test(check, _no_assertion)
        _hand_on(checked, test)
        return test()

    checked.__name__ = checked.__qualname__ = f"check_{check.workflow.fn.__name__}"
    checked.__doc__ = f"Check {check.workflow.id}, or with `def test_x(trace)` make a test of it."
    return checked


def _check_arguments(workflow: object, **strategies: object) -> None:
    """Refuse what is no workflow, and values where strategies belong."""
    if not isinstance(workflow, Workflow):
        raise DefinitionError(f"check_workflow({shown(workflow)}): it takes a workflow, made with @app.workflow")
    for name, strategy in strategies.items():
        if strategy is not None and not isinstance(strategy, st.SearchStrategy):
            raise DefinitionError(
                f"check_workflow({name}={shown(strategy)}): it takes a strategy of hypothesis; "
                f"for one value, say st.just({shown(strategy)})"
            )


def _no_assertion(trace: Trace) -> None:
    """The built-in properties are enough."""


# -- the app ---------------------------------------------------------------------------------------


def app_of(workflow: Workflow[Any, Any]) -> App:
    """The app that a workflow was defined in, found beside its function; else one that has only this workflow."""
    captured = inspect.getclosurevars(workflow.fn)
    for value in [*captured.nonlocals.values(), *workflow.fn.__globals__.values()]:
        if isinstance(value, App) and value.workflows.get(workflow.id) is workflow:
            return value
    alone = App(workflow.app, version=workflow.version)
    alone._add(workflow)
    return alone


def _checked_app(app: App, max_steps: int) -> App:
    """The app without its schedules, which would tick all the time, and with runs that end sooner."""
    copy = App(app.name, version=app.version)
    for workflow in app.workflows.values():
        copy._add(attrs.evolve(workflow, schedules=(), max_steps=min(max_steps, workflow.max_steps)))
    return copy


# -- one example -----------------------------------------------------------------------------------


@attrs.define(eq=False)
class Drawing:
    """A scenario that is drawn while it is played."""

    draw: Draw
    scenario: Scenario = attrs.Factory(Scenario)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis shows arguments before the test runs; there is nothing to show yet."""
        printer.text("…")


@st.composite
def _drawings(draw: Draw) -> Drawing:
    return Drawing(draw)


@attrs.frozen(eq=False)
class Check:
    """All that is the same in every example."""

    workflow: Workflow[Any, Any]
    app: App
    variable: str
    data: st.SearchStrategy[Any]
    events: st.SearchStrategy[Any]
    steps: Steps
    faults: st.SearchStrategy[Faults] | None
    until: int
    most_bodies: int
    properties: tuple[Property, ...]
    met: set[str] = attrs.Factory(set)

    def examine(self, given: Drawing | Scenario) -> Case:
        """Play a scenario, drawing what it does not say."""
        if isinstance(given, Scenario):
            said = {name: list(outcomes) for name, outcomes in given.steps.items()}
            return self._play(given, Outcomes(None, said, frozenset(said)))
        return self._draw_and_play(given)

    def _draw_and_play(self, drawing: Drawing) -> Case:
        draw = drawing.draw
        plot = draw(_PLOTS)
        outcomes = Outcomes(draw, {})
        scenario = drawing.scenario = Scenario(
            draw(self.data), draw(self.events), outcomes.said, "0s", seed=draw(_SEEDS)
        )
        if plot >= _FAULTS_FROM or scenario.events:
            scenario = drawing.scenario = attrs.evolve(scenario, takes=draw(_SPANS))
        case, _ = self._calm(scenario, outcomes)
        if not any(run.workflow_id == self.workflow.id for run in case.calm.runs):
            reject()
        if plot >= _CANCEL_FROM and cancel_cleans_up in self.properties:
            moments = _moments(case.calm, self.workflow)
            if moments:
                scenario = attrs.evolve(scenario, cancel=format_duration(draw(st.sampled_from(moments))))
        elif plot >= _FAULTS_FROM and survives_crashes in self.properties:
            scenario = attrs.evolve(
                scenario, faults=draw(_plans(_length(case.calm)) if self.faults is None else self.faults)
            )
        drawing.scenario = case.scenario = scenario
        return self._disturbed(case, outcomes)

    def _play(self, scenario: Scenario, outcomes: Outcomes) -> Case:
        case, _ = self._calm(scenario, outcomes)
        return self._disturbed(case, outcomes)

    def _calm(self, scenario: Scenario, outcomes: Outcomes) -> tuple[Case, DrawnSteps]:
        trace, steps = self._simulate(scenario, outcomes)
        case = Case(self.workflow, scenario, trace)
        if steps.stopped is not None:
            case.stopped["calm"] = steps.stopped
        return case, steps

    def _disturbed(self, case: Case, outcomes: Outcomes) -> Case:
        scenario = case.scenario
        if case.stopped:
            return case
        if scenario.faults is not None:
            case.faulty, steps = self._simulate(scenario, outcomes, faults=scenario.faults)
            if steps.stopped is not None:
                case.stopped["faulty"] = steps.stopped
        if scenario.cancel is not None:
            case.cancelled, steps = self._simulate(scenario, outcomes, cancelled=True)
            if steps.stopped is not None:
                case.stopped["cancelled"] = steps.stopped
        return case

    def _simulate(
        self, scenario: Scenario, outcomes: Outcomes, *, faults: Faults | None = None, cancelled: bool = False
    ) -> tuple[Trace, DrawnSteps]:
        given = self.steps() if callable(self.steps) else self.steps
        seconds = parse_duration(scenario.takes, "takes of Scenario") / 1_000_000
        steps = DrawnSteps(outcomes, given, seconds, self.until, self.most_bodies, self.met)
        happenings = scenario.happenings(self.workflow, cancelled=cancelled)
        try:
            trace = simulate(self.app, happenings, steps, seed=scenario.seed, workers=scenario.workers, faults=faults)
        except (Interrupted, BaseExceptionGroup):
            if outcomes.interrupted is None:
                raise
            raise outcomes.interrupted from None
        return trace, steps

    def ask(self, case: Case, assertion: Callable[[Trace], None]) -> None:
        """Ask all properties, and the author's assertion."""
        for promise in self.properties:
            promise(case)
        assertion(case.calm)
        if case.faulty is not None:
            assertion(case.faulty)

    def refuse_misspelt(self) -> None:
        """Once all examples were played: refuse names of steps that are nearly those of others."""
        given = self.steps() if callable(self.steps) else self.steps
        refuse_misspelt(self.app.workflows.values(), given, self.met)

    def story(self, scenario: Scenario, trace: Trace | None) -> str:
        """What is said of a failure: the scenario, what happened, and how to tell it again."""
        lines = ["The scenario:", *scenario.lines(self.workflow)]
        if trace is not None:
            lines += ["What happened:", *(f"  {line.strip()}" for line in timeline(trace))]
        if not _own_stubs(self.steps):
            lines += ["To see it again:", f"  print({scenario.regression(self.workflow, self.variable)})"]
        lines += ["To keep it, above the test:", f"  @example(scenario={scenario!r})"]
        return "\n".join(lines)


def _own_stubs(steps: Steps) -> bool:
    """Whether some steps are not drawn, so that `scripted` alone does not tell all."""
    given = steps() if callable(steps) else steps
    return any(not isinstance(stub, st.SearchStrategy) for stub in given.values())


@lru_cache(maxsize=64)
def _plans(length: int) -> st.SearchStrategy[Faults]:
    """Faults that strike within so many commits and claims; a lost answer is the likeliest of them."""
    return fault_plans("crash_before", "crash_after", within=length) | fault_plans(within=length)


def _length(trace: Trace) -> int:
    """About how many commits and claims there were."""
    return 4 + sum(len(run.history) for run in trace.runs)


def _moments(trace: Trace, workflow: Workflow[Any, Any]) -> list[int]:
    """When a cancel may meet the first run: whenever something happens to it, and a little later."""
    run = trace.run(workflow.id)
    ended = run.recorded.row.ended_at
    times = {record.at for record in run.history} | {body.started_at for body in trace.executions if body.run == run.id}
    every = sorted({at + later - trace.started_at for at in times for later in (0, _HALF_A_SECOND)})
    return [at for at in every if ended is None or at + trace.started_at < ended]


# -- as a test -------------------------------------------------------------------------------------


def _as_test(check: Check, assertion: Assertion) -> Any:
    """A hypothesis test that draws `scenario`, and calls the assertion with a trace in its place."""
    signature = inspect.signature(assertion)
    parameter = _parameter(signature, assertion)
    parameters = [
        p.replace(name="scenario", annotation=Any) if p.name == parameter else p for p in signature.parameters.values()
    ]

    drawn_signature = signature.replace(parameters=parameters, return_annotation=None)

    @wraps(assertion)
    def test(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        given = drawn_signature.bind(*args, **kwargs).arguments
        scenario = given.pop("scenario")
        _run(check, scenario, lambda trace: assertion(**{parameter: trace}, **given))

    del test.__wrapped__
    test.__signature__ = drawn_signature  # type: ignore[attr-defined]
    drawn = given(scenario=_drawings())(test)

    @wraps(drawn)
    def outer(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        _hand_on(outer, drawn)
        try:
            with rare_collections():
                drawn(*args, **kwargs)
        except Flaky as error:
            error.add_note(_NOT_DETERMINISTIC.format(check.workflow.id))
            raise
        check.refuse_misspelt()

    return outer


_NOT_DETERMINISTIC = (
    "check_workflow: workflow {!r} did not do the same when the same scenario was played again. Time, chance and "
    "faults are simulated, so what differs comes from your code: a body that asks a clock or dice, reads the world or "
    "changes something outside of it (`flowgen lint` finds most of that), or a fake in `steps=` that remembers earlier "
    "scenarios (give a function that makes it afresh)."
)
"""Said of what hypothesis calls flaky: it speaks of strategies then, and the author knows of none that is."""


def _parameter(signature: inspect.Signature, assertion: Assertion) -> str:
    """Which parameter is the trace: the one called so, else the first."""
    names = list(signature.parameters)
    if not names:
        raise DefinitionError(
            f"check_workflow: {getattr(assertion, '__name__', shown(assertion))} takes no trace; "
            "write `def test_x(trace): …`"
        )
    return "trace" if "trace" in names else names[0]


_HANDED_ON = (
    "_hypothesis_internal_use_seed",
    "_hypothesis_internal_use_reproduce_failure",
    "hypothesis_explicit_examples",
)


def _hand_on(outer: Any, test: Any) -> None:
    """What hypothesis's decorators put on the outer function is meant for the test."""
    for name in _HANDED_ON:
        if hasattr(outer, name):
            setattr(test, name, getattr(outer, name))
    default = settings.default
    assert default is not None
    test._hypothesis_internal_use_settings = _adapted(
        getattr(outer, "_hypothesis_internal_use_settings", default), default
    )


def _adapted(chosen: settings, default: settings) -> settings:
    """The settings, without what would judge a simulation by the wall clock, or take its time to explain it."""
    return settings(
        chosen,
        deadline=None if chosen.deadline == default.deadline else chosen.deadline,
        report_multiple_bugs=False,
        phases=[phase for phase in chosen.phases if phase is not Phase.explain],
        suppress_health_check=[*chosen.suppress_health_check, HealthCheck.too_slow, HealthCheck.nested_given],
    )


def _run(check: Check, given: Drawing | Scenario, assertion: Callable[[Trace], None]) -> None:
    """One example, with its story where it fails."""
    __tracebackhide__ = True
    case: Case | None = None
    try:
        case = check.examine(given)
        check.ask(case, assertion)
    except HypothesisException:
        raise
    except Exception as error:
        scenario = given if isinstance(given, Scenario) else given.scenario
        error.add_note(check.story(scenario, None if case is None else case.shown))
        raise
