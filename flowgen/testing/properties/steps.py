"""What the steps of a checked workflow do: nothing for real.

For each attempt of each step the outcome is taken from where it is said first:

1. the scenario, by the step's id (that is how a counter-example is told again);
2. `steps=` of the check, by id, name or function: a strategy is drawn from, a function is called, an exception
   is raised, anything else is returned;
3. the annotation of the step's function: a value of it is drawn.

Rules
-----
* What is drawn is a function of step id and attempt: whoever asks again gets the same, in whatever world. So an
  engine that dies changes nothing but the number of times that a body runs.
* After the first failed attempt it is drawn whether the step goes on failing, alone or with all steps of its name, as
  where a service is down. Attempts that were drawn one by one hardly ever failed for good, least of all two steps.
* Drawing happens where the engine looks for the function, outside of what catches a body's errors: when hypothesis
  wants to end an example there, the whole simulation ends (`Interrupted`).

Refuses to know what is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from hypothesis import HealthCheck, find, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ...tree import Step
from ...values import return_annotation
from ..bodies import Stubbed, as_function
from ..scripted import stub
from ..strategies import Raise, values
from ..strategies.outcomes import costly

Draw = Callable[[SearchStrategy[Any]], Any]

MOST_TURNS = 4_000
"""So many times the clock of one simulation moves at most: what is not at rest by then never will be."""


_NOTHING: Any = object()
"""What `steps=` says of a step that it does not mention."""

_AFTER_A_FAILURE = st.just("drawn") | costly(st.sampled_from(["stays", "down"]))
"""A step has failed: its next attempts are drawn, or it fails from then on, or all steps of its name do."""


class Interrupted(BaseException):
    """The example cannot go on; `Outcomes.interrupted` says why. Engines do not catch it, so it ends the simulation."""


@attrs.define
class Outcomes:
    """What was drawn, by step id, attempt after attempt; all worlds of one example share it.

    `draw` is hypothesis's, or None if the scenario is told again; then it has said all about the steps that are
    `told`. Others, which the workflow may have come to have since, give the simplest that they may. `functions` has
    the function that a step id was first seen with, and `broken` the error of what fails whenever it is tried: by
    `("stays", id)` a step, by `("down", name)` all steps of a name.
    """

    draw: Draw | None
    said: dict[str, list[Any]]
    told: frozenset[str] = frozenset()
    functions: dict[str, Any] = attrs.Factory(dict)
    broken: dict[tuple[str, str], BaseException] = attrs.Factory(dict)
    interrupted: BaseException | None = None

    def of(self, step: Step, strategy: SearchStrategy[Any]) -> list[Any]:
        """The outcomes of a step, up to its next attempt."""
        name = self._name(step)
        outcomes = self.said.setdefault(name, [])
        while len(outcomes) <= step.failures:
            if len(outcomes) == 1 and isinstance(outcomes[0], BaseException):
                self._break(name, step.name, outcomes[0])
            broken = self.broken.get(("stays", name)) or self.broken.get(("down", step.name))
            outcomes.append(self._drawn(step, strategy) if broken is None else broken)
        return outcomes

    def _name(self, step: Step) -> str:
        """The step's id; its function's name, if another function has a step of that id."""
        function = getattr(step.command.fn, "__name__", step.id)
        first = self.functions.setdefault(step.id, function)
        return step.id if first == function else function

    def _break(self, id: str, name: str, error: BaseException) -> None:
        """Decide whether what has failed once goes on failing, alone or with all of its name."""
        if ("down", name) not in self.broken:
            match self._choice(_AFTER_A_FAILURE):
                case "stays":
                    self.broken["stays", id] = error
                case "down":
                    self.broken["down", name] = error

    def _drawn(self, step: Step, strategy: SearchStrategy[Any]) -> Any:
        outcome = self._choice(values(return_annotation(step.command.fn)) if strategy is _NOTHING else strategy)
        return outcome.error if isinstance(outcome, Raise) else outcome

    def _choice(self, strategy: SearchStrategy[Any]) -> Any:
        if self.interrupted is None:
            try:
                return simplest(strategy) if self.draw is None else self.draw(strategy)
            except BaseException as error:
                self.interrupted = error
        raise Interrupted


def simplest(strategy: SearchStrategy[Any]) -> Any:
    """What a strategy shrinks to."""
    return find(strategy, _anything, settings=_ONCE)


def _anything(value: Any) -> bool:
    return True


_ONCE = settings(max_examples=1, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


class DrawnSteps(Stubbed):
    """The stubs of one simulation of a check. `stopped` says why it was stopped, if it was.

    `met` takes all names by which its steps may be called.
    """

    def __init__(
        self, outcomes: Outcomes, given: Mapping[str, Any], takes: float, until: int, most_bodies: int, met: set[str]
    ) -> None:
        super().__init__(given)
        self._met = met
        self.stopped: str | None = None
        self._outcomes = outcomes
        self._takes = takes
        self._until = until
        self._most_bodies = most_bodies
        self._bodies = 0
        self._turns = 0
        self._halfway = 0
        self._moment = 0

    def find(self, step: Step) -> Callable[..., Any]:
        """The function that stands for a step's own: there always is one."""
        self._bodies += 1
        if self._bodies > self._most_bodies:
            self._outcomes.interrupted = AssertionError(
                f"this does not come to an end: {self._bodies} bodies were executed at one moment, the last one for "
                f"step {step.id!r}. Let it wait (Sleep, WaitFor) before it begins anew; if it has to be so many, "
                "say max_steps= to the check."
            )
            raise Interrupted
        given = self._given(step)
        if step.id in self._outcomes.told:
            return stub(self._outcomes.said[step.id], self._takes)
        if given is not _NOTHING and not isinstance(given, SearchStrategy):
            return as_function(given)
        return stub(list(self._outcomes.of(step, given)), self._takes)

    def _given(self, step: Step) -> Any:
        names = (step.id, step.name, getattr(step.command.fn, "__name__", ""))
        self._met.update(names)
        for name in names:
            if name in self._stubs:
                self.unused.discard(name)
                return self._stubs[name]
        return _NOTHING

    def enough(self, elapsed: int) -> bool:
        """Stop at the horizon, and what turns round and round."""
        self._turns += 1
        if elapsed > self._moment:
            self._moment, self._bodies = elapsed, 0
        if self._turns == MOST_TURNS // 2:
            self._halfway = elapsed
        if elapsed > self._until:
            self.stopped = "time"
        elif self._turns >= MOST_TURNS:
            self.stopped = "time" if elapsed > self._halfway else "spinning"
        return self.stopped is not None
