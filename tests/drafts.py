"""Small bodies for the tests of drafts."""

from __future__ import annotations

from typing import Any

from flowgen import Context, Run, StepError, Steps, WaitForSignal
from flowgen.history import EndCompleted
from flowgen.values import decode
from tests.bodies import act
from tests.owner import Owner

APPROVAL = WaitForSignal("w", "approve", timeout="1h")


def step(name: str) -> Run[Any]:
    return Run(name, act)


def sequence(*commands: Any) -> Any:
    """A body that yields these commands and returns what they gave; failures as their type's name."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        got: list[Any] = []
        for command in commands:
            try:
                got.append((yield command))
            except StepError as error:
                got.append(f"{type(error).__name__} {error.error_type}")
        return got

    return body


def result(owner: Owner) -> Any:
    assert isinstance(owner.end, EndCompleted), owner.end
    return decode(owner.end.result)
