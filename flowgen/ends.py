"""How a body ended: the four things that an interpreter may say of a run whose body is over."""

from __future__ import annotations

import attrs

from .outcome import Failure, Json


@attrs.frozen
class BodyReturned:
    """The body returned; `data` is its encoded result."""

    data: Json


@attrs.frozen
class BodyRaised:
    """The body raised. `step` is the step whose uncaught failure it was, if it was one."""

    failure: Failure
    step: str | None = None


@attrs.frozen
class BodyRestarted:
    """The body asks to be succeeded by a fresh run on `data`."""

    data: Json


@attrs.frozen
class BodyCancelled:
    """The run was cancelled, and its body has ended."""

    reason: str


BodyEnd = BodyReturned | BodyRaised | BodyRestarted | BodyCancelled
