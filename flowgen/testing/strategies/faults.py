"""Faults: what goes wrong in a simulation, as strategies. Read from the fields of `Faults`, so none is forgotten."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

from ...errors import DefinitionError
from ..faults import CHANCES, PLANNED, Faults

CHANGE_RESULTS = frozenset({"clock_jump"})
"""Faults that may change how a run ends, because they change which timers are over."""

_SHARES = (0.0, 0.02, 0.1, 0.3)


def fault_shares(*kinds: str) -> st.SearchStrategy[Faults]:
    """Faults by chance, of these kinds; by default of all that never change how a run ends.

    >>> fault_shares("crash", "duplicate").validate()
    """
    _check(kinds, CHANCES)
    chosen = kinds or [kind for kind in CHANCES if kind not in CHANGE_RESULTS]
    return st.builds(Faults, **{kind: st.sampled_from(_SHARES) for kind in chosen})


def fault_plans(*kinds: str, most: int = 3, within: int = 30) -> st.SearchStrategy[Faults]:
    """Faults by plan: at most so many, each at one of the first `within` commits and claims.

    They shrink to few, and to early ones.

    >>> fault_plans("crash_before", "crash_after", most=1).validate()
    """
    _check(kinds, PLANNED)
    numbers = st.integers(1, within)
    plans = st.dictionaries(numbers, st.sampled_from(kinds or PLANNED), min_size=1, max_size=most)
    return plans.map(_planned)


def _planned(plan: dict[int, Any]) -> Faults:
    return Faults(at={number: plan[number] for number in sorted(plan)})


def _check(kinds: Collection[str], known: Collection[str]) -> None:
    for kind in kinds:
        if kind not in known:
            raise DefinitionError(f"there is no fault {kind!r}; there are {', '.join(known)}")
