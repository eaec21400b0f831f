"""Requests that wait: for the end of a run, for as long as they say and their client is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio
from starlette.requests import Request

from .problems import Problem

T = TypeVar("T")

CLOSING: Final = "closing"
"""The name in a request's state of the `asyncio.Event` that is set when the server stops, if it tells so."""


class Patience:
    """Room for so many requests that wait at once: they must not take all that the server has.

    A server has two of these: one for those whom it knows, and a smaller one for whoever calls a public endpoint. So a
    crowd of strangers neither keeps the pages from hearing what happens, nor its owners from waiting for their runs.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.waiting = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place, while the block lasts; 503 if there is none."""
        if self.waiting >= self._room:
            raise Problem(
                503,
                "busy",
                "too many requests wait already: come again, or ask without waiting",
                headers={"Retry-After": "1"},
            )
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


async def while_connected(request: Request, ask: Callable[[], Awaitable[T]]) -> T | None:
    """What `ask` gives; None, and it is cancelled, if the client goes away before, or the server stops."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            """The rest of the body."""

    return await _until(ask, gone, *_closing(request))


async def while_open(request: Request, ask: Callable[[], Awaitable[T]]) -> T | None:
    """The same for what reads the body of a request, and hears by itself that its client is gone."""
    return await _until(ask, *_closing(request))


def _closing(request: Request) -> list[Callable[[], Awaitable[object]]]:
    return [request.state.closing.wait] if hasattr(request.state, CLOSING) else []


async def _until(ask: Callable[[], Awaitable[T]], *ends: Callable[[], Awaitable[object]]) -> T | None:
    """What `ask` gives; None, and it is cancelled, if one of `ends` returns before."""
    answers: list[T] = []
    errors: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def watch(end: Callable[[], Awaitable[object]]) -> None:
            await end()
            group.cancel_scope.cancel()

        for end in ends:
            group.start_soon(watch, end)
        try:
            answers.append(await ask())
        except Exception as error:
            errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return answers[0] if answers else None
