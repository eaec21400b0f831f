"""What `claim_and_begin` does after its claim, for stores that can commit and load while nobody else looks."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ...transition import Progress, Transition
from ..store import Begin, Beginning, Claimed, Claims, DamagedRun, Loaded, Refused


def begun(
    claims: Claims, begin: Begin, commit: Callable[[Transition], object], load: Callable[[Progress], Loaded | None]
) -> Claims:
    """The claims, after those runs have begun that can. `commit` is the store's own, and `load`, after a progress."""

    def one(claimed: Claimed) -> Claimed:
        row = claimed.row
        transition = begin(row, claims.now) if not (claimed.codeless or claimed.slotless) else None
        if transition is None:
            return claimed
        try:
            commit(transition)
            assert transition.progress is not None
            loaded = load(transition.progress)
        except (Refused, DamagedRun):
            return claimed
        assert loaded is not None, f"run {row.id} was claimed, and is not there"
        return attrs.evolve(claimed, row=loaded.row, beginning=Beginning(transition, loaded))

    return attrs.evolve(claims, runs=tuple([one(claimed) for claimed in claims.runs]))
