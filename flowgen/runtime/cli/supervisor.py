"""The supervisor of `flowgen dev`: keeps one engine process at work.

It holds the sockets, so nobody who calls while the engine is started again is refused: they wait. The engine process
is on a *leash*, a pipe that says when the supervisor is gone, however that came about; then it drains and ends.

==========================================  ==============================================================
what happens                                what it does
==========================================  ==============================================================
SIGINT, SIGTERM                             passes it on as SIGTERM, the next one as SIGUSR1 (two of the same that
                                            come fast may be one); ends when the engine has ended
the engine dies by a signal, or with 70     starts it again, unless it keeps dying as soon as it began
the engine ends otherwise                   ends with the same exit code
a source file changes (`--reload`)          imports the new code in a process of its own; if that goes well,
                                            the engine is drained and started again; else the old one goes on
==========================================  ==============================================================

A terminal's Ctrl-C reaches the engine process, too; it leaves that to the supervisor, which would else be heard twice.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs
import trio

from .faults import BAD_INPUT, BROKEN, Fault
from .output import note, printable, say
from .sources import Trial, snapshot, try_targets

if TYPE_CHECKING:
    from ..http.settings import Settings

_POLL_SECONDS = 0.2
_DRAIN_SECONDS = 12.0
_SOON_SECONDS = 5.0
_DEATHS = 3
"""So often may an engine die within `_SOON_SECONDS` of its beginning, one time after the other."""


def supervise(
    arguments: Sequence[str], watched: Sequence[str], sockets: Sequence[socket.socket], settings: Settings
) -> int:
    """Keep `flowgen ARGUMENTS` at work; reload it when the sources of the `watched` targets change.

    The answer is the exit code.
    """
    return trio.run(_Supervisor(arguments, watched, sockets, settings).run)


@attrs.frozen
class Leash:
    """What an engine process gets from its supervisor: the sockets, and the end of a pipe."""

    sockets: list[socket.socket]
    pipe: int

    @classmethod
    def read(cls, text: str) -> Leash:
        """From the numbers of its descriptors, as the supervisor wrote them."""
        pipe, *others = [int(number) for number in text.split(",")]
        return cls([socket.socket(fileno=number) for number in others], pipe)

    def heed(self) -> None:
        """From now on end when the supervisor has gone, and leave Ctrl-C to it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._wait, name="flowgen-leash", daemon=True).start()

    def _wait(self) -> None:
        os.read(self.pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)


@attrs.frozen
class _Asked:
    """A signal came."""

    number: int


@attrs.frozen
class _Ended:
    """The engine process ended."""

    code: int


@attrs.frozen
class _Changed:
    """Source files changed, and the new code was tried."""

    files: list[str]
    trial: Trial


