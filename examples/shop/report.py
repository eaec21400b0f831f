"""What the demo prints: how it goes on, and what came out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

import attrs

from .audit import CHECKS, Evidence
from .gateway import Request
from .people import Kill

SECONDS_BETWEEN_LINES = 2.0
SHOWN = 6


@attrs.define
class Progress:
    """One line that changes on a terminal, a line now and then elsewhere."""

    printed_at: float = 0.0

    def show(self, seconds: float, line: str, important: bool = False) -> None:
        text = f"{seconds:5.1f} s  {line}"
        if sys.stdout.isatty():
            print(f"\r\x1b[K{text}", end="\n" if important else "", flush=True)
        elif important or seconds - self.printed_at >= SECONDS_BETWEEN_LINES:
            self.printed_at = seconds
            print(text, flush=True)


def summary(evidence: Evidence, kills: Sequence[Kill]) -> Iterator[str]:
    """The lines that say what happened and what the kills caused."""
    yield from _outcome(evidence)
    cut_off = evidence.cut_off()
    for number, kill in enumerate(kills, 1):
        mine = [request for request in cut_off if request.process == kill.process]
        yield (
            f"kill {number}    at {kill.seconds:.1f} s, of process {kill.process}, with {kill.done} orders done; "
            f"gateway requests cut off: {len(mine)}"
        )
        yield from _shortened([f"           {_fate(evidence, request)}" for request in mine])


def verdict(evidence: Evidence) -> tuple[bool, list[str]]:
    """Whether every check holds, and a line for each, with what contradicts it."""
    lines, good = [""], True
    for promise, check in CHECKS.items():
        flaws = list(check(evidence))
        good = good and not flaws
        lines.append(f"{'FAILED' if flaws else 'ok':8}  {promise}")
        lines += _shortened([f"           {flaw}" for flaw in flaws])
    return good, lines


def _outcome(evidence: Evidence) -> Iterator[str]:
    endings = Counter(entry.ending for entry in evidence.entries)
    paid = sum((entry.paid for entry in evidence.entries), Decimal(0))
    yield f"ledger    {', '.join(f'{count} {ending}' for ending, count in endings.most_common())}; {paid:,} EUR"
    answers = Counter(request.answer or "never answered" for request in evidence.requests)
    listed = ", ".join(f"{count} {answer}" for answer, count in answers.most_common())
    yield f"gateway   {len(evidence.requests)} requests: {listed}"


def _fate(evidence: Evidence, request: Request) -> str:
    """What became of a request that was cut off: the next one under the same key."""
    done_by = next((payment.request for payment in evidence.payments if payment.key == request.key), None)
    if done_by is None or done_by > request.number:
        state = "nothing was done"
    else:
        state = "money had moved" if done_by == request.number else f"money had moved with request {done_by}"
    again = [r for r in evidence.requests if r.key == request.key and r.number > request.number]
    fate = f"repeated as {again[0].number} ({again[0].answer or 'cut off too'})" if again else "not repeated"
    return f"{request.kind} of {request.order_id}: request {request.number}, {state}; {fate}"


def _shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"           and {more} more"] if more > 0 else list(lines)
