"""Suspended generators: how they are discarded, and where they stand.

A generator that is being closed may do anything: yield, raise, go on. Nothing of that counts, and nothing
of it may come out of here.
"""

from __future__ import annotations

import types
from typing import Any

from .commands import Command

_CLOSE_ATTEMPTS = 10


def close_generator(generator: Any) -> None:
    """Close a generator that may refuse, and first those that it yields from; what they do meanwhile is dropped.

    Closing only the outer one would leave an inner one that refused suspended, to complain when it is collected.
    """
    refusals = 0
    while refusals < _CLOSE_ATTEMPTS:
        innermost = generator
        while isinstance(inner := innermost.gi_yieldfrom, types.GeneratorType) and inner.gi_frame is not None:
            innermost = inner
        try:
            innermost.close()
        except BaseException:  # the body's own doing: it is being discarded
            refusals += 1
        else:
            if innermost is generator:
                return


def suspended_at(generator: Any) -> str:
    """`file:line, in function` of the innermost frame of the user's code in a suspended generator."""
    frame = None
    while isinstance(generator, types.GeneratorType):
        if generator.gi_frame is None or generator.gi_code is Command.__iter__.__code__:
            break
        frame, generator = generator.gi_frame, generator.gi_yieldfrom
    return f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}" if frame is not None else ""
