"""Random programs (`flowgen.testing.strategies.programs`), fed by hand, with leaves that have other arguments.

Beside the nodes of the kit there is `["changed", kind, name]`: the same leaf with other arguments, see `CHANGED`.

Each body writes down all that it sees into a journal: values, errors, the time, what it drew. `Played` compares the
journals of the live and of the replayed interpreter as well.
"""

from __future__ import annotations

from random import Random
from typing import Any

from flowgen import (
    Context,
    Event,
    Invoke,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    Steps,
    WaitFor,
    WaitForSignal,
)
from flowgen.interpreter import Interpreter
from flowgen.testing.strategies import programs
from flowgen.testing.strategies.programs import LEAVES, NAMES, WORDS, Block, Leaf, act, blocks
from tests.bodies import SECOND, START, Fed, picture

__all__ = ["Block", "Played", "blocks", "body_of", "journal_of", "random_block"]

CHANGED: dict[str, Leaf] = {
    "run": lambda name: Run(name, act, name, "changed"),
    "sleep": lambda name: Sleep(name, "2m"),
    "wait": lambda name: WaitFor(name, "order/paid", match="data.changed", timeout="1h"),
    "signal": lambda name: WaitForSignal(name, f"changed signal {name}", timeout="1h"),
    "invoke": lambda name: Invoke(name, "child", {"name": "changed"}),
    "send": lambda name: SendEvent(name, Event("order/done", {"name": "changed"})),
    "tell": lambda name: SendSignal(name, f"changed signal {name}"),
}
"""The leaves of the kit with other arguments."""

_journals: dict[int, tuple[Context[Any], list[str]]] = {}


def journal_of(context: Context[Any]) -> list[str]:
    """What the body with this context has written down."""
    return _journals.setdefault(id(context), (context, []))[1]


def body_of(block: Block) -> Any:
    """The program as the body of a workflow; it returns how much it wrote down."""
    body = programs.body_of(block, _note, {**WORDS, "changed": CHANGED})

    def program(ctx: Context[Any]) -> Steps[int]:
        yield from body(ctx)
        return len(journal_of(ctx))

    return program


def _note(ctx: Context[Any], line: str) -> None:
    journal_of(ctx).append(f"{(ctx.now.timestamp() * SECOND - START) / SECOND:g}s {line}")


class Played(Fed):
    """A program, fed by hand; the journals are compared too."""

    def __init__(self, block: Block) -> None:
        super().__init__(body_of(block), {"id": "7"})

    def look(self, interpreter: Interpreter) -> dict[str, Any]:
        return {**picture(interpreter), "journal": list(journal_of(interpreter.context))}

    @property
    def journal(self) -> list[str]:
        return journal_of(self.interpreter.context)

    def close(self) -> None:
        self.interpreter.close()
        _journals.clear()


def random_block(random: Random, depth: int = 3) -> Block:
    """A program made without hypothesis: the same one in every process for the same seed."""
    return [_random_node(random, depth) for _ in range(random.randint(0 if depth < 3 else 2, 4))]


def _random_node(random: Random, depth: int) -> Any:
    word = random.choice(
        ["step"] * 4 + ["draw", "bad", "fail"] + (["all", "race", "try", "guard", "finally"] * 2 if depth else [])
    )
    match word:
        case "step":
            return ["step", random.choice(list(LEAVES)), random.choice(NAMES)]
        case "fail":
            return ["fail", random.choice(NAMES)]
        case "all":
            options = {
                "limit": random.choice([None, 1, 2]),
                "collect": random.random() < 0.5,
                "named": random.random() < 0.5,
            }
            return ["all", options, [_random_branch(random, depth) for _ in range(random.randint(0, 4))]]
        case "race":
            return ["race", [_random_branch(random, depth) for _ in range(random.randint(1, 4))]]
        case "try" | "guard" | "finally":
            return [word, random_block(random, depth - 1), random_block(random, depth - 1)]
        case _:
            return [word]


def _random_branch(random: Random, depth: int) -> Any:
    if random.random() < 0.5:
        return ["command", ["step", random.choice(list(LEAVES)), random.choice(NAMES)]]
    return ["generator", random_block(random, depth - 1)]
