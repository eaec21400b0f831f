"""Lists that come in pages: a page, and going through all of them.

Whoever has a list gives it a page at a time, so that nobody holds more than that. Whoever wants the list says once how
a page is asked for, and goes through `Pages`, or through their `items`; it may stop anywhere and has nothing to close.

Refuses to know: what is in a list, and what a cursor means.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class Page(Generic[T]):
    """Some items of a list, and the cursor that the next page starts from (None: this was the last)."""

    items: tuple[T, ...]
    cursor: str | None = None


class Pages(Generic[T]):
    """The pages of a list from `cursor` on (None: from its beginning), the next one asked for when it is needed.

    `ask` gives the page that begins at a cursor. `cursor` is where the list goes on behind the newest page; None before
    the first one means its beginning, and after one that it has ended.
    """

    def __init__(self, ask: Callable[[str | None], Awaitable[Page[T]]], cursor: str | None = None) -> None:
        self._ask = ask
        self._ended = False
        self.cursor = cursor

    def __aiter__(self) -> Pages[T]:
        return self

    async def __anext__(self) -> Page[T]:
        if self._ended:
            raise StopAsyncIteration
        page = await self._ask(self.cursor)
        self.cursor = page.cursor
        self._ended = page.cursor is None
        return page

    def items(self) -> Items[T]:
        """What is in them, item by item."""
        return Items(self)


class Items(Generic[T]):
    """The items of pages, one by one."""

    def __init__(self, pages: Pages[T]) -> None:
        self._pages = pages
        self._page: Iterator[T] = iter(())

    def __aiter__(self) -> Items[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            for item in self._page:
                return item
            self._page = iter((await anext(self._pages)).items)
