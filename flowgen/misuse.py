"""What bodies do that can never work, and the errors that say so.

Each is made where the mistake shows and raised at the `yield` that it belongs to, or fails the run; its
message says what was found and what to write instead.
"""

from __future__ import annotations

import re
import types
from collections.abc import Generator, Iterator
from typing import Any

from .commands import (
    All,
    Invoke,
    Race,
    Restart,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    WaitFor,
    WaitForSignal,
)
from .commands.base import shown
from .errors import DefinitionError, FlowgenError
from .workflow import Workflow

COMMANDS_PER_ADVANCE = 20_000
"""How many commands a body may yield without waiting for anything before it counts as spinning.

Sends are answered in the transition that asks for them, so they are nothing that a body waits for: this
bounds the size of one transition.
"""

MAX_NESTING = 100
"""How deep groups may be nested in groups: All in a branch of a Race in a branch of an All, and so on."""

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")

LEAVES = frozenset({Run, Sleep, SleepUntil, WaitFor, WaitForSignal, SendSignal, Invoke, SendEvent})
"""The commands that are steps."""


def misuse(yielded: Any) -> DefinitionError:
    """Say what is wrong with something that a body yielded."""
    match yielded:
        case Restart():
            return DefinitionError(
                "Restart(…) ends the whole run: yield it from the workflow itself, not from a branch"
            )
        case types.CoroutineType():
            yielded.close()
            hint = "a coroutine: wrap the async function in Run(fn, …) and yield that"
        case types.GeneratorType():
            hint = "a generator: use `yield from` for it, or give it to All or Race as a branch"
        case Workflow():
            hint = f"the workflow {yielded.id!r}: run it with Invoke(id, workflow, data)"
        case type() if yielded in LEAVES or yielded in (All, Race):
            hint = f"the class {yielded.__name__} itself: yield an instance, {yielded.__name__}(…)"
        case _:
            hint = f"{_steady(yielded)}, which is no command: yield Run(…), Sleep(…), WaitFor(…), Invoke(…), All(…), …"
    return DefinitionError(f"a workflow yielded {hint}")


def too_deep(label: str) -> DefinitionError:
    return DefinitionError(
        f"{label}: {MAX_NESTING} groups are nested in one another, and no more are possible: "
        "does a branch yield All or Race on itself without end? Use a loop, or Invoke"
    )


def used_twice(scope: str, branch: Any) -> DefinitionError:
    return DefinitionError(
        f"branch {scope!r}: {branch.__name__} was a branch before, and a generator runs only once; "
        "call it afresh for each All or Race that is yielded"
    )


def misreturned(value: Any, who: str) -> DefinitionError | None:
    """Say what is wrong with something that a body returned; None if nothing is."""
    if type(value) in LEAVES or type(value) in (All, Race):
        return DefinitionError(f"{who} returned the command {_steady(value)}: did you mean `return (yield …)`?")
    if type(value) is Restart:
        return DefinitionError(
            f"{who} returned Restart(…), which ends the whole run: return it from the workflow itself"
        )
    if isinstance(value, types.GeneratorType):
        return DefinitionError(f"{who} returned a generator: did you mean `return (yield from …)`?")
    if isinstance(value, types.CoroutineType):
        value.close()
        return DefinitionError(f"{who} returned a coroutine: call the async function with `yield Run(fn, …)`")
    return None


def misraised(error: BaseException) -> BaseException:
    """An error that a body raised; one that `yield from` made, given neither a command nor a generator, says so."""
    match error:
        case AttributeError(name="send", obj=Iterator() as given) if not isinstance(given, Generator):
            hint = "`yield from` takes one command, or a part of a workflow; for several commands yield All(…)"
            return DefinitionError(f"`yield from` was given a {type(given).__name__}: {hint}").with_traceback(
                error.__traceback__
            )
        case _:
            return error


def spinning(workflow: str) -> FlowgenError:
    return FlowgenError(
        f"workflow {workflow!r} yielded {COMMANDS_PER_ADVANCE} commands without waiting for "
        "anything: does a loop around `yield` never end?"
    )


def too_many_steps(workflow: str, max_steps: int, step: str) -> FlowgenError:
    return FlowgenError(
        f"workflow {workflow!r} asked for more than max_steps={max_steps} steps, the "
        f"last one {step!r}: raise max_steps, or end with Restart(…) to go on with a fresh history"
    )


def _steady(value: object) -> str:
    """The repr of a value without its address: a body may catch the error, and sees the same one on replay."""
    return _ADDRESS.sub("", shown(value))
