"""What one process tells another of the runs that it replays: JSON, a line each."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...verdicts import Breaks, Judgement, Safe, Same
from .sources import Ref


class Begin(msgspec.Struct, frozen=True):
    """What a process is to do: the target, where the runs are, and the code that is in force there.

    `digests` maps a workflow to the digest of its code: runs that ended are left out unless they began on that code.
    The code of the workflows in `elsewhere` is called over HTTP.
    `shift` microseconds are added to the clock that bodies see.
    """

    target: str
    against: str
    digests: dict[str, str]
    elsewhere: tuple[str, ...] = ()
    shift: int = 0


class Answer(msgspec.Struct, frozen=True):
    """The verdict on one run. `left_out` says that it was not judged; `asks` and `state` are what the code asks for."""

    run: str
    workflow: str
    ended: bool
    verdict: Literal["same", "safe", "breaks", "left_out"]
    step: str = ""
    recorded: str = ""
    yields: str = ""
    cause: str = ""
    where: str = ""
    asks: str = ""
    state: str = ""


def answer_of(run: str, workflow: str, ended: bool, judgement: Judgement) -> Answer:
    """A judgement on a run, to be told."""
    match judgement.verdict:
        case Same():
            return Answer(run, workflow, ended, "same", asks=judgement.asks, state=judgement.state)
        case Safe(why):
            return Answer(run, workflow, ended, "safe", cause=why, asks=judgement.asks, state=judgement.state)
        case Breaks(step, recorded, yields, cause, where):
            return Answer(run, workflow, ended, "breaks", step, recorded, yields, cause, where)


def died(ref: Ref, reason: str) -> Answer:
    """Of a run whose replay ended its process, or never came to an end."""
    run = str(ref[1]) if isinstance(ref[0], str) else f"(line {ref[1]})"
    return Answer(run, "", False, "breaks", "(replay)", "a history", reason, f"the replay {reason}")


def compared(answer: Answer, perturbed: Answer) -> Answer:
    """The answer, unless another hash seed, a shifted clock or other dice give another one."""
    if answer.verdict == "breaks" or (answer.verdict, answer.state) == (perturbed.verdict, perturbed.state):
        return answer
    cause = "the code depends on the clock, on chance or on the order of a set"
    if perturbed.verdict == "breaks":
        step, recorded, yields = perturbed.step, perturbed.recorded, perturbed.yields
    else:
        step, recorded, yields = "(replay)", f"once: {answer.asks}", f"another time: {perturbed.asks}"
    where = perturbed.where
    return Answer(answer.run, answer.workflow, answer.ended, "breaks", step, recorded, yields, cause, where)
