"""A small pool of threads for sync step bodies.

`trio.to_thread.run_sync` costs about 100 µs a call and does not get cheaper with concurrency. Here all
threads share one queue, and a burst of results wakes the loop once, which costs a tenth. A few threads do
many short bodies faster than many do; more start only while jobs wait and none is finished: then those that
are there are blocked.

A caller that is cancelled *abandons* its thread: nobody can stop a thread in Python, so the body may
go on, but its result is dropped and it no longer counts against the limit. Threads start only when
none is idle, and end when the pool is closed.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import trio


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
    running: bool = False
    cancelled: bool = False


log = logging.getLogger("flowgen")

_FEW = 4
_STUCK_SECONDS = 0.002


class ThreadPool:
    """At most `limit` threads that work, plus those that were abandoned."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._token = trio.lowlevel.current_trio_token()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._finished: deque[Job] = deque()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._waking = False
        self._watched = False
        self._done = 0
        self._closed = False
        self.abandoned = 0

    async def run(self, job: Job) -> Any:
        """Call `job.function` in a thread and give what it returned, or raise what it raised."""
        job.task = trio.lowlevel.current_task()
        self._jobs.put(job)
        self._start_if_needed(_FEW)
        if not self._watched and self._jobs.qsize() > self._idle:
            self._watched = True
            trio.lowlevel.spawn_system_task(self._watch)

        def abandon(_: Any) -> trio.lowlevel.Abort:
            with self._lock:
                job.cancelled = True
                if job.running:
                    self.abandoned += 1
            self._start_if_needed(self._limit)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abandon)
        if job.error is not None:
            raise job.error
        return job.value

    async def _watch(self) -> None:
        """While jobs wait: if none was finished for a moment, the threads are blocked, and more are needed."""
        while self._jobs.qsize() and not self._closed:
            done = self._done
            await trio.sleep(_STUCK_SECONDS)
            if done == self._done:
                for _ in range(self._jobs.qsize()):
                    self._start_if_needed(self._limit)
        self._watched = False

    def _start_if_needed(self, limit: int) -> None:
        """Start a thread if a job waits that no idle one will take, and there are fewer than `limit` at work."""
        with self._lock:
            start = self._idle < self._jobs.qsize() and self._threads - self.abandoned < limit
            if start:
                self._threads += 1
        if not start:
            return
        try:
            threading.Thread(target=self._work, name="flowgen-step", daemon=True).start()
        except RuntimeError as error:  # the system has no more threads: those that are there go on
            log.warning("no thread could be started for a step: %s", error)
            with self._lock:
                self._threads -= 1

    def close(self) -> None:
        """Let idle threads end, and busy ones when their body does. Nobody waits for them."""
        with self._lock:
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
                if job is None or self._closed:
                    self._threads -= 1
                    return
                if job.cancelled:
                    continue
                job.running = True
            if job.begins is not None:
                self._soon(job.begins)
            try:
                job.value = job.context.run(job.function)
            except BaseException as error:
                job.error = error
            self._finish(job)

    def _finish(self, job: Job) -> None:
        with self._lock:
            job.running = False
            self._done += 1
            if job.cancelled:
                self.abandoned -= 1
                return
            self._finished.append(job)
            wake = not self._waking
            self._waking = True
        if wake:
            self._soon(self._collect)

    def _soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            """The loop is gone, and with it whoever waited."""

    def _collect(self) -> None:
        with self._lock:
            self._waking = False
            finished = list(self._finished)
            self._finished.clear()
        for job in finished:
            if not job.cancelled:
                assert job.task is not None
                trio.lowlevel.reschedule(job.task)
