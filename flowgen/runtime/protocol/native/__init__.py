"""The `flowgen` member: what both ends add to Inngest's protocol when both are flowgen.

The protocol carries results, but neither times nor fingerprints, and no word for a scope that is cancelled. Where both
ends are flowgen the server adds our history to each call, and the app answers with what our history needs. Everything
else of the protocol stays as it is, so one transport serves both.

=================  ==============================================================================
of a call          `Told`: the run, its events and its history, as `runs export` writes them
of the first op    `Standing`: which steps are open, and until when cancelled scopes may clean up
of an op           `Asked`: a step, its fingerprint, what it asks for; and what its body came to
of `RunComplete`   how the body ended (`BodyEnd`)
of an error        `Diverged`: code and history disagree
=================  ==============================================================================

JSON that belongs to users is carried as text inside the JSON. A signature is made over canonical JSON (RFC 8785), and
making that turns `1.0` into `1` and knows no integers beyond 2**53.

What comes from the other end is not trusted: whatever does not fit is an `UndecodableError`, whoever wrote it.

`run` has what is about a run, `asked` what is about a step, `parts` what both are made of.

Refuses to know: opcodes, hashes and HTTP (its neighbours), who executes what, and what a record does to a run.
"""

from __future__ import annotations

from .asked import Asked, asked_member, raised_member, read_asked, returned_member
from .parts import Member
from .run import (
    VERSION,
    Diverged,
    Standing,
    Told,
    diverged_member,
    end_member,
    read_diverged,
    read_end,
    read_seen,
    read_standing,
    read_told,
    standing_member,
    told_member,
)

__all__ = [
    "VERSION",
    "Asked",
    "Diverged",
    "Member",
    "Standing",
    "Told",
    "asked_member",
    "diverged_member",
    "end_member",
    "raised_member",
    "read_asked",
    "read_diverged",
    "read_end",
    "read_seen",
    "read_standing",
    "read_told",
    "returned_member",
    "standing_member",
    "told_member",
]
