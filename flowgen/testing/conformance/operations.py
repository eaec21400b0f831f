"""The operations of the model: small values, of which any list can be played.

Each says what it is about, such as "write two records on run 1 and release it". What that comes to, the fence,
the position, the version, is worked out when it is played (see `transitions`).
"""

from __future__ import annotations

from typing import Literal

import attrs

from ...runs import Stored

APPS = ("shop", "other")
WORKFLOWS = ("fulfil", "refund")
CODES = ("code-1", "code-2")
NAMES = ("paid", "sent")


def run_of(number: int) -> tuple[str, str]:
    """The runs of the model: four ids in one app, the first of them in another app too."""
    return (APPS[1], "r0") if number == 4 else (APPS[0], f"r{number}")


LIMITS = ((1, 2), (2, 1))
"""The limits of the slots of each workflow: one run may hold "a", two may hold "b"."""


def slots(workflow: int, count: int) -> tuple[str, ...]:
    """The first slots of a run: the workflows name the same two in different orders."""
    return (("a", "b"), ("b", "a"))[workflow][:count]


def offers(number: int) -> dict[tuple[str, str], str]:
    """What a worker offers: all, with one code or the other; one workflow; nothing."""
    everything = [(app, workflow) for app in APPS for workflow in WORKFLOWS]
    chosen = (everything, everything, everything[:1], [])[number]
    return dict.fromkeys(chosen, CODES[number % 2])


# -- operations -------------------------------------------------------------------------------------


@attrs.frozen
class Create:
    """Create a run: due after `due` leases (None: never), owned at once or not, perhaps a child of run 0.

    One that names slots or wants to start bodies is never owned at once.
    """

    run: int
    workflow: int = 0
    due: int | None = 0
    owned: bool = False
    child: bool = False
    stored: Stored = "open"
    slots: int = 0
    wants: bool = False
    priority: int = 0
    start: int | None = None
    deadline: int | None = None


@attrs.frozen
class Claim:
    """A worker claims what it offers."""

    worker: int
    offers: int = 0
    limit: int = 10


@attrs.frozen
class Write:
    """An owner's progress. `fence` and `position` are relative to the row's: 0 is right.

    `stay` is to go on collecting, or as a schedule; `opens` to open with the events of the mailbox and so many
    slots, if the run collects.
    """

    run: int
    records: int = 1
    fence: int = 0
    position: int = 0
    stored: Stored = "open"
    drain: Literal["none", "first", "all"] = "none"
    release: bool = False
    due: int | None = None
    reopen: bool = False
    wait: int | None = None
    close: int | None = None
    tell: int | None = None
    accept: int | None = None
    key: int | None = None
    starts: bool = False
    deadline: int | None = None
    lifts: bool = False
    wants: bool = False
    stay: bool = True
    opens: int | None = None


@attrs.frozen
class Tell:
    """Put a message: a child's result, a cancel or, if the run collects, an event."""

    run: int
    message: int
    cancel: bool = False
    must_be_open: bool = False
    event: int | None = None
    due: int | None = None


@attrs.frozen
class Accept:
    """Accept an event with this value at data.id, perhaps from the future; it may start a run."""

    event: int
    value: int = 0
    future: bool = False
    starts: int | None = None


@attrs.frozen
class Route:
    """Look up the waits of the first unrouted event, deliver it, mark it routed."""


@attrs.frozen
class Take:
    """Take a key as one who saw it free, as it is, or as it was before."""

    key: int
    holder: int
    seen: Literal["free", "current", "stale"] = "free"
    expires: int | None = None


@attrs.frozen
class Drop:
    """Let go of a key, perhaps under its version."""

    key: int
    holder: int
    seen: Literal["any", "current", "stale"] = "any"


@attrs.frozen
class Count:
    """Write a cell as one who saw it as it is, or as it was before; None removes it."""

    cell: int
    value: int | None
    stale: bool = False
    expires: int | None = None


@attrs.frozen
class Extend:
    """Extend the lease of a run, under its fence or the one before."""

    worker: int
    run: int
    fence: int = 0


@attrs.frozen
class Register:
    """A worker registers one app: the workflows that it offers, under one code."""

    worker: int
    workflows: int
    code: int


@attrs.frozen
class Retire:
    """A worker takes back all that it offers."""

    worker: int


@attrs.frozen
class Pause:
    """Pause a workflow, or let it go on."""

    workflow: int
    paused: bool


@attrs.frozen
class Repeat:
    """Commit an earlier transition again."""

    back: int


@attrs.frozen
class Pass:
    """Let leases' worth of time pass, and some microseconds."""

    leases: int
    microseconds: int = 0


@attrs.frozen
class Delete:
    """Retention of what is older than so many leases."""

    leases: int
    limit: int


Operation = (
    Create
    | Claim
    | Write
    | Tell
    | Accept
    | Route
    | Take
    | Drop
    | Count
    | Extend
    | Register
    | Retire
    | Pause
    | Repeat
    | Pass
    | Delete
)
