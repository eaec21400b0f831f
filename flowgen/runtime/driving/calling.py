"""A call as a step's command, and the request that it is.

A call is a step to whoever drives a run: its body is one request. `Calling` says what the request is aimed at, and how
much of the history it tells: just what is committed when it is sent, because what is not may still be taken back.

Refuses to know how a request travels, and what an answer means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from ...ids import derived_id
from ...outcome import NULL, Json
from ...retry import Backoff
from ..protocol.calls import MAX_STATE, Call
from ..protocol.native import VERSION
from ..protocol.steps import DISCOVERY, step_hash

if TYPE_CHECKING:
    from .body import RemoteBody

FUNCTION: Final = "(function)"
"""The step of a run that stands for its function as a whole: what fails there fails no step of the user's."""


def is_discovery(step_id: str) -> bool:
    """Whether a call is aimed at no step, by its id."""
    return step_id.startswith(FUNCTION)


@attrs.define(eq=False)
class Calling:
    """The command of a call.

    `step` is the id of the step that it is aimed at; None for a discovery. `known` is how many records it tells, and
    `ended` how many outcomes are among them. With `plans` the app is to execute nothing, but to tell what there is to
    do.
    """

    kind: ClassVar[str] = "run"
    id: str
    body: RemoteBody
    step: str | None
    known: int
    ended: int
    plans: bool = False
    retries: int | None = None
    backoff: Backoff | None = None

    fn: ClassVar[None] = None
    timeout: ClassVar[None] = None
    loop: ClassVar[None] = None
    args: ClassVar[tuple[Any, ...]] = ()
    kwargs: ClassVar[dict[str, Any]] = {}

    def arguments(self) -> Json:
        """It has none."""
        return NULL

    def know(self, records: int, outcomes: int) -> None:
        """Tell so much instead: it has not begun, and will not before that is committed."""
        self.known, self.ended = records, outcomes

    @property
    def target(self) -> str:
        """What a call's URL says that it is aimed at."""
        return DISCOVERY if self.step is None else step_hash(self.step)


def call_of(calling: Calling, attempt: int, request: str) -> Call:
    """The request of a call. `attempt` counts from 0; `request` is the id of this very request."""
    body = calling.body
    remote = body.remote
    memo = body.memo
    stack = tuple(memo.stack) if calling.ended == len(memo.stack) else tuple(memo.stack[: calling.ended])
    steps = memo.steps if len(stack) == len(memo.steps) else {hash: memo.steps[hash] for hash in stack}
    item = derived_id(body.row.id, "call", calling.id, calling.known)
    call = Call(
        run_id=body.row.id,
        stack=stack,
        current=len(stack),
        attempt=attempt,
        max_attempts=(remote.retries if calling.retries is None else calling.retries) + 1,
        version=body.version,
        disable_immediate_execution=calling.plans,
        fn_id=remote.slug,
        qi_id=item,
        request_id=request,
        generation_id=body.row.fence,
        defers={hash: {"abortable": True} for hash in body.defers},
        job_id=item,
    )
    if body.native:
        call.flowgen = _told(calling)
    elif memo.size + body.telling.events_size > MAX_STATE:
        call.use_api = True
        call.events = body.telling.events[:1]
    else:
        call.events, call.steps = body.telling.events, steps
    return call


def _told(calling: Calling) -> dict[str, Any]:
    """The member that only our own apps read: the run so far, as `native` says it."""
    told = calling.body.telling
    return {"v": VERSION, "run": "\n".join([told.header, *told.lines[: calling.known]]), "heard": told.heard}
