"""What came of all runs: counted, and those that break grouped by what they have in common.

Bounded in memory, however many runs break: of a group some runs are named, and all are kept in a file that goes
with the process.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator

import attrs
import msgspec

from .answers import Answer

NAMED = 5
"""So many runs of a group are named."""

GROUPS = 100
"""So many groups are told apart; each further cause is counted only."""

_REASONS = 100
_IN_MEMORY = 1 << 20


@attrs.define
class Group:
    """Runs of a workflow that break for one reason; `first` is the first of them."""

    first: Answer
    open: int = 0
    ended: int = 0
    named: list[str] = attrs.Factory(list)

    def add(self, answer: Answer) -> None:
        self.open += not answer.ended
        self.ended += answer.ended
        if len(self.named) < NAMED:
            self.named.append(answer.run)

    @property
    def runs(self) -> int:
        """How many they are."""
        return self.open + self.ended


class Tally:
    """Counts answers."""

    def __init__(self) -> None:
        self.runs = self.same = self.safe = self.breaking = self.ungrouped = 0
        self.why_safe: Counter[str] = Counter()
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        if answer.verdict == "left_out":
            return
        self.runs += 1
        if answer.verdict == "same":
            self.same += 1
        elif answer.verdict == "safe":
            self.safe += 1
            reason = f"{answer.workflow}: {answer.cause}"
            if reason in self.why_safe or len(self.why_safe) < _REASONS:
                self.why_safe[reason] += 1
        else:
            self._break(answer)

    def _break(self, answer: Answer) -> None:
        self.breaking += 1
        self._spool.write(msgspec.json.encode(answer) + b"\n")
        key = (answer.workflow, answer.cause, answer.where)
        group = self._groups.get(key)
        if group is None and len(self._groups) < GROUPS:
            group = self._groups[key] = Group(answer)
        if group is None:
            self.ungrouped += 1
        else:
            group.add(answer)

    @property
    def groups(self) -> list[Group]:
        """The groups, the largest first."""
        return sorted(self._groups.values(), key=lambda group: -group.runs)

    def breaks(self) -> Iterator[Answer]:
        """All answers that break, in the order in which they came."""
        self._spool.seek(0)
        for line in self._spool:
            yield msgspec.json.decode(line, type=Answer)

    def close(self) -> None:
        """Forget it all."""
        self._spool.close()
