"""The pytest plugin: fixtures, and profiles for hypothesis. It is there wherever flowgen and pytest are.

* `virtual_clock`: a `VirtualClock`, for what a test runs on virtual time by itself.
* `simulate`: `flowgen.testing.simulate`; if the test fails, the report has the timelines of its last simulations.
* the hypothesis profiles `flowgen-ci` (few examples, always the same) and `flowgen-thorough` (many):
  `pytest --hypothesis-profile flowgen-thorough`, or `settings.load_profile("flowgen-ci")` in a `conftest.py`.

`-p no:flowgen` leaves it out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Protocol

import pytest

from .clock import VirtualClock
from .simulator import simulate as _simulate
from .trace import Trace

SHOWN = 3
"""So many simulations of a failed test are shown: the last ones."""

CI, THOROUGH = "flowgen-ci", "flowgen-thorough"
_EXAMPLES = {CI: 100, THOROUGH: 5_000}

_TRACES = pytest.StashKey[deque[Trace]]()


class Simulate(Protocol):
    """What the fixture `simulate` is: the function of this name, with all its arguments."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Trace: ...


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A virtual clock, at its start."""
    return VirtualClock()


@pytest.fixture
def simulate(request: pytest.FixtureRequest) -> Simulate:
    """`flowgen.testing.simulate`, whose timelines are shown if the test fails."""
    traces: deque[Trace] = deque(maxlen=SHOWN)
    request.node.stash[_TRACES] = traces

    def remembered(*arguments: Any, **keywords: Any) -> Trace:
        trace = _simulate(*arguments, **keywords)
        traces.append(trace)
        return trace

    return remembered


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the timelines into the report of a test that failed."""
    report = yield
    if report.when == "call" and report.failed:
        report.sections += [(f"simulation, {trace!r}", trace.timeline()) for trace in item.stash.get(_TRACES, ())]
    return report


def _register_profiles() -> None:
    """Where hypothesis is. A simulation takes as long as it takes: there is no deadline."""
    from hypothesis import HealthCheck, settings

    for name, examples in _EXAMPLES.items():
        settings.register_profile(
            name,
            max_examples=examples,
            derandomize=name == CI,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        )


with suppress(ImportError):
    _register_profiles()
