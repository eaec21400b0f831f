"""The deadlines of the steps of one run: which is the earliest, and which have come.

A step's deadline changes with its records (the next attempt's time, the absolute terms of a request), and
most are over before they come. So what is in the heap may be out of date: it counts if its step is still
pending with that very deadline.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from .tree import Step


class Deadlines:
    """The deadlines of pending steps; `pending` is looked at and never changed."""

    def __init__(self, pending: Mapping[str, Step]) -> None:
        self._pending = pending
        self._heap: list[tuple[int, int, str]] = []
        self._armed = 0

    def arm(self, step: Step) -> None:
        """Note the deadline that a step has now, if it has one."""
        deadline = step.deadline
        if deadline is not None:
            self._armed += 1
            heapq.heappush(self._heap, (deadline, self._armed, step.id))

    def earliest(self) -> int | None:
        """The earliest time at which a pending step is over by itself."""
        heap = self._heap
        while heap:
            deadline, _, step_id = heap[0]
            if self._standing(step_id, deadline) is not None:
                return deadline
            heapq.heappop(heap)
        return None

    def take_due(self, now: int) -> list[Step]:
        """The pending steps whose deadline has come, each once: the earliest first, then the first armed."""
        due: dict[str, Step] = {}
        heap = self._heap
        while heap and heap[0][0] <= now:
            deadline, _, step_id = heapq.heappop(heap)
            step = self._standing(step_id, deadline)
            if step is not None:
                due[step_id] = step
        return list(due.values())

    def _standing(self, step_id: str, deadline: int) -> Step | None:
        """The step, if it is pending and this is still its deadline."""
        step = self._pending.get(step_id)
        return step if step is not None and step.deadline == deadline else None
