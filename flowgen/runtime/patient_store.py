"""`PatientStore`: a store that is asked until it answers.

What an owner of runs has in hand must not be lost to a request that failed. So a request that the store could not carry
out is made again, after pauses that grow; what it *refuses*, or can never do, is raised as it is. A commit is the same
transition each time, so it takes effect once whatever happened to it before.

That the store fails is said in the log, each message once in a while: all who wait for it get the same one.

Refuses to know: whose requests these are, and what the answers mean.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from ..errors import StoreError
from ..transition import Transition
from .committer import Committer
from .store import Committed, DamagedRun, Refused, StoreUnusable

log = logging.getLogger("flowgen")

_FIRST_REPEAT, _LONGEST_REPEAT = 0.01, 2.0
"""Seconds to wait before the store is asked again, at first and after a while."""
_TELL_AGAIN_SECONDS = 10.0

T = TypeVar("T")


class PatientStore:
    """Asks the store, and commits, for those who can only go on with an answer."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._told, self._told_at = "", 0.0

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request, which is made until there is one.

        Raises `Refused`, `DamagedRun` and `StoreUnusable`: to ask again would change nothing.
        """
        pause = _FIRST_REPEAT
        while True:
            try:
                return await request()
            except (Refused, DamagedRun, StoreUnusable):
                raise
            except StoreError as error:
                self.failed(error)
                await trio.sleep(pause)
                pause = min(pause * 2, _LONGEST_REPEAT)

    async def commit(self, transition: Transition) -> Committed:
        """Commit, until it is answered; raises what `ask` raises."""
        try:
            return await self._committer.commit(transition)
        except (Refused, DamagedRun, StoreUnusable):
            raise
        except StoreError as error:
            self.failed(error)
            return await self.ask(lambda: self._committer.commit(transition))

    async def commit_many(self, transitions: Sequence[Transition]) -> Sequence[Committed | None]:
        """Commit several at once; None for each that was refused, or not answered: these are not made again."""
        try:
            return await self._committer.commit_many(transitions)
        except StoreError as error:
            self.failed(error)
            return [None] * len(transitions)

    def failed(self, error: StoreError) -> None:
        """Say that the store failed, and is asked again."""
        now = trio.current_time()
        if self._told != str(error) or now > self._told_at + _TELL_AGAIN_SECONDS:
            self._told, self._told_at = str(error), now
            log.warning("the store failed, trying again: %s", error)
