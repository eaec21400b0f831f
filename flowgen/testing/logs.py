"""What engines log while they are simulated: into the journal instead of to the outside."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from .words import short
from .world import World


class _Journal(logging.Handler):
    """Warnings and what bodies log become entries of the timeline; errors are problems too."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG)
        self._world = world
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            return
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f": {type(error).__name__}: {error}"
        self._world.note("log", f"{record.levelname} {short(text)}")
        if record.levelno >= logging.ERROR and record.name == "flowgen":
            formatted = logging.Formatter().format(record)
            self._world.problems.append(formatted)


@contextlib.contextmanager
def captured_logs(world: World) -> Iterator[None]:
    """Inside, what this thread's engines log goes to the journal."""
    log = logging.getLogger("flowgen")
    handler = _Journal(world)
    propagate = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
