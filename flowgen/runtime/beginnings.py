"""Runs that were created here: each goes to its first rest, many of them together.

The commit that accepts an event also creates its runs and claims them for the worker here. What most runs do first
is short: the body asks for a sleep, a wait or a child, and is given back; or it ends. A task, a drive and a
commit for each would cost several times what the body does. So the runs that begin in the same turn are advanced
one after the other, and what they ask for is committed at once.

Rules
-----
* Nothing here is the only way. A run that has a body to start, or asks what has to be looked up, goes on in a drive,
  with its generator where it is; and so does one whose commit was not answered, or refused. A drive knows what to do
  then.
* Each run is a transition of its own, and none knows of the others that are committed with it.

Refuses to know: what a draft decides, and what becomes of a run after its first rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from ..draft import Draft
from ..facts import Facts
from ..owned import Decision, Owned
from ..runs import RunRow
from ..transition import NewRun, Transition
from .store import Loaded

if TYPE_CHECKING:
    from .worker import Worker

AT_ONCE = 100
"""So many runs are advanced before the loop turns."""


@attrs.define(eq=False)
class Begun:
    """A run that was advanced to what it asks for first; nothing of that is committed.

    `decision` is what it came to; None if something has to be known before that can be said.
    """

    owned: Owned
    draft: Draft
    decision: Decision | None

    @property
    def row(self) -> RunRow:
        return self.owned.row


class Beginnings:
    """Begins the runs that are created in the name of one worker. `owned` is the run whose body is at work."""

    def __init__(self, worker: Worker) -> None:
        self.owned: Owned | None = None
        self._worker = worker
        self._new: list[Loaded] = []
        self._number = 0

    def __len__(self) -> int:
        """How many runs are in hand here."""
        return self._number

    def add(self, claimed: Sequence[NewRun], positions: Mapping[str, int]) -> None:
        """Take on runs that a commit created; they begin in the next turn. `positions` are those of their events."""
        if not self._new:
            self._worker.spawn(self.begin)
        now = self._worker.environment.now()
        for new in claimed:
            events = tuple([e.placed(positions[e.id]) if e.id in positions else e for e in new.events])
            self._new.append(Loaded(new.row, events, new.records, (), now))
        self._number += len(claimed)

    async def begin(self) -> None:
        """Bring all that is new to its first rest. The last that does not come to one is driven by this very task."""
        new, self._new = self._new, []
        going: list[Begun | Loaded] = []
        while new:
            page = [self._advance(loaded) for loaded in new[:AT_ONCE]]
            del new[:AT_ONCE]
            try:
                going += await self._let_rest(page)
            except BaseException:  # the worker ends: drives give back what they have in hand
                self._go_on([*going, *page, *new])
                raise
        self._go_on(going[:-1])
        if going:
            self._number -= 1
            await self._worker.drive_begun(going[-1])

    def _advance(self, loaded: Loaded) -> Begun | Loaded:
        """Advance a run as far as it goes without a body or a look at the store; the run itself if that is nowhere."""
        worker = self._worker
        try:
            self.owned = owned = worker.revive(loaded)
            draft = Draft(owned, Facts(worker.routes), worker.environment.now())
            draft.resume()
            return Begun(owned, draft, None if draft.blocked else draft.finish())
        except Exception:  # whatever it is, a drive meets it again, and knows what to do
            return loaded

    async def _let_rest(self, page: Sequence[Begun | Loaded]) -> list[Begun | Loaded]:
        """Commit what is to be given back, or has ended; the answer is what goes on."""
        going: list[Begun | Loaded] = []
        resting: list[tuple[Begun, Decision]] = []
        transitions: list[Transition] = []
        for begun in page:
            decision = begun.decision if isinstance(begun, Begun) else None
            if isinstance(begun, Begun) and decision is not None and decision.released and decision.transition:
                resting.append((begun, decision))
                transitions.append(decision.transition)
            else:
                going.append(begun)
        answers = await self._worker.patient.commit_many(transitions) if resting else ()
        for (begun, decision), answer in zip(resting, answers, strict=True):
            if answer is None:
                going.append(begun)
                continue
            begun.draft.committed()
            self._number -= 1
            self._worker.note_rested(begun.owned, decision)
        return going

    def _go_on(self, going: Sequence[Begun | Loaded]) -> None:
        """Drive these runs, each in a task of its own."""
        self._number -= len(going)
        for begun in going:
            self._worker.spawn(self._worker.drive_begun, begun)
