"""A run's history as a call carries it: the memo of each ended step, and the order in which they ended.

================  =====================================================================
step              memo
================  =====================================================================
sleep             `null`
wait for event    the event itself, not wrapped; `null` after the timeout
wait for signal   `{"data": {"signal", "data"}}`; `null` after the timeout
any other         `{"data": …}`
one that failed   `{"error": {…}}`
================  =====================================================================

`Memo` folds records as an interpreter does, one after the other or all of a history: feeding is O(1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
import msgspec

from ...history import OUTCOMES, Outcome, Record, Requested, SignalTerms, StepFailed, Terms, effective
from ...outcome import NULL, Failure, Json
from .errors import UserError, error_of, error_to_json
from .events import matched_to_wire
from .steps import step_hash

INVOKE_TIMEOUT: Final = UserError("InngestInvokeTimeoutError", "Timed out waiting for invoked function to complete")
"""The error of an invoke that took too long, as SDKs know it."""

_ENCODE: Final = msgspec.json.Encoder().encode


@attrs.define
class Memo:
    """The memo and the stack of a run, as far as its records were fed."""

    steps: dict[str, Json] = attrs.Factory(dict)
    stack: list[str] = attrs.Factory(list)
    size: int = 0
    _signals: dict[str, SignalTerms] = attrs.Factory(dict)

    def feed(self, record: Record) -> str | None:
        """Fold one record; the hash of the step that has ended with it, if one has."""
        if isinstance(record, Requested):
            if isinstance(record.terms, SignalTerms):
                self._signals[record.step] = record.terms
            return None
        if not isinstance(record, OUTCOMES):
            return None
        hash = step_hash(record.step)
        if hash in self.steps:
            return None
        memo = memo_of(record, self._signals.get(record.step))
        self.steps[hash] = memo
        self.stack.append(hash)
        self.size += len(memo)
        return hash


def memo_of_history(history: Iterable[Record]) -> Memo:
    """The memo of a whole history, less what its retries take back."""
    memo = Memo()
    for _, record in effective(history):
        memo.feed(record)
    return memo


def memo_of(outcome: Outcome, terms: Terms | None = None) -> Json:
    """The memo of one outcome; `terms` are those of its request, which a wait for a signal needs."""
    if isinstance(outcome, StepFailed):
        return Json(_ENCODE({"error": error_to_json(_error(outcome.kind, outcome.failure))}))
    match outcome.kind:
        case "sleep":
            return NULL
        case "wait":
            return Json(_ENCODE(matched_to_wire(outcome.value)))
        case "signal" if isinstance(terms, SignalTerms):
            if bytes(outcome.value) == b"null" and outcome.at >= terms.expires_at:
                return NULL
            return Json(_ENCODE({"data": {"signal": terms.signal, "data": outcome.value}}))
        case _:
            return Json(b'{"data":' + bytes(outcome.value) + b"}")


def _error(kind: str, failure: Failure) -> UserError:
    return INVOKE_TIMEOUT if kind == "invoke" and failure.type == "InvokeTimeout" else error_of(failure)
