"""What a body elsewhere has open: the steps that its app has asked for, and the calls that are made of it.

A step is *fresh* until a decision has taken note of it, and *given up* when it is let go of after that. One call may be
*immediate*: a discovery that may execute a step by itself, so that no other call begins before its answer.

A history says what was requested, and not what was given up when a race was decided. So in a body that was replayed a
request is *doubtful* if anything was told to the code after it: until the app says whether it is still open, no timer
of it fires and no event is looked for.

Refuses to know why a step is opened, and what comes of it.
"""

from __future__ import annotations

from collections.abc import Container

import attrs

from ...deadlines import Deadlines
from ...history import Requested
from ...tree import Step
from .calling import Calling, is_discovery


@attrs.define(eq=False)
class OpenSteps:
    """The open steps of one body by id, in the order in which they were opened.

    `fetches` are the requests that were ever asked for here: what is needed to go on with one.
    """

    pending: dict[str, Step] = attrs.Factory(dict)
    fresh: dict[str, Step] = attrs.Factory(dict)
    abandoned: list[Step] = attrs.Factory(list)
    fetches: dict[str, Step] = attrs.Factory(dict)
    calls: set[str] = attrs.Factory(set)
    doubtful: dict[str, Step] = attrs.Factory(dict)
    immediate: Step | None = None
    _deadlines: Deadlines = attrs.Factory(lambda self: Deadlines(self.pending), takes_self=True)

    def open(self, step: Step) -> Step:
        """A step is asked for, or a call is to be made."""
        self.pending[step.id] = self.fresh[step.id] = step
        if type(step.command) is Calling:
            self.calls.add(step.id)
        return step

    def forget(self, step_id: str) -> Step | None:
        """A step is not open any more."""
        step = self.pending.pop(step_id, None)
        self.doubtful.pop(step_id, None)
        self.fresh.pop(step_id, None)
        self.calls.discard(step_id)
        if step is not None and step is self.immediate:
            self.immediate = None
        return step

    def only_plan(self, step: Step) -> bool:
        """Let a call that has not begun execute nothing, but tell what there is to do; False if that cannot be."""
        if not is_discovery(step.id):
            return False
        step.command.plans = True
        if step is self.immediate:
            self.immediate = None
        return True

    def drop(self, step_id: str) -> None:
        """A step is given up: whatever was begun for it is let go of."""
        begun = step_id not in self.fresh
        step = self.forget(step_id)
        if step is not None and begun:
            self.abandoned.append(step)

    def doubt(self) -> None:
        """Something was told to the code: what was requested before may have been given up."""
        for step in [step for step in self.pending.values() if step.terms is not None]:
            self.forget(step.id)
            self.doubtful[step.id] = step

    def trust(self, still_open: Container[str] | None = None) -> None:
        """The doubtful steps are open after all, and found anew; what is not among `still_open` was given up."""
        doubtful, self.doubtful = self.doubtful, {}
        for step in doubtful.values():
            if still_open is None or step.id in still_open:
                self.arm(self.open(step))
            else:
                self.abandoned.append(step)

    def unmet(self, step_id: str) -> Requested | None:
        """The request of a doubtful step."""
        step = self.doubtful.get(step_id)
        return None if step is None else _request(step)

    def take_leftovers(self) -> list[Requested]:
        """The requests that are doubtful to the end."""
        doubtful, self.doubtful = self.doubtful, {}
        return [_request(step) for step in doubtful.values()]

    def arm(self, step: Step) -> None:
        """A step has a deadline, if its records say so."""
        self._deadlines.arm(step)

    def next_deadline(self) -> int | None:
        """The earliest time at which an open step is over by itself."""
        return self._deadlines.earliest()

    def take_due(self, now: int) -> list[Step]:
        """The open steps whose time has come."""
        return self._deadlines.take_due(now)

    def take_fresh(self) -> list[Step]:
        """The steps that were opened since the last call and still are, in order."""
        fresh = list(self.fresh.values())
        self.fresh.clear()
        return fresh

    def take_abandoned(self) -> list[Step]:
        """The steps that were given up since the last call, in order."""
        abandoned = list(self.abandoned)
        self.abandoned.clear()
        return abandoned


def _request(step: Step) -> Requested:
    assert step.terms is not None
    return Requested(0, step.id, step.kind, step.digest, step.terms, step.arguments)
