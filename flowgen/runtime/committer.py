"""The one place in a process where transitions are committed, and what follows from it at once.

A commit may concern others in the same process: a run that is being driven here got mail, a run became
due, an event has to be routed. They are told right away; other processes hear of it from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..acceptance import is_delayed
from ..transition import Transition
from .environment import Environment
from .store import Begin, Beginning, Begins, Claims, Committed, Many, Refused, Store, Who

Watcher = Callable[[Transition, Committed], None]


class Committer:
    """Commits transitions and tells those in this process whom they concern.

    `mail` is called with (app, run) for each message, `due` when a run may be claimed, `due_at` with the moment from
    which one may be, `accepted` when events are to be routed; `watchers` see every transition that was committed
    here, and `timers` how many seconds those took that were committed one by one.
    """

    def __init__(self, store: Store, environment: Environment) -> None:
        self.store = store
        self._environment = environment
        self.mail: Callable[[str, str], None] = _nobody
        self.due: Callable[[], None] = _nobody
        self.due_at: Callable[[int], None] = _nobody
        self.accepted: Callable[[], None] = _nobody
        self.watchers: list[Watcher] = []
        self.timers: list[Callable[[float], None]] = []
        self._many = store if isinstance(store, Many) else None
        self._begins = store if isinstance(store, Begins) else None

    async def commit(self, transition: Transition) -> Committed:
        """`Store.commit`, and then everyone here whom it concerns is told."""
        asked = self._environment.asks()
        committed = await self.store.commit(transition)
        for timer in self.timers:
            timer(self._environment.asks() - asked)
        self._environment.saw(committed.now, asked)
        self._tell(transition, committed)
        return committed

    async def commit_many(self, transitions: Sequence[Transition]) -> Sequence[Committed | None]:
        """Commit each of them by itself, but together, if the store can do that; None for each that was not."""
        if self._many is None:
            return [None] * len(transitions)
        answers: list[Committed | None] = []
        asked = self._environment.asks()
        for transition, answer in zip(transitions, await self._many.commit_many(transitions), strict=True):
            if isinstance(answer, Refused):
                answers.append(None)
                continue
            self._environment.saw(answer.now, asked)
            self._tell(transition, answer)
            answers.append(answer)
        return answers

    async def claim(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        """`Store.claim`; runs begin with it, if the store can do that. Nobody is told of that yet."""
        if self._begins is None:
            return await self.store.claim(who, limit, lease)
        return await self._begins.claim_and_begin(who, limit, lease, begin)

    def tell_of(self, beginning: Beginning) -> None:
        """Tell everyone here of a run that began with its claim."""
        loaded = beginning.loaded
        self._tell(beginning.transition, Committed(loaded.now, loaded.row.mail))

    def _tell(self, transition: Transition, committed: Committed) -> None:
        for message in transition.messages:
            self.mail(message.app, message.run)
        if transition.messages or any(new.row.owner is None for new in transition.create):
            self.due()
        progress = transition.progress
        if progress is not None and progress.release:
            if committed.mail > progress.drained:
                self.due()
            elif progress.due_at is not None:
                self.due_at(progress.due_at)
        if transition.accept:
            self.accepted()
            if any(is_delayed(event) for event in transition.accept):
                self.due()
        for watcher in self.watchers:
            watcher(transition, committed)


def _nobody(*_: object) -> None:
    """Nobody here has to be told."""
