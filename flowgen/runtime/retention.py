"""Retention: delete what ended long ago, on request or all the time, in pages.

What may go is for the store to say (`Store.delete`): ended runs, and routed events that no open run needs. A page
is one write, and others have their turn between two of them.
"""

from __future__ import annotations

import logging

import trio

from ..duration import HOUR, MINUTE
from ..errors import StoreError
from .store import Store

log = logging.getLogger("flowgen")

_BETWEEN_PAGES = 0.01
"""Seconds in which others have the store to themselves."""


async def purge(store: Store, older_than: int) -> int:
    """Delete what ended more than `older_than` microseconds ago; how many runs and events went."""
    before = await store.now() - older_than
    deleted = 0
    while page := await store.delete(before):
        deleted += page
        await trio.sleep(_BETWEEN_PAGES)
    return deleted


async def retain(store: Store, retention: int) -> None:
    """Delete what is older than `retention` microseconds, at once and then again and again, for ever.

    A tenth of the retention lies between two looks, but at least a minute and at most an hour.
    """
    pause = min(max(retention // 10, MINUTE), HOUR) / 1_000_000
    while True:
        try:
            deleted = await purge(store, retention)
        except StoreError as error:
            log.warning("retention: nothing could be deleted now, it is tried again later: %s", error)
        else:
            if deleted:
                log.info("retention: %s old runs and events were deleted", deleted)
        await trio.sleep(pause)
