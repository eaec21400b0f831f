"""Lists that come in pages."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.paging import Page, Pages

Lists = list[list[int]]


class Shelf:
    """A list in given pages. The cursor of a page is its number; `asked` are those that it was asked for."""

    def __init__(self, pages: Lists) -> None:
        self.pages = pages
        self.asked: list[str | None] = []

    async def __call__(self, cursor: str | None) -> Page[int]:
        self.asked.append(cursor)
        number = int(cursor or 0)
        following = number + 1
        return Page(tuple(self.pages[number]), str(following) if following < len(self.pages) else None)


@given(lists=st.lists(st.lists(st.integers(), max_size=3), min_size=1, max_size=5))
def test_every_page_and_item_comes_once_in_order(lists: Lists) -> None:
    """Empty pages among them, too; and no page is asked for behind the last."""

    async def scenario() -> None:
        shelf = Shelf(lists)
        assert [list(page.items) async for page in Pages(shelf)] == lists
        assert shelf.asked == [None, *map(str, range(1, len(lists)))]
        assert [item async for item in Pages(shelf).items()] == [item for page in lists for item in page]

    trio.run(scenario)


async def test_it_may_begin_anywhere() -> None:
    """At a cursor, as any page does."""
    assert [item async for item in Pages(Shelf([[1], [2], [3]]), "1").items()] == [2, 3]


@pytest.mark.parametrize("read, cursor", [(1, "1"), (2, "2"), (3, None)])
async def test_who_stops_knows_where_the_list_goes_on(read: int, cursor: str | None) -> None:
    """`cursor` is that behind the newest page, and no page was read ahead."""
    shelf = Shelf([[1], [2], [3]])
    pages = Pages(shelf)
    for _ in range(read):
        await anext(pages)
    assert (pages.cursor, len(shelf.asked)) == (cursor, read)


async def test_items_are_asked_for_when_they_are_needed() -> None:
    """Whoever stops at an item has asked for no page behind its own."""
    shelf = Shelf([[1, 2], [3]])
    async for item in Pages(shelf).items():
        if item == 2:
            break
    assert shelf.asked == [None]