class _Supervisor:
    def __init__(
        self,
        arguments: Sequence[str],
        watched: Sequence[str],
        sockets: Sequence[socket.socket],
        settings: Settings,
    ) -> None:
        self._arguments = arguments
        self._watched = watched
        self._sockets = sockets
        self._environment = {**os.environ, **_keys(settings)}
        self._send, self._happened = trio.open_memory_channel[_Asked | _Ended | _Changed](100)
        self._process: trio.Process | None = None
        self._signal = 0
        self._reloading = False
        self._began = 0.0
        self._deaths = 0

    async def run(self) -> int:
        """Supervise; the exit code."""
        files = await self._first_trial()
        with ExitStack() as stack:
            self._theirs = _leash(stack)
            for each in self._sockets:
                stack.callback(each.close)
            async with trio.open_nursery() as nursery:
                await nursery.start(self._hear)
                if self._watched:
                    nursery.start_soon(self._watch, files)
                nursery.start_soon(self._work)
                code = await self._decide(nursery)
                nursery.cancel_scope.cancel()
            return code

    async def _first_trial(self) -> list[str]:
        if not self._watched:
            return []
        trial = await try_targets(self._watched)
        if trial.fault is not None:
            raise Fault("target", trial.fault)
        return trial.files

    async def _decide(self, nursery: trio.Nursery) -> int:
        """What to do about each thing that happens, until the answer is an exit code."""
        async for event in self._happened:
            match event:
                case _Asked(number):
                    insists, self._signal = self._signal != 0, number
                    if self._process is None:
                        return 0
                    self._process.send_signal(signal.SIGUSR1 if insists else signal.SIGTERM)
                case _Changed() if not self._signal:
                    self._reload(event, nursery)
                case _Ended(code):
                    self._process = None
                    answer = self._after(code)
                    if answer is not None:
                        return answer
                    if self._reloading or code != BAD_INPUT:
                        self._reloading = False
                        nursery.start_soon(self._work)
        raise AssertionError("the channel stays open")

    def _after(self, code: int) -> int | None:
        """The exit code once the engine has ended; None to go on."""
        if self._signal:
            insisted = code in (128 + signal.SIGTERM, 128 + signal.SIGUSR1)
            return 128 + self._signal if insisted else _exit_code(code)
        if self._reloading:
            return None
        if code == BAD_INPUT and self._watched:
            note("flowgen: waiting for a change of the code")
            return None
        if code >= 0 and code != BROKEN:
            return code
        self._deaths = self._deaths + 1 if trio.current_time() - self._began < _SOON_SECONDS else 1
        how = f"with exit code {code}" if code >= 0 else f"by signal {-code} ({signal.Signals(-code).name})"
        if self._deaths >= _DEATHS:
            note(f"flowgen: the engine ended {how}, again as soon as it began: it is not started again")
            return BROKEN
        note(f"flowgen: the engine ended {how}; it is started again, and its runs go on when their leases have run out")
        return None

    def _reload(self, changed: _Changed, nursery: trio.Nursery) -> None:
        files = ", ".join(changed.files)
        if changed.trial.fault is not None:
            state = "the old code stays at work" if self._process is not None else "waiting for a change"
            note(f"flowgen: {printable(changed.trial.fault)}; {state}")
            return
        say(f"reload     {printable(files)} changed")
        if self._process is None:
            nursery.start_soon(self._work)
        elif not self._reloading:
            self._reloading = True
            nursery.start_soon(self._drain, self._process)

    # -- what happens -------------------------------------------------------------------------------

    async def _work(self) -> None:
        """The engine process, from its beginning to its end."""
        numbers = [self._theirs, *[each.fileno() for each in self._sockets]]
        command = [sys.executable, "-m", "flowgen", *self._arguments]
        command += ["--supervised", ",".join(str(number) for number in numbers)]
        self._began = trio.current_time()
        process = await trio.lowlevel.open_process(command, pass_fds=numbers, env=self._environment)
        self._process = process
        if self._signal:
            process.send_signal(signal.SIGTERM)
        await self._send.send(_Ended(await process.wait()))

    async def _drain(self, process: trio.Process) -> None:
        """Let it give its runs back without a word; insist when that takes too long."""
        process.send_signal(signal.SIGUSR1)
        with trio.move_on_after(_DRAIN_SECONDS):
            await process.wait()
            return
        process.send_signal(signal.SIGTERM)

    async def _hear(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                await self._send.send(_Asked(number))

    async def _watch(self, files: list[str]) -> None:
        """Look at the source files; when some have changed and rest again, try the new code."""
        seen = snapshot(files)
        while True:
            await trio.sleep(_POLL_SECONDS)
            now = snapshot(files)
            if now == seen:
                continue
            await trio.sleep(_POLL_SECONDS)
            if snapshot(files) != now:
                continue
            changed = [file for file in files if now[file] != seen[file]]
            trial = await try_targets(self._watched)
            files = sorted({*files, *trial.files}) if trial.fault is not None else trial.files
            seen = {**snapshot(files), **{file: now[file] for file in files if file in now}}
            await self._send.send(_Changed(changed, trial))


def _leash(stack: ExitStack) -> int:
    """The end of a pipe whose other end is closed when this process ends."""
    theirs, ours = os.pipe()
    stack.callback(os.close, ours)
    stack.callback(os.close, theirs)
    return theirs


def _keys(settings: Settings) -> dict[str, str]:
    """The tokens go by the environment: whoever may list processes sees their arguments."""
    return {"FLOWGEN_AUTH_TOKEN": ",".join(settings.auth_tokens)} if settings.auth_tokens else {}


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code
