"""The memory store of a world in which nothing goes wrong, as the only engine in it sees it.

Nothing stands between that engine and its store: no faults, and nobody else. So a verb is done at once, without a turn
for others first, which is most of what such a world costs. Who goes first among those that are due at one moment still
follows from the seed; that one of them comes in between two requests of another is left to worlds with faults, with
several engines, or with a `store` of their own.

Refuses to know what an engine does with the answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..runtime.store import Begin, Claims, Committed, Extended, Lease, Refused, Who
from ..runtime.stores.memory import MemoryStore
from ..transition import Transition
from .world import Life, World

_TURNS = 2


async def _go_on() -> None:
    """Nobody else has a turn."""


class QuietStore(MemoryStore):
    """A memory store that writes down what takes effect in it. It outlives the engine that opens and closes it."""

    _pause = staticmethod(_go_on)

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.life: Life | None = None
        self._world = world

    async def give_way(self) -> None:
        """Let others have a turn, so that what an event began, such as a claim, comes before the next one's commit.

        It is for the client, before it asks: between what an engine reads and what it commits nobody comes in.
        """
        for _ in range(_TURNS):
            await trio.lowlevel.checkpoint()

    async def wait_changed(self, seconds: float) -> None:
        """Nobody else changes anything; what its one engine commits, that engine hears from its own committer."""
        await trio.sleep_forever()

    async def commit(self, transition: Transition) -> Committed:
        try:
            committed = self._commit(transition)
        except Refused as refused:
            self._world.count(f"refused: {type(refused).__name__}")
            raise
        assert self.life is not None
        self._world.committed(self.life, transition)
        return committed

    async def commit_many(self, transitions: Sequence[Transition]) -> tuple[Committed | Refused, ...]:
        answers: list[Committed | Refused] = []
        for transition in transitions:
            try:
                answers.append(await self.commit(transition))
            except Refused as refused:
                answers.append(refused)
        return tuple(answers)

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        claims = await super().claim(who, limit, lease)
        assert self.life is not None
        self._world.claimed(self.life, claims, who.limits)
        return claims

    async def claim_and_begin(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        claims = await super().claim_and_begin(who, limit, lease, begin)
        assert self.life is not None
        self._world.begun(self.life, claims)
        return claims

    async def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        extended = self._extend(worker, leases, lease)
        self._world.extended(leases, extended, lease)
        return extended
