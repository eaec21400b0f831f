"""What `claim_and_begin` does after its claim, for stores that can commit and load while nobody else looks."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ...transition import Transition
from ..store import Begin, Beginning, Claimed, Claims, DamagedRun, Loaded, Refused


def begun(
    claims: Claims, begin: Begin, commit: Callable[[Transition], object], load: Callable[[str, str], Loaded | None]
) -> Claims:
    """The claims, after those runs have begun that can. `commit` and `load` are the store's own, at this moment."""

    def one(claimed: Claimed) -> Claimed:
        row = claimed.row
        transition = begin(row, claims.now) if not (claimed.codeless or claimed.slotless) else None
        if transition is None:
            return claimed
        try:
            commit(transition)
            loaded = load(row.app, row.id)
        except (Refused, DamagedRun):
            return claimed
        assert loaded is not None, f"run {row.id} was claimed, and is not there"
        return attrs.evolve(claimed, row=loaded.row, beginning=Beginning(transition, loaded))

    return attrs.evolve(claims, runs=tuple([one(claimed) for claimed in claims.runs]))
