"""A small pool of threads for sync step bodies.

`trio.to_thread.run_sync` costs about 100 µs a call and does not get cheaper with concurrency. What costs is not the
call but that threads take the interpreter's lock from each other: the loop drops it for each wake-up, and gets it
back from a busy thread only after the switch interval. So here both sides work in bursts:

* The jobs of one turn of the loop are handed over at its end, when the loop is about to wait anyway.
* If by the pace of the last bodies all will be done sooner than the loop could be put to sleep and be woken, it stands
  still until they are: for a moment at most, and the more rarely the more often that was in vain. So runs that go on
  together stay together: else the loop would commit the results of some while the thread has the bodies of the others,
  in turns and for good, with twice as many commits. (Beside a thread that never lets go of the interpreter's lock the
  moment is a switch interval longer; pools of several engines in one loop wait one after the other.)
* While bodies are short, one thread does them all, one after the other. More are called when a body of late was not
  short, or when jobs wait and none is finished for a moment: then the threads that are there are blocked.
* The loop takes results whenever it turns. It is woken only if it sleeps, and then once for a burst: when nothing
  is left to do, or when bodies are not short. A result that is stuck behind a body that blocks waits for the moment
  after which that is noticed.

A caller that is cancelled *abandons* its thread: nobody can stop a thread in Python, so the body may
go on, but its result is dropped and it no longer counts against the limit. Threads start only when
none is idle, and end when the pool is closed.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final

import attrs
import trio

log = logging.getLogger("flowgen")

_FEW: Final = 4
"""So many threads start before any was found to be blocked."""

_SHORT: Final = 0.0002
"""Seconds: a body that takes longer is better not waited for."""

_SOON: Final = 0.0001
"""Seconds in which all bodies have to be done, by their pace, for the loop to stand still until they are."""

_MOMENT: Final = 0.0005
"""Seconds that it stands still at most."""

_RARELY: Final = 256
"""So many bodies have to be done before it tries again, at most."""

_STUCK: Final = 0.002
"""Seconds without any result after which the threads count as blocked."""

_WEIGHT: Final = 0.2


@attrs.define(eq=False)
class Job:
    """One call. `cancelled` is set when its caller has gone: the body may look (`step_info().cancelled`).

    `begins` is called in the loop when a thread takes the job, which may have waited for one.
    """

    function: Callable[[], Any]
    context: contextvars.Context
    begins: Callable[[], object] | None = None
    task: trio.lowlevel.Task | None = None
    value: Any = None
    error: BaseException | None = None
    blocked: bool = False
    cancelled: bool = False


class ThreadPool:
    """At most `limit` threads that work, plus those that were abandoned."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._token = trio.lowlevel.current_trio_token()
        self._turns: _Turns | None = None
        self._collected: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._finished: deque[Job] = deque()
        self._idle: list[threading.Lock] = []
        self._lock = threading.Lock()
        self._threads = 0
        self._blocked = 0
        self._done = 0
        self._pace = 0.0
        self._asleep = False
        self._awaited: threading.Lock | None = None
        self._stands_at = 0
        self._tries_after = 1
        self._watched = self._refused = self._closed = False
        self.abandoned = 0

    async def run(self, job: Job) -> Any:
        """Call `job.function` in a thread and give what it returned, or raise what it raised."""
        if self._turns is None:
            self._turns = _Turns(self)
            trio.lowlevel.add_instrument(self._turns)
        job.task = trio.lowlevel.current_task()
        if self._collected or self._waiting or self._running:
            self._begin_to_watch()
        self._collected.append(job)

        def abandon(_: Any) -> trio.lowlevel.Abort:
            with self._lock:
                job.cancelled = True
                if job in self._running:
                    self.abandoned += 1
                    self._block(job)
            self._call_threads(self._limit)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abandon)
        if job.error is not None:
            raise job.error
        return job.value

    def close(self) -> None:
        """Let idle threads end, and busy ones when their body does. Nobody waits for them."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for parked in idle:
            parked.release()
        if self._turns is not None:
            trio.lowlevel.remove_instrument(self._turns)

    # -- at the turns of the loop -------------------------------------------------------------------

    def turn_ends(self, timeout: float) -> None:
        """The loop is going to wait: hand over what it collected. From here on it must be woken."""
        if self._collected:
            collected, self._collected = self._collected, []
            with self._lock:
                self._waiting.extend(collected)
            self._call_threads(_FEW)
            self._stand_still()
        if timeout > 0:
            self._asleep = True
            if self._finished:
                self._wake()

    def _stand_still(self) -> None:
        """Until a thread finds nothing more to do, if that is soon."""
        over = threading.Lock()
        over.acquire()
        with self._lock:
            jobs = len(self._waiting) + len(self._running) - self._blocked
            if jobs <= 0 or jobs * self._pace > _SOON or self._done < self._stands_at:
                return
            self._awaited = over
        if over.acquire(timeout=_MOMENT):
            self._tries_after = max(1, self._tries_after // 2)
            return
        with self._lock:
            self._awaited, self._stands_at = None, self._done + self._tries_after
        self._tries_after = min(2 * self._tries_after, _RARELY)

    def turn_begins(self) -> None:
        """The loop is awake: take what is finished."""
        self._asleep = False
        while self._finished:
            job = self._finished.popleft()
            if not job.cancelled:
                assert job.task is not None
                trio.lowlevel.reschedule(job.task)

    def _begin_to_watch(self) -> None:
        if not self._watched:
            self._watched = True
            trio.lowlevel.spawn_system_task(self._watch)

    async def _watch(self) -> None:
        """While jobs wait: if none was finished for a moment, the threads are blocked, and more are needed."""
        while (self._collected or self._waiting or self._finished) and not self._closed:
            done = self._done
            await trio.sleep(_STUCK)
            if done == self._done:
                with self._lock:
                    for job in self._running:
                        self._block(job)
                self._call_threads(self._limit)
        self._watched = False

    def _block(self, job: Job) -> None:
        """Do not count on the thread of `job`. The lock is held."""
        if not job.blocked:
            job.blocked = True
            self._blocked += 1

    def _call_threads(self, limit: int) -> None:
        """Call as many threads as the waiting jobs need; start some if too few idle and fewer than `limit` work."""
        with self._lock:
            called = self._threads - len(self._idle)
            wanted = len(self._waiting) - (called - len(self._running))
            if self._pace < _SHORT:
                wanted = min(wanted, 1 - (called - self._blocked))
            idle = [self._idle.pop() for _ in range(min(wanted, len(self._idle)))]
            new = max(0, min(wanted - len(idle), limit - (self._threads - self.abandoned)))
            self._threads += new
        for parked in idle:
            parked.release()
        for _ in range(new):
            self._start()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="flowgen-step", daemon=True).start()
            self._refused = False
        except RuntimeError as error:  # the system has no more: those that are there go on, and it is asked again
            if not self._refused:
                log.warning("no thread could be started for a step: %s", error)
            self._refused = True
            with self._lock:
                self._threads -= 1
            self.soon(self._begin_to_watch)

    # -- in the threads -----------------------------------------------------------------------------

    def _work(self) -> None:
        parked = threading.Lock()
        parked.acquire()
        while (job := self._next(parked)) is not None:
            if job.begins is not None:
                self.soon(job.begins)
            began = perf_counter()
            try:
                job.value = job.context.run(job.function)
            except BaseException as error:
                job.error = error
            self._finish(job, perf_counter() - began)

    def _next(self, parked: threading.Lock) -> Job | None:
        """A job to do, when there is one; None if the pool is closed."""
        while True:
            with self._lock:
                if self._closed:
                    self._threads -= 1
                    return None
                while self._waiting:
                    job = self._waiting.popleft()
                    if not job.cancelled:
                        self._running.add(job)
                        return job
                self._idle.append(parked)
                if self._awaited is not None:
                    self._awaited.release()
                    self._awaited = None
            if self._finished and self._asleep:
                self._wake()
            parked.acquire()

    def _finish(self, job: Job, seconds: float) -> None:
        with self._lock:
            self._running.discard(job)
            self._blocked -= job.blocked
            self._done += 1
            self._pace += _WEIGHT * (min(seconds, _STUCK) - self._pace)
            if job.cancelled:
                self.abandoned -= 1
                return
            self._finished.append(job)
        if self._asleep and self._pace > _SHORT:
            self._wake()

    def _wake(self) -> None:
        self._asleep = False
        self.soon(_nothing)

    def soon(self, function: Callable[[], object]) -> None:
        """Call it in the loop, from any thread."""
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            """The loop is gone, and with it whoever waited."""


class _Turns(trio.abc.Instrument):
    """Tells a pool when the loop is going to wait, and when it has waited.

    What a signal handler raises in here is raised by the loop: trio takes an instrument away that raises, and then no
    step would ever get a thread again.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool

    def before_io_wait(self, timeout: float) -> None:
        try:
            self._pool.turn_ends(timeout)
        except BaseException as error:
            self._pool.soon(partial(_raise, error))

    def after_io_wait(self, timeout: float) -> None:
        try:
            self._pool.turn_begins()
        except BaseException as error:
            self._pool.soon(partial(_raise, error))


def _nothing() -> None:
    """The loop turns for it, that is all."""


def _raise(error: BaseException) -> None:
    raise error
