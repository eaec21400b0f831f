"""The heartbeat: extends the leases of runs in hand, from a thread of its own.

A step that blocks the event loop must not expire every lease, so extending needs neither the loop nor
its connection. The same thread is the watchdog of the loop:

* the loop has not turned for lease/2: log the stack and the run that holds it, go on extending the
  others, stop extending the culprit;
* past `spin_limit`: raise `BodySpins` in the loop's thread while a body holds it; that run fails alone;
* a loop that is blocked in C code, which no exception reaches: after `3 × spin_limit` the process ends
  with exit code `EXIT_BLOCKED`, so that its leases run out and others go on.

Who holds the loop is read from the stack of its thread, so driving a run costs nothing for it. How long it has been
held counts from when it was asked to turn, and time in which the process as a whole stood still (SIGSTOP, a machine
that sleeps) does not count: nobody held the loop then.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import CodeType, FrameType

import trio

from ..errors import BodySpins, StoreError
from ..fibers import Fibers
from .beginnings import Beginnings
from .drive import Drive
from .executor import Executor
from .offers import RunKey
from .store import Extended, Extender, Lease
from .worker import Worker

log = logging.getLogger("flowgen")

EXIT_BLOCKED = 70
"""The exit code of a process whose loop is blocked in C code for good (`EX_SOFTWARE`)."""


class Heartbeat:
    """Extends a worker's leases each quarter of their length, until it is stopped."""

    def __init__(
        self, worker: Worker, extender: Extender, spin_limit: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker = worker
        self._extender = extender
        self._interval = worker.lease / 4 / 1_000_000
        self._spin_limit = spin_limit
        self._token = trio.lowlevel.current_trio_token()
        self._loop_thread = threading.get_ident()
        self._clock = clock
        self._asked = False
        self._asked_at = clock()
        self._raised_at: float | None = None
        self._reported = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flowgen-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Stop, and close the extender's connection."""
        self._stopped.set()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._rest():
                self._ask_loop()
                culprit = self._watch()
                self._extend(culprit)
        finally:
            self._extender.close()

    def _rest(self) -> bool:
        """Wait until the next look; whether there is none."""
        pause = min(self._interval, self._spin_limit / 4)
        begun, worked = self._clock(), time.process_time()
        stopped = self._stopped.wait(pause)
        self._excuse(self._clock() - begun - pause, time.process_time() - worked)
        return stopped

    def _excuse(self, late: float, worked: float) -> None:
        """This thread came so many seconds late, in which the process has worked for so many: if it has not, it stood
        still, and the loop with it."""
        if late > self._interval and worked < late / 2:
            self._asked_at += late

    def _ask_loop(self) -> None:
        if self._asked:
            return
        self._asked_at = self._clock()
        self._asked = True
        try:
            self._token.run_sync_soon(self._loop_turns)
        except trio.RunFinishedError:
            self._stopped.set()

    def _loop_turns(self) -> None:
        """Called in the loop."""
        self._asked = False
        self._reported = False
        self._raised_at = None

    def _extend(self, culprit: RunKey | None) -> None:
        leases = [lease for key, lease in tuple(self._worker.leases.items()) if key != culprit]
        asked = self._worker.environment.asks()
        try:
            extended = self._extender.extend(self._worker.id, leases, self._worker.lease)
        except StoreError as error:
            log.warning("leases could not be extended, trying again: %s", error)
            return
        try:
            self._token.run_sync_soon(self._tell, leases, extended, asked)
        except trio.RunFinishedError:
            self._stopped.set()

    def _tell(self, leases: list[Lease], extended: Extended, asked: float) -> None:
        self._worker.extended(leases, extended, asked)

    # -- the watchdog -----------------------------------------------------------------------------

    def _watch(self) -> RunKey | None:
        """The run whose body holds the loop for too long, if one does."""
        still = self._clock() - self._asked_at
        if not self._asked or still < self._interval * 2:
            return None
        frame = sys._current_frames().get(self._loop_thread)
        culprit = _culprit(frame)
        name = f"run {culprit[1]}" if culprit is not None else "something outside of any run"
        if not self._reported:
            self._reported = True
            stack = "".join(traceback.format_stack(frame, limit=20)) if frame is not None else ""
            log.error("the event loop has not turned for %.1f s: %s holds it\n%s", still, name, stack)
        if culprit is not None and still > self._spin_limit:
            self._interrupt(still, name)
        return culprit

    def _interrupt(self, still: float, name: str) -> None:
        if self._raised_at is None:
            self._raised_at = self._clock()
            log.error("%s has held the loop for %.1f s: BodySpins is raised in it", name, still)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._loop_thread), ctypes.py_object(BodySpins))
        elif self._clock() - self._raised_at > 2 * self._spin_limit:
            log.critical("%s blocks the loop in C code: the process ends with code %d", name, EXIT_BLOCKED)
            os._exit(EXIT_BLOCKED)


_BODY_CODE: frozenset[CodeType] = frozenset({Fibers._resume.__code__, Executor.run.__code__})
_DRIVE_CODE: frozenset[CodeType] = frozenset({Drive._loop.__code__, Drive._body.__code__, Beginnings._advance.__code__})


def _culprit(frame: FrameType | None) -> RunKey | None:
    """The run whose body a stack is inside of: below a body's frame there is its drive's."""
    inside = False
    while frame is not None:
        if frame.f_code in _BODY_CODE:
            inside = True
        elif inside and frame.f_code in _DRIVE_CODE:
            row = frame.f_locals["self"].owned.row
            return (row.app, row.id)
        frame = frame.f_back
    return None
