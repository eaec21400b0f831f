"""Programs as data, and the generator that runs one: whole workflows for properties to make and to shrink.

A program is a *block*, a list of *nodes*; it is plain JSON, so that another process can play it too.

=====================================  ==============================================================
`["step", kind, name]`                 a leaf command, see `LEAVES`
`["changed", kind, name]`              the same with other arguments, see `CHANGED`
`["all", options, branches]`           `All`; options: `limit`, `collect`, `named`
`["race", branches]`                   `Race`
`["sub", block]`                       `yield from` a part
`["try", block, handler]`              `except StepError`
`["guard", block, cleanup]`            `except RunCancelled`, clean up, raise it again
`["swallow", block, rest]`             `except RunCancelled`, and on as if nothing had been
`["finally", block, cleanup]`          `finally`
`["fail", text]`                       raise `ValueError`
`["draw"]`                             a random number and a uuid
`["bad"]`                              a step with an argument that cannot be encoded
=====================================  ==============================================================

A branch is `["command", node]` (a leaf or a group) or `["generator", block]`.

Each body writes down all that it sees into a journal: values, errors, the time, what it drew. `Played`
compares the journals of the live and of the replayed interpreter as well.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

from flowgen import (
    All,
    Context,
    Event,
    Failed,
    FlowgenError,
    Invoke,
    Race,
    Run,
    RunCancelled,
    SendEvent,
    SendSignal,
    Sleep,
    StepError,
    Steps,
    Succeeded,
    WaitFor,
    WaitForSignal,
    Winner,
)
from flowgen.commands import Command
from flowgen.interpreter import Interpreter
from tests.bodies import SECOND, START, Fed, act, picture

Block = list[Any]

NAMES = ("a", "b", "c")

LEAVES: dict[str, Callable[[str], Command[Any]]] = {
    "run": lambda name: Run(name, act, name),
    "sleep": lambda name: Sleep(name, "1m"),
    "wait": lambda name: WaitFor(name, "order/paid", match="data.id", timeout="1h"),
    "signal": lambda name: WaitForSignal(name, f"signal {name}", timeout="1h"),
    "invoke": lambda name: Invoke(name, "child", {"name": name}),
    "send": lambda name: SendEvent(name, Event("order/done", {"name": name})),
    "tell": lambda name: SendSignal(name, f"signal {name}"),
}

CHANGED: dict[str, Callable[[str], Command[Any]]] = {
    "run": lambda name: Run(name, act, name, "changed"),
    "sleep": lambda name: Sleep(name, "2m"),
    "wait": lambda name: WaitFor(name, "order/paid", match="data.changed", timeout="1h"),
    "signal": lambda name: WaitForSignal(name, f"changed signal {name}", timeout="1h"),
    "invoke": lambda name: Invoke(name, "child", {"name": "changed"}),
    "send": lambda name: SendEvent(name, Event("order/done", {"name": "changed"})),
    "tell": lambda name: SendSignal(name, f"changed signal {name}"),
}
"""The same leaves with other arguments."""


# -- running one -----------------------------------------------------------------------------------

_journals: dict[int, tuple[Context[Any], list[str]]] = {}


def journal_of(context: Context[Any]) -> list[str]:
    """What the body with this context has written down."""
    return _journals.setdefault(id(context), (context, []))[1]


def body_of(block: Block) -> Any:
    """The program as the body of a workflow; it returns how much it wrote down."""

    def program(ctx: Context[Any]) -> Steps[int]:
        yield from _block(ctx, block)
        return len(journal_of(ctx))

    return program


def _block(ctx: Context[Any], block: Block) -> Steps[None]:
    for node in block:
        yield from _node(ctx, node)


def _note(ctx: Context[Any], what: str, value: object = "") -> None:
    journal_of(ctx).append(
        f"{(ctx.now.timestamp() * SECOND - START) / SECOND:g}s {ctx._scope!r} {what} {value}".strip()
    )


def _node(ctx: Context[Any], node: Any) -> Steps[None]:
    match node:
        case ["sub", block]:
            yield from _block(ctx, block)
        case ["try", block, handler]:
            try:
                yield from _block(ctx, block)
            except (StepError, ValueError) as error:
                _note(ctx, "caught", f"{type(error).__name__}: {error}")
                yield from _block(ctx, handler)
        case ["guard", block, cleanup]:
            try:
                yield from _block(ctx, block)
            except RunCancelled as cancelled:
                _note(ctx, "cancelled", cancelled.reason)
                yield from _block(ctx, cleanup)
                raise
        case ["swallow", block, rest]:
            try:
                yield from _block(ctx, block)
            except RunCancelled as cancelled:
                _note(ctx, "swallowed", cancelled.reason)
            yield from _block(ctx, rest)
        case ["finally", block, cleanup]:
            try:
                yield from _block(ctx, block)
            finally:
                yield from _block(ctx, cleanup)
        case ["fail", text]:
            raise ValueError(text)
        case ["draw"]:
            _note(ctx, "drew", f"{ctx.random.random()} {ctx.uuid()}")
        case ["bad"]:
            try:
                yield Run("bad", act, object())
            except FlowgenError as error:
                _note(ctx, "refused", type(error).__name__)
        case _:
            _note(ctx, "got", _shown((yield _command(ctx, node))))


def _command(ctx: Context[Any], node: Any) -> Command[Any]:
    match node:
        case ["step", kind, name]:
            return LEAVES[kind](name)
        case ["changed", kind, name]:
            return CHANGED[kind](name)
        case ["race", branches]:
            return Race(**{f"k{n}": _branch(ctx, branch) for n, branch in enumerate(branches)})
        case ["all", options, branches]:
            made = [_branch(ctx, branch) for branch in branches]
            on_error: Any = "collect" if options["collect"] else "fail"
            if options["named"]:
                return All({f"k{n}": b for n, b in enumerate(made)}, limit=options["limit"], on_error=on_error)
            return All(*made, limit=options["limit"], on_error=on_error)
    raise AssertionError(node)


def _branch(ctx: Context[Any], branch: Any) -> Any:
    what, inner = branch
    return _command(ctx, inner) if what == "command" else _returning(ctx, inner)


def _returning(ctx: Context[Any], block: Block) -> Steps[int]:
    _note(ctx, "begin")
    yield from _block(ctx, block)
    return len(block)


def _shown(value: Any) -> str:
    match value:
        case Event():
            return f"event {value.data}"
        case Winner(name, inner):
            return f"{name} won with {_shown(inner)}"
        case Succeeded(inner):
            return f"succeeded {_shown(inner)}"
        case Failed(failure):
            return f"failed {failure}"
        case tuple():
            return f"({', '.join(map(_shown, value))})"
        case dict():
            return f"{{{', '.join(f'{k}: {_shown(v)}' for k, v in value.items())}}}"
        case _:
            return str(value)


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


# -- making one ------------------------------------------------------------------------------------


def _branches(inner: st.SearchStrategy[Block], groups: st.SearchStrategy[Any], least: int) -> st.SearchStrategy[Any]:
    command = st.tuples(st.just("command"), st.one_of(leaves(), groups)).map(list)
    generator = st.tuples(st.just("generator"), inner).map(list)
    return st.lists(st.one_of(command, generator), min_size=least, max_size=4)


def leaves(kinds: tuple[str, ...] = tuple(LEAVES)) -> st.SearchStrategy[Any]:
    return st.tuples(st.just("step"), st.sampled_from(kinds), st.sampled_from(NAMES)).map(list)


def _groups(inner: st.SearchStrategy[Block], depth: int) -> st.SearchStrategy[Any]:
    below = leaves() if depth == 0 else st.deferred(lambda: _groups(inner, depth - 1))
    options = st.fixed_dictionaries(
        {"limit": st.none() | st.integers(1, 3), "collect": st.booleans(), "named": st.booleans()}
    )
    return st.one_of(
        st.tuples(st.just("all"), options, _branches(inner, below, 0)).map(list),
        st.tuples(st.just("race"), _branches(inner, below, 1)).map(list),
    )


def blocks(depth: int = 3) -> st.SearchStrategy[Block]:
    """Programs, `depth` deep at most."""
    simple = st.one_of(
        leaves(),
        leaves(("run", "sleep")),
        st.just(["draw"]),
        st.just(["bad"]),
        st.sampled_from(NAMES).map(lambda text: ["fail", text]),
    )
    if depth == 0:
        return st.lists(simple, max_size=3)
    inner = st.deferred(lambda: blocks(depth - 1))
    both = [st.tuples(st.just(word), inner, inner).map(list) for word in ("try", "guard", "swallow", "finally")]
    compound = st.one_of(_groups(inner, 1), _groups(inner, 1), st.tuples(st.just("sub"), inner).map(list), *both)
    return st.lists(st.one_of(simple, compound, compound), max_size=4)


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
