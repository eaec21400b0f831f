"""`Trace`: what happened in a simulation, for assertions and for people.

It has the runs as the store kept them at the end, every body that was started (the side-effect journal),
and the entries of the timeline in the order in which things took effect. It is made by `simulate` and
changes nothing.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import attrs

from ..duration import DAY, moment
from ..errors import NotFound
from ..history import ENDS, EndCompleted, EndFailed, Record
from ..outcome import Failure
from ..runs import Status, status_of
from ..runtime.store import Loaded
from ..values import decode, decoder
from ..workflow import Workflow
from .faults import Planned


@attrs.frozen
class Entry:
    """One line of the timeline: at which microsecond, who, and what."""

    at: int
    who: str
    what: str


@attrs.frozen
class Asked:
    """A commit or a claim that an engine asked for: the n-th of the simulation, from 1, by which worker, and what.

    It is there if the simulation has a plan (`Faults(at=…)`), whose numbers are these. `faults` are those that can be
    planned for it.
    """

    number: int
    worker: str
    what: str
    faults: tuple[Planned, ...]


@attrs.define(eq=False)
class Execution:
    """One start of a step's body.

    `worker` names the engine ("worker 1", after its restart "worker 1.2"). `began` and `ended` count the
    happenings of the simulation, so they order what happened at the same virtual time; `started_at` and
    `ended_at` are microseconds. `ended` is None if the engine died, or the body was stopped, in it. A
    `zombie` ran on an engine that did not own the run any more. `stubbed` says that a stub ran.
    """

    run: str
    step: str
    attempt: int
    worker: str
    began: int
    started_at: int
    ended: int | None = None
    ended_at: int | None = None
    zombie: bool = False
    stubbed: bool = False


@attrs.frozen
class RunTrace:
    """A run at the end of a simulation. `name` is its workflow's id and its number, from 0: `fulfil-order#0`.

    `recorded` is all that the store has of it; `assert_replays` takes it.
    """

    name: str
    recorded: Loaded = attrs.field(repr=False)
    workflow: Workflow[Any, Any] | None = attrs.field(repr=False)

    @property
    def id(self) -> str:
        """Its id in the store."""
        return self.recorded.row.id

    @property
    def app(self) -> str:
        """The name of its app."""
        return self.recorded.row.app

    @property
    def workflow_id(self) -> str:
        """The id of its workflow."""
        return self.recorded.row.workflow

    @property
    def status(self) -> Status:
        """The state that users see."""
        return status_of(self.recorded.row)

    @property
    def reason(self) -> str | None:
        """Why it is in its state, where there is something to say."""
        return self.recorded.row.reason

    @property
    def history(self) -> tuple[Record, ...]:
        """Its records, oldest first."""
        return self.recorded.records

    @property
    def end(self) -> Record | None:
        """Its terminal record, if it has ended."""
        last = self.history[-1] if self.history else None
        return last if isinstance(last, ENDS) else None

    @property
    def result(self) -> Any:
        """What it returned, as its workflow's annotation says; None if it did not, or restarted."""
        if not isinstance(self.end, EndCompleted) or self.end.restarted_as is not None:
            return None
        returns = self.workflow.returns if self.workflow is not None else None
        return decode(self.end.result) if returns is None else decoder(returns)(self.end.result)

    @property
    def error(self) -> Failure | None:
        """Why it failed; None if it did not."""
        return self.end.failure if isinstance(self.end, EndFailed) else None

    @property
    def restarted_as(self) -> str | None:
        """The id of the run that it restarted as."""
        return self.recorded.row.restarted_as

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"


@attrs.frozen(repr=False)
class Trace:
    """What happened. `runs` are in the order of their creation, `executions` in that of their start.

    `schedules` are the runs by which cron triggers tick: they have no code and no history, and never end by themselves.
    `counts` has how often each kind of fault happened, and which rare states were reached (see the reference);
    `requests` the commits and claims of a simulation with a plan. `violations` are invariants that were seen broken
    while it happened (see `check_invariants`), `problems` what engines logged as errors, `unrouted` how many events
    were never routed, and `unused_stubs` the stubs that no step asked for. `finished` is false if `until` came before
    everything was at rest.
    """

    seed: int
    started_at: int
    ended_at: int
    finished: bool
    runs: tuple[RunTrace, ...]
    executions: tuple[Execution, ...]
    entries: tuple[Entry, ...]
    faults: int
    violations: tuple[str, ...]
    problems: tuple[str, ...]
    unrouted: int
    unused_stubs: frozenset[str]
    schedules: tuple[RunTrace, ...] = ()
    counts: Counter[str] = attrs.Factory(Counter)
    requests: tuple[Asked, ...] = ()

    @property
    def now(self) -> datetime:
        """Virtual time at the end."""
        return moment(self.ended_at)

    def run(self, workflow_id: str, n: int = 0) -> RunTrace:
        """The n-th run of a workflow (`"id"`, or `"app/id"`), in the order of their creation."""
        runs = [run for run in self.runs if workflow_id in (run.workflow_id, f"{run.app}/{run.workflow_id}")]
        if not -len(runs) <= n < len(runs):
            there = ", ".join(map(str, self.runs)) or "none"
            raise NotFound(f"there is no run {n} of {workflow_id!r}; the runs of this simulation are: {there}")
        return runs[n]

    def history(self, run: RunTrace | str) -> tuple[Record, ...]:
        """The records of a run, given itself, its name (`fulfil-order#0`) or its id."""
        if isinstance(run, RunTrace):
            return run.history
        for each in self.runs:
            if run in (each.name, each.id):
                return each.history
        raise NotFound(f"there is no run {run!r}; the runs of this simulation are: {', '.join(map(str, self.runs))}")

    def executed(self, step: str, run: RunTrace | None = None) -> list[Execution]:
        """The executions of a step, by its id, in all runs or in one."""
        return [e for e in self.executions if e.step == step and (run is None or e.run == run.id)]

    def timeline(self) -> str:
        """What happened, line by line, with virtual times; an equal seed gives an equal timeline."""
        width = max((len(entry.who) for entry in self.entries), default=0)
        lines = [f"seed {self.seed}, from {moment(self.started_at).isoformat()}"]
        lines += [f"{_since(entry.at - self.started_at)}  {entry.who:{width}}  {entry.what}" for entry in self.entries]
        how = "at rest" if self.finished else "stopped"
        lines.append(f"{_since(self.ended_at - self.started_at)}  {how}, {self.faults} faults")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.timeline()

    def __repr__(self) -> str:
        return f"<Trace of seed {self.seed}: {', '.join(map(str, self.runs)) or 'no runs'}>"


def _since(micros: int) -> str:
    """A time since the start, in a column: days, hours, minutes, seconds."""
    days, rest = divmod(micros, DAY)
    seconds, fraction = divmod(rest, 1_000_000)
    return f"{days:4}d {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"
