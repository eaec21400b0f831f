"""The pool of threads: bursts, bodies that block beside short ones, callers that go away."""

from __future__ import annotations

import contextvars
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import sleep
from typing import Any

import pytest
import trio
import trio.testing

from flowgen.runtime import threads as threads_module
from flowgen.runtime.threads import Job, ThreadPool


@asynccontextmanager
async def a_pool(limit: int = 64) -> AsyncIterator[ThreadPool]:
    """A pool, closed afterwards; whoever uses it hangs for ten seconds at most."""
    pool = ThreadPool(limit)
    try:
        with trio.fail_after(50):
            yield pool
    finally:
        pool.close()


class _Watched:
    """`threading`, and a record of each time-out with which a lock of it was asked for."""

    def __init__(self, asked: list[float | None]) -> None:
        self._asked = asked

    def Lock(self) -> Any:
        return _WatchedLock(self._asked)

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


class _WatchedLock:
    def __init__(self, asked: list[float | None]) -> None:
        self._asked = asked
        self._lock = threading.Lock()

    def acquire(self, timeout: float = -1) -> bool:
        if timeout >= 0:
            self._asked.append(timeout)
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def job(function: Callable[[], Any], begins: Callable[[], object] | None = None) -> Job:
    return Job(function, contextvars.copy_context(), begins)


async def test_a_call_comes_back() -> None:
    """What a function returns or raises is what `run` does; it ran in another thread."""
    async with a_pool() as pool:
        assert await pool.run(job(threading.get_ident)) != threading.get_ident()
        with pytest.raises(SystemExit):
            await pool.run(job(lambda: exit(3)))
        assert await pool.run(job(lambda: 7)) == 7


async def test_short_bodies_of_one_turn_need_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred short calls at once are done by one thread, which is used again for the next hundred."""
    for name in ("_SHORT", "_STUCK"):  # however slow this machine is just now, they are short
        monkeypatch.setattr(threads_module, name, 60.0)
    threads: set[int] = set()
    async with a_pool() as pool:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(pool.run, job(lambda: threads.add(threading.get_ident())))
    assert len(threads) == 1


async def test_results_of_short_bodies_come_in_the_turn_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many turns the loop makes meanwhile: it stands still for those who are done within a moment."""
    for name in ("_SHORT", "_SOON", "_MOMENT", "_STUCK"):  # however slow this machine is just now
        monkeypatch.setattr(threads_module, name, 60.0)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async def run() -> None:
        for _ in range(10):
            begun = turns
            await pool.run(job(lambda: sleep(0.001)))
            assert turns - begun <= 2

    async with a_pool() as pool, trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        async with trio.open_nursery() as runs:
            for _ in range(5):
                runs.start_soon(run)
        nursery.cancel_scope.cancel()


async def test_the_loop_goes_on_beside_a_body_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still for a moment at most, and not again before a body has ended."""
    stood: list[float | None] = []
    monkeypatch.setattr(threads_module, "threading", _Watched(stood))
    gates = [threading.Event() for _ in range(20)]

    async def run(gate: threading.Event) -> None:
        assert await pool.run(job(lambda: gate.wait(40)))

    async with a_pool() as pool, trio.open_nursery() as nursery:
        for gate in gates:
            nursery.start_soon(run, gate)
            await trio.testing.wait_all_tasks_blocked()
        assert stood == [threads_module._MOMENT]
        for gate in gates:
            gate.set()


async def test_the_loop_stands_still_more_and_more_rarely_if_it_is_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 1, 2, 4, 8 … more bodies."""
    stood: list[float | None] = []
    monkeypatch.setattr(threads_module, "threading", _Watched(stood))
    monkeypatch.setattr(threads_module, "_SOON", 60.0)
    stood_at = []
    async with a_pool() as pool:
        for number in range(40):
            gate = threading.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.run, job(gate.wait))
                await trio.testing.wait_all_tasks_blocked()
                gate.set()
            stood_at += [number] * len(stood)
            stood.clear()
        assert stood_at == [0, 1, 3, 7, 15, 31]
        assert pool._tries_after == 64
        monkeypatch.setattr(threads_module, "_MOMENT", 60.0)
        while pool._tries_after > 1:
            await pool.run(job(lambda: None))


