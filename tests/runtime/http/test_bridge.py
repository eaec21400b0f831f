"""The bridge between a web server's loop and the engine's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import trio

from flowgen.runtime.http.bridge import Bridge, EngineClosed


class Home:
    """A trio loop in a thread of its own, as an engine has one."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.token: trio.lowlevel.TrioToken
        self._closing: trio.Event
        self._thread = threading.Thread(target=trio.run, args=(self._live,), daemon=True)
        self._thread.start()
        self.opened.wait()

    async def _live(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self._closing = trio.Event()
        self.opened.set()
        await self._closing.wait()

    def close(self) -> None:
        if self._thread.is_alive():
            self.token.run_sync_soon(self._closing.set)
            self._thread.join()


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.close()


async def answers(value: int) -> tuple[int, int]:
    await trio.lowlevel.checkpoint()
    return value, threading.get_ident()


async def raises() -> None:
    raise KeyError("culprit")


def test_a_call_is_run_on_the_engines_loop(home: Home) -> None:
    """Answers come back to whom they are for, however many cross at once."""

    async def main() -> list[tuple[int, int]]:
        bridge = Bridge(home.token)
        return await asyncio.gather(*[bridge.call(answers, value) for value in range(100)])

    found = asyncio.run(main())
    assert [value for value, _ in found] == list(range(100))
    assert threading.get_ident() not in {thread for _, thread in found}


def test_what_a_verb_raises_is_its_callers(home: Home) -> None:
    """And the loop goes on for others."""

    async def main() -> None:
        bridge = Bridge(home.token)
        with pytest.raises(KeyError, match="culprit"):
            await bridge.call(raises)
        assert (await bridge.call(answers, 1))[0] == 1

    asyncio.run(main())


def test_a_caller_that_goes_away_cancels_what_it_asked_for(home: Home) -> None:
    """A long poll whose client is gone does not go on for ever."""
    begun, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def main() -> None:
        task = asyncio.create_task(Bridge(home.token).call(endless))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(10)


def test_an_engine_that_is_closed_says_so(home: Home) -> None:
    """To whom was waiting, and to whom comes later."""
    begun = threading.Event()

    async def endless() -> None:
        begun.set()
        await trio.sleep_forever()

    async def main() -> None:
        bridge = Bridge(home.token)
        task = asyncio.create_task(bridge.call(endless))
        await asyncio.to_thread(begun.wait)
        await asyncio.to_thread(home.close)
        with pytest.raises(EngineClosed):
            await task
        for _ in range(3):
            with pytest.raises(EngineClosed):
                await bridge.call(answers, 1)

    asyncio.run(main())


async def test_at_home_a_call_is_just_a_call() -> None:
    """A server on the engine's own loop needs no crossing."""
    bridge = Bridge(trio.lowlevel.current_trio_token())
    assert await bridge.call(answers, 1) == (1, threading.get_ident())
