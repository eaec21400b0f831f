"""An app that is away: calls that reached nobody, which are no failed tries of anybody's code.

While an app is deployed, moved or restarted, no connection to it can be had. Nothing was sent then, so nothing can have
been executed. Such a try is recorded like a failed one, because it says when the next is; but neither the function's
retries nor the step's are used up by it, and the app is not told of it. The runs wait, as those of a workflow do that
nobody offers, and come back to the app ever more rarely.

* **For a day at most.** An app that is away for longer counts as any that does not answer, so its runs fail in the end.
* Whatever the app has answered meanwhile begins a new day.
* What was sent, and then not answered, is a failed try: it may have been executed.

Pure: it is folded from a history like all that a body knows. Refuses to know why an app was not reached.
"""

from __future__ import annotations

from typing import Final

import attrs

from ...duration import HOUR
from ...history import AttemptFailed
from ...retry import Backoff
from ..protocol.errors import APP_AWAY, APP_UNREACHABLE

LONGEST: Final = 24 * HOUR
"""Microseconds for which an app may be away, and costs its runs nothing."""

_BACKOFF: Final = Backoff.exponential("1s", factor=2, maximum="5m", jitter=0.2)


@attrs.define(eq=False)
class Absence:
    """How long an app has been away from one run, and which failed tries of its steps are no more than that."""

    _since: int | None = None
    _tries: dict[str, int] = attrs.Factory(dict)

    def note(self, record: AttemptFailed) -> None:
        """A try failed; the first of a step is that of a new call."""
        if record.attempt == 1:
            self.forget(record.step)
        if record.failure.type != APP_AWAY:
            if record.failure.type != APP_UNREACHABLE:
                self._since = None
            return
        self._tries[record.step] = self._tries.get(record.step, 0) + 1
        if self._since is None:
            self._since = record.at

    def end(self) -> None:
        """The app has answered."""
        self._since = None

    def forget(self, step_id: str) -> None:
        """The failed tries of a step count from the beginning."""
        self._tries.pop(step_id, None)

    def tries(self, step_id: str) -> int:
        """How many of the failed tries of a step have reached nobody."""
        return self._tries.get(step_id, 0)

    def delay(self, step_id: str, now: int, luck: float) -> int | None:
        """How long to wait for an app that is away; None if it has been for too long."""
        if self._since is not None and now - self._since >= LONGEST:
            return None
        return _BACKOFF.delay(self.tries(step_id) + 1, luck)
