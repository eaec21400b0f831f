"""The program `flowgen`: its commands, and how each way of ending becomes an exit code.

Nothing but a message of one line leaves when something is wrong: to standard error for people, or with
`--json` as `{"error": {"code", "message"}}` to standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from ... import __version__
from .check import check
from .dev import dev, server, worker
from .events import events
from .faults import BAD_INPUT, BROKEN, DONE, INTERRUPTED, READER_GONE, Fault, ReaderGone, fault_of, single
from .lint import lint
from .options import refuse_repeats
from .output import end, note, printable, say_json
from .runs import runs, why
from .sending import invoke, send
from .serve import serve
from .upkeep import doctor, purge
from .workflows import workflows


@click.group()
@click.version_option(__version__, prog_name="flowgen")
def flowgen() -> None:
    """Durable workflows as plain Python generators."""


for command in (dev, server, worker, serve, send, invoke, runs, why, events, workflows, check, lint, purge, doctor):
    flowgen.add_command(command)


refuse_repeats(flowgen)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    end(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the answer is the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        answer = flowgen.main(args=arguments, prog_name="flowgen", standalone_mode=False)
        return answer if isinstance(answer, int) else DONE
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except click.exceptions.NoArgsIsHelpError as error:
        note(error.format_message())
        return BAD_INPUT
    except Exception as error:
        return _failed(single(error), as_json="--json" in arguments)
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        return _interrupted()


def _interrupted() -> int:
    """Ctrl-C: end without a word; a second one ends the process where it stands."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return INTERRUPTED


def _failed(error: Exception, as_json: bool) -> int:
    try:
        if isinstance(error, ReaderGone):
            raise error
        return _reported(fault_of(error), error, as_json)
    except ReaderGone:
        _forget_output()
        return READER_GONE


def _reported(fault: Fault, error: Exception, as_json: bool) -> int:
    if fault.exit_code == BROKEN and os.environ.get("FLOWGEN_TRACEBACK"):
        traceback.print_exception(error)
    if as_json:
        say_json({"error": {"code": fault.code, "message": fault.message}})
    else:
        note(f"flowgen: {printable(fault.message)}")
    return fault.exit_code


def _forget_output() -> None:
    """Nobody reads on: what is still buffered must not fail again when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
