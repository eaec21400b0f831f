"""Commands: what a workflow yields, as values.

=================  ==========  ================================================================
command            kind        what comes back at the yield
=================  ==========  ================================================================
`Run`              run         what the function returned
`Sleep`            sleep       None, when the time has passed
`SleepUntil`       sleep       None, when the moment has come
`WaitFor`          wait        the matching `Event`, or None after the timeout
`WaitForSignal`    signal      the signal's data, or None after the timeout
`Invoke`           invoke      what the invoked run returned
`SendEvent`        send        the ids of the events
`SendSignal`       send_signal None, when the waiter has it
`All`                          the values of all branches: a tuple, or a dict for named branches
`Race`                         `Winner(name, value)` of the first branch to end
`Restart`                      nothing: the run ends here
=================  ==========  ================================================================

The commands with a kind are `StepCommand`s: each takes its place in the run's history under its `id`.
`All` and `Race` hold branches and write nothing themselves.

A command does nothing. It is checked when it is made, so that a mistake is an error at the line that
made it, and may be made once and yielded often. Both `yield command` and `yield from command` work;
the second one tells type checkers what comes back.

Knows a workflow only as something with an `app`, an `id` and a return type. Refuses to know how a
command is carried out, and what time it is.
"""

from .base import Branch, Command, StepCommand, Steps, check_name
from .branches import All, Race, Winner
from .messages import Invoke, Restart, SendEvent, SendSignal
from .run import Loop, Run
from .timers import Sleep, SleepUntil
from .waits import WaitFor, WaitForSignal

__all__ = [
    "All",
    "Branch",
    "Command",
    "Invoke",
    "Loop",
    "Race",
    "Restart",
    "Run",
    "SendEvent",
    "SendSignal",
    "Sleep",
    "SleepUntil",
    "StepCommand",
    "Steps",
    "WaitFor",
    "WaitForSignal",
    "Winner",
    "check_name",
]
