"""A process that replays recorded runs for `flowgen check`: `python -m flowgen.runtime.cli.check_worker`.

Its first line of input is a `Begin`, each further one a reference; it answers a line each. What the target and the
bodies print must not get among the answers: they go out through a descriptor that nobody else has.

It is ended by the end of its input, or killed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import IO

import msgspec
import trio

from ...app import App
from ...errors import StoreError, UndecodableError
from ...history import Started
from ...runs import RunRow
from ...verdicts import Breaks, Judgement, RecordedRun, damaged, judge
from ..replay.answers import Answer, Begin, answer_of
from ..replay.perturbation import shift_clock
from ..replay.sources import Ref, Source, open_source
from ..serving.recall import is_of_elsewhere, replay_body, replay_in_time
from ..store import DamagedRun
from .target import load_app

_DAMAGE = (DamagedRun, UndecodableError, msgspec.MsgspecError, ValueError, TypeError, KeyError)


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    begin = msgspec.json.decode(sys.stdin.buffer.readline(), type=Begin)
    if begin.shift:
        shift_clock(begin.shift)
    trio.run(_work, load_app(begin.target), begin, answers)


async def _work(app: App, begin: Begin, answers: IO[bytes]) -> None:
    source = await open_source(begin.against)
    try:
        answers.write(b"{}\n")
        for line in sys.stdin.buffer:
            answer = await _answer(app, begin, source, tuple(msgspec.json.decode(line)))
            answers.write(msgspec.json.encode(answer) + b"\n")
    finally:
        await source.close()


async def _answer(app: App, begin: Begin, source: Source, ref: Ref) -> Answer:
    name = str(ref[1])
    try:
        run = await source.load(ref)
    except _DAMAGE as error:
        if isinstance(error, StoreError) and not isinstance(error, DamagedRun):
            raise
        return answer_of(name, "", False, damaged(name, error))
    if run is None or not _is_meant(run, begin):
        return Answer(name, "", True, "left_out")
    return answer_of(run.row.id, run.row.workflow, not run.row.open, _judged(app, run, begin))


def _is_meant(run: RecordedRun, begin: Begin) -> bool:
    """Runs that are open are; one that ended only if it began on the code that is in force."""
    digest = begin.digests.get(run.row.workflow)
    if run.row.open or digest is None:
        return True
    first = run.records[0] if run.records else None
    return isinstance(first, Started) and first.digest == digest


def _judged(app: App, run: RecordedRun, begin: Begin) -> Judgement:
    workflow = app.workflows.get(run.row.workflow)
    try:
        if run.row.workflow in begin.elsewhere or is_of_elsewhere(run.records):
            return judge(workflow, run, (replay_body, replay_in_time))
        return judge(workflow, run)
    except Exception as error:
        return Judgement(_failing(run.row, error))


def _failing(row: RunRow, error: Exception) -> Breaks:
    text = f"{type(error).__name__}: {error}"
    return Breaks("(replay)", f"the history of run {row.id}", text, f"the replay fails with {type(error).__name__}")


if __name__ == "__main__":
    main()