async def test_the_loop_does_not_stand_still_for_long_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when bodies of late took long, nor when there are many of them, those of turns before included."""
    stood: list[float | None] = []
    monkeypatch.setattr(threads_module, "threading", _Watched(stood))
    monkeypatch.setattr(threads_module, "_STUCK", 60.0)
    async with a_pool() as pool:
        pool._pace = threads_module._SOON / 10
        gate = threading.Event()
        async with trio.open_nursery() as nursery:
            for bodies in (11, 1, 1):
                for _ in range(bodies):
                    nursery.start_soon(pool.run, job(gate.wait))
                await trio.testing.wait_all_tasks_blocked()
            assert not stood
            gate.set()
        await pool.run(job(lambda: sleep(0.01)))
        stood.clear()
        for _ in range(2):
            await pool.run(job(lambda: sleep(0.01)))
        assert not stood


def test_what_a_signal_handler_raises_while_the_loop_stands_still_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the loop, as it does wherever else it comes between; else no step would ever get a thread again."""
    monkeypatch.setattr(threads_module, "_MOMENT", 60.0)
    gate = threading.Event()

    class Alarm(Exception):
        pass

    def alarm(*_: object) -> None:
        raise Alarm

    def body() -> None:
        signal.pthread_kill(main_thread, signal.SIGUSR1)
        gate.wait(40)

    async def main() -> None:
        async with a_pool() as pool:
            await pool.run(job(body))

    main_thread = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, alarm)
    try:
        with pytest.raises((Alarm, trio.TrioInternalError)):
            trio.run(main)
    finally:
        signal.signal(signal.SIGUSR1, before)
        gate.set()


async def test_a_thread_that_cannot_be_started_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Though nothing else is in hand; it is told once."""
    refusals = iter([True] * 3 + [False] * 9)
    start = threading.Thread.start

    def started(thread: threading.Thread) -> None:
        if thread.name.startswith("flowgen-step") and next(refusals):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", started)
    async with a_pool() as pool:
        assert await pool.run(job(lambda: 7)) == 7
    assert [record.getMessage() for record in caplog.records] == [
        "no thread could be started for a step: can't start new thread"
    ]


async def test_blocked_bodies_starve_nobody() -> None:
    """Bodies that wait for one another all get a thread, up to the limit, and short ones go on beside them."""
    meeting = threading.Barrier(20)
    async with a_pool(limit=21) as pool, trio.open_nursery() as nursery:
        for _ in range(19):
            nursery.start_soon(pool.run, job(meeting.wait))
        for _ in range(100):
            await pool.run(job(lambda: None))
        assert meeting.n_waiting == 19
        nursery.start_soon(pool.run, job(meeting.wait))


async def test_a_result_does_not_wait_for_the_next_body() -> None:
    """One thread does one job after the other; when one blocks, the results before it come all the same."""
    held, gate = threading.Event(), threading.Event()
    came: list[int] = []

    async def run(number: int) -> None:
        await pool.run(job(lambda: None))
        came.append(number)
        if len(came) == 20:
            gate.set()

    async with a_pool(limit=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.run, job(held.wait))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(20):
            nursery.start_soon(run, number)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.run, job(gate.wait))
        await trio.testing.wait_all_tasks_blocked()
        held.set()
    assert sorted(came) == list(range(20))


async def test_no_more_threads_than_the_limit() -> None:
    """With two threads, ten bodies that meet in pairs are never three at once."""
    meeting, lock = threading.Barrier(2), threading.Lock()
    inside: list[int] = [0, 0]

    def body() -> None:
        with lock:
            inside[0] += 1
            inside[1] = max(inside)
        meeting.wait()
        with lock:
            inside[0] -= 1

    async with a_pool(limit=2) as pool, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(pool.run, job(body))
    assert inside == [0, 2]


async def test_an_abandoned_body_holds_no_place() -> None:
    """A caller that is cancelled leaves at once; its thread counts as abandoned until the body ends."""
    gate = threading.Event()
    began, left = trio.Event(), job(gate.wait)
    left.begins = began.set
    async with a_pool(limit=1) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.run, left)
            await began.wait()
            nursery.cancel_scope.cancel()
        assert left.cancelled
        assert pool.abandoned == 1
        assert await pool.run(job(lambda: "next")) == "next"
        gate.set()
        while pool.abandoned:
            await pool.run(job(lambda: None))


async def test_a_job_whose_caller_has_gone_is_not_done() -> None:
    """A job that still waits for a thread when its caller is cancelled never begins."""
    gate = threading.Event()
    done: list[str] = []
    async with a_pool(limit=1) as pool:
        async with trio.open_nursery() as outer:
            outer.start_soon(pool.run, job(gate.wait))
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.run, job(lambda: done.append("left")))
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            gate.set()
        await pool.run(job(lambda: done.append("stayed")))
    assert done == ["stayed"]


async def test_a_closed_pool_lets_its_threads_end() -> None:
    """Idle threads end when the pool is closed."""
    threads: list[threading.Thread] = []
    async with a_pool() as pool:
        await pool.run(job(lambda: threads.append(threading.current_thread())))
    await trio.to_thread.run_sync(threads[0].join)
