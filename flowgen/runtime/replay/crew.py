"""The processes that replay recorded runs, as many as there are processors.

A process imports the target for itself and answers for one reference after the other. So a body that spins, or ends
its process, costs one run a bad verdict, and the process is replaced, if that does not happen all the time. With
`perturb` each run is replayed twice, the second time by a process with another hash seed and another clock.

Answers come in the order of the references, whichever process was first. Memory is bounded: no more than a few
chunks of references are under way.

Refuses to know what a reference means and what a process does with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import IO

import attrs
import msgspec
import trio

from ...errors import InvalidInput
from .answers import Answer, Begin, compared, died
from .perturbation import SHIFT
from .sources import Ref

CHUNK = 32
"""So many runs are given to a process at once."""

PATIENCE = 60.0
"""Seconds that the replay of one run may take."""

DEATHS = 3
"""A process that was replaced so often is not replaced again."""

_WINDOW = 4
_PIECE = 65_536


@attrs.frozen
class Crew:
    """What the processes are: `command` starts one, `begin` is told to each, and there are at most `jobs` of them."""

    command: tuple[str, ...]
    begin: Begin
    jobs: int
    perturb: bool = False
    patience: float = PATIENCE

    async def answer(self, refs: AsyncGenerator[Ref, None], tell: Callable[[Answer], None]) -> None:
        """Have all runs judged and told. Raises `InvalidInput` if a process cannot even begin."""
        order = _Order(tell, self.jobs * _WINDOW)
        send, receive = trio.open_memory_channel[tuple[int, list[Ref]]](0)
        async with trio.open_nursery() as nursery:
            for _ in range(self.jobs):
                nursery.start_soon(self._work, receive.clone(), order)
            receive.close()
            async with send, aclosing(refs), aclosing(_chunks(refs)) as chunks:
                number = 0
                async for chunk in chunks:
                    await order.room()
                    await send.send((number, chunk))
                    number += 1

    async def _work(self, chunks: trio.MemoryReceiveChannel[tuple[int, list[Ref]]], order: _Order) -> None:
        plain = _Process(self.command, self.begin, "1", self.patience)
        other = _Process(self.command, msgspec.structs.replace(self.begin, shift=SHIFT), "2", self.patience)
        try:
            async with chunks:
                async for number, refs in chunks:
                    if not self.perturb:
                        order.done(number, await plain.answer(refs))
                        continue
                    answers: dict[_Process, list[Answer]] = {}
                    async with trio.open_nursery() as nursery:
                        for process in (plain, other):
                            nursery.start_soon(_keep, process, refs, answers)
                    both = zip(answers[plain], answers[other], strict=True)
                    order.done(number, [compared(one, another) for one, another in both])
        finally:
            await plain.end()
            await other.end()


async def _keep(process: _Process, refs: list[Ref], answers: dict[_Process, list[Answer]]) -> None:
    answers[process] = await process.answer(refs)


async def _chunks(refs: AsyncGenerator[Ref, None]) -> AsyncGenerator[list[Ref], None]:
    chunk: list[Ref] = []
    async for ref in refs:
        chunk.append(ref)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Order:
    """Tells what was done in the order in which it was given out."""

    def __init__(self, tell: Callable[[Answer], None], window: int) -> None:
        self._tell = tell
        self._room = trio.Semaphore(window)
        self._next = 0
        self._done: dict[int, Sequence[Answer]] = {}

    async def room(self) -> None:
        """Wait until not too much is under way."""
        await self._room.acquire()

    def done(self, number: int, answers: Sequence[Answer]) -> None:
        self._done[number] = answers
        while (ready := self._done.pop(self._next, None)) is not None:
            for answer in ready:
                self._tell(answer)
            self._next += 1
            self._room.release()


class _Over(Exception):
    """The process has ended, or was ended because it took too long."""


class _Process:
    """A process that replays. It is started when there is something to do, and again when it has died."""

    def __init__(self, command: tuple[str, ...], begin: Begin, hash_seed: str, patience: float) -> None:
        self._command = command
        self._begin = begin
        self._environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        self._patience = patience
        self._process: trio.Process | None = None
        self._read = b""
        self._deaths = 0

    async def answer(self, refs: Sequence[Ref]) -> list[Answer]:
        """The answers for these references, in their order."""
        answers: list[Answer] = []
        while len(answers) < len(refs):
            left = refs[len(answers) :]
            process = self._process or await self._start()
            try:
                await self._say(process, b"".join(msgspec.json.encode(ref) + b"\n" for ref in left))
                for _ in left:
                    answers.append(msgspec.json.decode(await self._line(process), type=Answer))
            except _Over as over:
                answers.append(died(refs[len(answers)], str(over)))
                await self.end()
                self._deaths += 1
                if self._deaths == DEATHS:
                    raise InvalidInput(f"{DEATHS} replays did not come to an end; the last one {over}") from over
        return answers

    async def _start(self) -> trio.Process:
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        with errors:
            process = await trio.lowlevel.open_process(
                list(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment,
            )
            self._process, self._read = process, b""
            try:
                await self._say(process, msgspec.json.encode(self._begin) + b"\n")
                await self._line(process)
            except _Over as over:
                await self.end()
                raise InvalidInput(f"a process that replays {over} before it began: {_last_line(errors)}") from over
        return process

    async def _say(self, process: trio.Process, data: bytes) -> None:
        assert process.stdin is not None
        try:
            await process.stdin.send_all(data)
        except trio.BrokenResourceError as error:
            raise _Over(_how_it_ended(await process.wait())) from error

    async def _line(self, process: trio.Process) -> bytes:
        assert process.stdout is not None
        with trio.move_on_after(self._patience):
            while b"\n" not in self._read:
                piece = await process.stdout.receive_some(_PIECE)
                if not piece:
                    raise _Over(_how_it_ended(await process.wait()))
                self._read += piece
            line, _, self._read = self._read.partition(b"\n")
            return line
        raise _Over(f"took longer than {self._patience:g} seconds")

    async def end(self) -> None:
        """End it where it stands: it has nothing that could be lost."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended its process with exit code {code}"
    with suppress(ValueError):
        return f"ended its process by {signal.Signals(-code).name}"
    return f"ended its process by signal {-code}"


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
