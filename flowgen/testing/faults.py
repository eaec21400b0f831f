"""Faults: what may go wrong in a simulation, how often, and the dice that decide it.

=============  ==============================================================================
`crash`        the engine dies: before a commit takes effect, after it took effect but before
               the answer arrives, after a claim, or while a body runs; another one is started
`lost_lease`   leases are not extended for longer than they last, while the bodies go on; half
               the time nothing else reaches the store either
`store_error`  the store fails, before or after the write took effect
`duplicate`    a commit is delivered twice, at once or much later
`delay`        an answer of the store is up to 100 ms late, before or after taking effect
`evict`        a live generator is dropped from the cache, so that the run has to be replayed
`slow`         a body takes up to three leases longer
=============  ==============================================================================

Each is the share of the occasions on which it happens. After `most` faults the world is healed: nothing
goes wrong any more, so that everything can come to its end. (`delay`, `evict` and `slow` are no faults that
need healing, and do not count.)
"""

from __future__ import annotations

from random import Random

import attrs

from ..errors import DefinitionError

MOST = 40


def _share(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise DefinitionError(f"Faults({attribute.name}={value!r}): say which share of occasions, from 0 to 1")


def _count(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise DefinitionError(f"Faults(most={value!r}): say how many faults happen at most")


def _chance() -> float:
    share: float = attrs.field(default=0.0, validator=_share)
    return share


@attrs.frozen
class Faults:
    """What goes wrong: `Faults(crash=0.05, duplicate=0.05)`. See the module's text."""

    crash: float = _chance()
    lost_lease: float = _chance()
    store_error: float = _chance()
    duplicate: float = _chance()
    delay: float = _chance()
    evict: float = _chance()
    slow: float = _chance()
    most: int = attrs.field(default=MOST, validator=_count)

    @property
    def lossy(self) -> bool:
        """Whether the answer to a client may be lost, so that it has to ask again."""
        return self.crash > 0 or self.store_error > 0


_HEALED_BY_ITSELF = frozenset({"delay", "evict", "slow"})


class Dice:
    """Decides which fault happens when. Each kind has dice of its own, so none moves another's."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.healed = False
        self.happened = 0
        self._faults = faults
        self._random = {field.name: Random(f"{seed}/{field.name}") for field in attrs.fields(Faults)}

    def may(self, fault: str) -> bool:
        """Whether this fault can happen at all any more."""
        return not self.healed and getattr(self._faults, fault) > 0

    def says(self, fault: str) -> bool:
        """Whether this fault happens now."""
        if not self.may(fault) or self._random[fault].random() >= getattr(self._faults, fault):
            return False
        if fault not in _HEALED_BY_ITSELF:
            self.happened += 1
            self.healed = self.happened >= self._faults.most
        return True

    def half(self, fault: str) -> bool:
        """One of two ways in which the fault happens."""
        return self._random[fault].random() < 0.5

    def between(self, fault: str, low: float, high: float) -> float:
        """A number for the fault, evenly between two."""
        return self._random[fault].uniform(low, high)
