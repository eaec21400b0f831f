"""Faults: what may go wrong in a simulation, how often, and the dice that decide it.

By chance; each is the share of the occasions on which it happens:

=============  ==============================================================================
`crash`        the engine dies: before a commit takes effect, after it took effect but before
               the answer arrives, after a claim, or while a body runs; another one is started
`lost_lease`   leases are not extended for longer than they last, while all else goes on
`partition`    nothing reaches the store for longer than a lease, while the bodies go on
`pause`        the engine stands still for longer than its leases last, its bodies too
`store_error`  the store fails, before or after the request took effect
`duplicate`    a commit is delivered twice, at once or much later
`delay`        requests and answers are up to 100 ms late, so they overtake each other
`evict`        a live generator is dropped from the cache, so that the run has to be replayed
`slow`         a body takes up to three leases longer
`clock_jump`   the store's clock is set forward or back, by up to an hour
=============  ==============================================================================

Always: `clock_skew`, by how much the clocks of engines are wrong at the most (a duration), and `clock_drift`,
by which share they run too fast or too slow at the most.

By plan: `at` says what happens to the n-th commit or claim of the simulation, counted from 1; see `Planned`.

After `most` faults the world is healed: nothing goes wrong by chance any more, so that everything can come to its
end. (`delay`, `evict` and `slow` are no faults that need healing, and do not count.) `clock_jump` changes which
timers are over, so it alone may change how a run ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Literal, get_args

import attrs

from ..duration import DAY, parse_duration
from ..errors import DefinitionError

MOST = 40
MAX_DRIFT = 0.1
MAX_SKEW = DAY

Planned = Literal["crash_before", "crash_after", "error_before", "error_after", "pause", "twice", "evict"]
"""What can be planned for one commit or claim. The engine dies before it takes effect, or after that and before the
answer; the store fails before it takes effect, or after that, so that it is done and reported as lost; the engine
stands still past its leases before it; a commit is delivered twice; all live generators are dropped before it."""

PLANNED: tuple[Planned, ...] = get_args(Planned)


def _share(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise DefinitionError(f"Faults({attribute.name}={value!r}): say which share of occasions, from 0 to 1")


def _count(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise DefinitionError(f"Faults(most={value!r}): say how many faults happen at most")


def _drift(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= MAX_DRIFT:
        raise DefinitionError(
            f"Faults(clock_drift={value!r}): say by which share clocks run wrong, from 0 to {MAX_DRIFT} (0.05 = 5 %)"
        )


def _skew(instance: object, attribute: object, value: str | float | timedelta) -> None:
    parse_duration(value, "clock_skew of Faults", maximum=MAX_SKEW)


def _plan(value: Mapping[int, Planned] | None) -> dict[int, Planned] | None:
    return None if value is None else dict(value)


def _planned(instance: object, attribute: object, value: dict[int, Planned] | None) -> None:
    for number, fault in (value or {}).items():
        if number < 1:
            raise DefinitionError(f"Faults(at={{{number!r}: …}}): commits and claims are counted from 1")
        if fault not in PLANNED:
            raise DefinitionError(f"Faults(at={{{number}: {fault!r}}}): say one of {', '.join(PLANNED)}")


def _chance() -> float:
    share: float = attrs.field(default=0.0, validator=_share)
    return share


@attrs.frozen(repr=False)
class Faults:
    """What goes wrong, by chance or by plan: `Faults(crash=0.05, duplicate=0.05)`, `Faults(at={12: "crash_after"})`.

    See the module's text.
    """

    crash: float = _chance()
    lost_lease: float = _chance()
    store_error: float = _chance()
    duplicate: float = _chance()
    delay: float = _chance()
    evict: float = _chance()
    slow: float = _chance()
    most: int = attrs.field(default=MOST, validator=_count)
    partition: float = _chance()
    pause: float = _chance()
    clock_jump: float = _chance()
    clock_skew: str | float | timedelta = attrs.field(default=0, validator=_skew)
    clock_drift: float = attrs.field(default=0.0, validator=_drift)
    at: dict[int, Planned] | None = attrs.field(default=None, converter=_plan, validator=_planned, hash=False)

    @property
    def lossy(self) -> bool:
        """Whether the answer to a client may be lost, so that it has to ask again."""
        return self.crash > 0 or self.store_error > 0 or self.at is not None

    @property
    def skew_seconds(self) -> float:
        """How wrong the clocks of engines are at the most."""
        return parse_duration(self.clock_skew, "clock_skew of Faults", maximum=MAX_SKEW) / 1_000_000

    def __repr__(self) -> str:
        given = [(field.name, getattr(self, field.name), field.default) for field in attrs.fields(Faults)]
        return f"Faults({', '.join(f'{name}={value!r}' for name, value, default in given if value != default)})"


CHANCES = (
    "crash",
    "lost_lease",
    "partition",
    "pause",
    "store_error",
    "duplicate",
    "delay",
    "evict",
    "slow",
    "clock_jump",
)
"""The faults that happen by chance."""

_HEALED_BY_ITSELF = frozenset({"delay", "evict", "slow"})


class Dice:
    """Decides which fault happens when, and counts. Each kind has dice of its own, so none moves another's.

    `quiet` says that nothing can ever go wrong. `counts` has the faults that happened, by kind, and whatever else is
    worth knowing that it was reached.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self.healed = False
        self.happened = 0
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self.quiet = faults.at is None and not any(getattr(faults, fault) for fault in CHANCES)
        self._seed = seed
        self._random: dict[str, Random] = {}

    def may(self, fault: str) -> bool:
        """Whether this fault can happen at all any more."""
        return not self.healed and getattr(self.faults, fault) > 0

    def says(self, fault: str) -> bool:
        """Whether this fault happens now."""
        if not self.may(fault) or self._of(fault).random() >= getattr(self.faults, fault):
            return False
        self.counts[fault] += 1
        if fault not in _HEALED_BY_ITSELF:
            self.happened += 1
            self.healed = self.happened >= self.faults.most
        return True

    def planned(self, number: int) -> Planned | None:
        """What is planned for the commit or claim of this number."""
        return None if self.faults.at is None else self.faults.at.get(number)

    def plan_happens(self, fault: Planned) -> None:
        """What was planned does happen."""
        self.happened += 1
        self.counts[_KINDS[fault]] += 1

    def half(self, fault: str) -> bool:
        """One of two ways in which the fault happens."""
        return self._of(fault).random() < 0.5

    def between(self, fault: str, low: float, high: float) -> float:
        """A number for the fault, evenly between two."""
        return self._of(fault).uniform(low, high)

    def _of(self, fault: str) -> Random:
        if fault not in self._random:
            self._random[fault] = Random(f"{self._seed}/{fault}")
        return self._random[fault]


_KINDS: dict[Planned, str] = {
    "crash_before": "crash",
    "crash_after": "crash",
    "error_before": "store_error",
    "error_after": "store_error",
    "pause": "pause",
    "twice": "duplicate",
    "evict": "evict",
}
