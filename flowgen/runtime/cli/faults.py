"""What went wrong, as one line and an exit code.

=====  ==========================================================================================
0      it is done (`dev`, `worker`: drained and stopped)
1      it was understood and cannot be: no such run or workflow, a state that does not allow it, a
       run that failed, a time-out
2      bad input: arguments, JSON, a TARGET, a store that cannot be opened or used, a server that is not
       there or wants a token
70     flowgen or its engine broke; `FLOWGEN_TRACEBACK=1` shows where
130    interrupted (128 + the signal's number; `dev` so only when it did not come to drain)
141    whoever read the output has gone
=====  ==========================================================================================
"""

from __future__ import annotations

import attrs
import click

from ...errors import (
    AccessDenied,
    DefinitionError,
    EventConflict,
    FlowgenError,
    InvalidInput,
    NotFound,
    RunCancelledError,
    RunFailed,
    RunSkipped,
    ServerUnavailable,
    StoreError,
    UnserializableError,
    WrongState,
)

DONE = 0
REFUSED = 1
BAD_INPUT = 2
BROKEN = 70
INTERRUPTED = 130
READER_GONE = 141


class ReaderGone(Exception):
    """Nobody reads the output any more (`| head`): end quietly."""


@attrs.define
class Fault(Exception):
    """Something that ends the command: a `code` for programs, a message for people, an exit code."""

    code: str
    message: str
    exit_code: int = BAD_INPUT

    def __str__(self) -> str:
        return self.message


def fault_of(error: Exception) -> Fault:
    """The fault that an error is."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, click.ClickException):
        return Fault("usage", _usage(error), BAD_INPUT)
    for kind, code, exit_code in _KINDS:
        if isinstance(error, kind):
            return Fault(code, str(error), exit_code)
    return Fault("internal", f"{type(error).__name__}: {error} (FLOWGEN_TRACEBACK=1 shows where)", BROKEN)


def single(error: Exception) -> Exception:
    """The one error inside of groups of one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} (see {context.command_path} --help)" if context is not None else message


_KINDS: tuple[tuple[type[BaseException], str, int], ...] = (
    (NotFound, "not_found", REFUSED),
    (WrongState, "wrong_state", REFUSED),
    (EventConflict, "conflict", REFUSED),
    (RunFailed, "run_failed", REFUSED),
    (RunCancelledError, "run_cancelled", REFUSED),
    (RunSkipped, "run_skipped", REFUSED),
    (TimeoutError, "timeout", REFUSED),
    (InvalidInput, "invalid_input", BAD_INPUT),
    (DefinitionError, "invalid_input", BAD_INPUT),
    (UnserializableError, "invalid_input", BAD_INPUT),
    (StoreError, "store", BAD_INPUT),
    (AccessDenied, "access_denied", BAD_INPUT),
    (ServerUnavailable, "server", BAD_INPUT),
    (FlowgenError, "failed", REFUSED),
    (OSError, "io", BAD_INPUT),
)
