"""Owners decide soundly: whatever comes, in whatever order and batches, with refusals and crashes between.

`Owner` checks after every commit that the history is well formed (I6 to I8), that it replays to the live state,
and that the run holds in the world exactly what its open steps hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen.history import EndCancelled, EndCompleted, EndFailed, InvokeTerms, SignalTerms, StepFailed, StepSucceeded
from flowgen.outcome import Failure, Json, Raised, Returned
from flowgen.owned import BodyEnded, Input, LookedBack, TimePassed
from flowgen.runs import CancelRequested
from flowgen.tree import Step
from tests.owner import Owner, World
from tests.properties.programs import Block, blocks, body_of

Make = Callable[[], Input]

choices = st.lists(st.lists(st.integers(0, 10_000), min_size=1, max_size=3), max_size=12)


def possible(owner: Owner) -> list[Make]:
    """Every input that may come now, in a fixed order; late and repeated ones among them."""
    makes: list[Make] = []
    for step in owner.owned.interpreter.pending.values():
        makes += _of_step(owner, step)
        if step.kind == "wait":
            makes.append(lambda name=step.id: LookedBack(name, 150 + len(owner.history)))
    settled = [r.step for r in owner.history if isinstance(r, StepSucceeded | StepFailed)]
    makes += [lambda name=name: BodyEnded(name, Returned(Json(b"1"))) for name in settled[-1:]]
    makes.append(TimePassed)
    makes.append(lambda: owner.letter(CancelRequested("enough")))
    return makes


def _of_step(owner: Owner, step: Step) -> Iterable[Make]:
    name = step.id
    match step.kind:
        case "run" if name in owner.executing:
            yield lambda: BodyEnded(name, Returned(Json(b'{"n":1}')))
            yield lambda: BodyEnded(name, Raised(Failure("OSError", "down")), 0.3)
            yield lambda: BodyEnded(name, Raised(Failure("OSError", "gone"), retriable=False))
        case "wait":
            yield lambda: owner.event(name, '{"id":"7"}', 200 + len(owner.history))
        case "signal" if _is_waiting(owner, step):
            yield lambda: owner.signal(name, {"n": 1})
        case "invoke" if isinstance(step.terms, InvokeTerms) and step.terms.child in owner.world.children:
            yield lambda: owner.child(name, {"n": 1})
            yield lambda: owner.child(name, failure=Failure("ValueError", "no"))


def _is_waiting(owner: Owner, step: Step) -> bool:
    assert isinstance(step.terms, SignalTerms)
    held = owner.world.keys.get(f"signal/{step.terms.signal}")
    return held is not None and held.holder == step.terms.wait and '"delivered":false' in held.detail


def play(block: Block, rounds: list[list[int]]) -> Owner:
    """An owner to whom these things happen; each round is one decision."""
    owner = Owner(body_of(block), {"id": "7"}, retries=2)
    for numbers in rounds:
        if owner.ended:
            break
        if numbers[0] % 11 == 10:
            owner.reload()
        makes = possible(owner)
        inputs = [makes[number % len(makes)]() for number in dict.fromkeys(numbers)]
        until = owner.at + numbers[0] * 1_000_000 if numbers[0] % 3 == 0 else None
        owner.decide(*inputs, at=until, refuse=numbers[0] % 7 == 6)
    return owner


@settings(max_examples=100)
@given(blocks(), choices)
def test_whatever_comes_the_history_is_well_formed(block: Block, rounds: list[list[int]]) -> None:
    """Bodies end or fail, events, signals and children come, time passes, somebody cancels; commits are refused,
    owners die: each commit keeps all that `Owner` checks."""
    owner = play(block, rounds)
    owner.owned.interpreter.close()


@settings(max_examples=50)
@given(blocks(), choices)
def test_every_run_ends_when_it_is_cancelled(block: Block, rounds: list[list[int]]) -> None:
    """A cancel, and then time alone: at the latest when its clean-ups are over, the run has ended and holds nothing."""
    owner = play(block, rounds)
    if not owner.ended:
        owner.cancel()
    while not owner.ended:
        owner.pass_time()
    owner.check()
    assert isinstance(owner.end, EndCancelled | EndCompleted | EndFailed)
    assert owner.world.waits == {}
    assert not any(name.startswith("signal/") for name in owner.world.keys)


@settings(max_examples=50)
@given(blocks(), st.integers(0, 3))
def test_a_run_that_is_only_helped_ends(block: Block, which: int) -> None:
    """With every step answered in its turn, a program comes to its end by itself."""
    owner = Owner(body_of(block), {"id": "7"}, retries=0)
    for _ in range(300):
        if owner.ended:
            break
        makes = [make for step in owner.owned.interpreter.pending.values() for make in _of_step(owner, step)]
        if makes:
            owner.decide(makes[which % len(makes)]())
        else:
            owner.pass_time()
    assert owner.ended
    assert isinstance(owner.end, EndCompleted | EndFailed)


@settings(max_examples=30)
@given(blocks(), choices)
def test_a_decision_is_a_function(block: Block, rounds: list[list[int]]) -> None:
    """The same inputs give the same transitions, to the byte."""
    one, other = play(block, rounds), play(block, rounds)
    assert one.transitions == other.transitions
    assert (one.world.keys, one.world.waits) == (other.world.keys, other.world.waits)
    one.owned.interpreter.close()
    other.owned.interpreter.close()


@settings(max_examples=30)
@given(blocks(2), blocks(2), choices, choices)
def test_two_runs_share_a_world(a: Block, b: Block, first: list[list[int]], second: list[list[int]]) -> None:
    """Signals are waited for and sent across runs; each name has one waiter, and none is left when both have ended."""
    world = World()
    owners = [
        Owner(body_of(block), {"id": "7"}, retries=1, world=world, run=f"01KE000000000000000000000{n}")
        for n, block in enumerate([a, b])
    ]
    for n, numbers in enumerate([*first, *second]):
        owner = owners[n % 2]
        if owner.ended:
            continue
        makes = possible(owner)
        owner.decide(*[makes[number % len(makes)]() for number in dict.fromkeys(numbers)])
        owners[1 - n % 2].check()
    for owner in owners:
        if not owner.ended:
            owner.cancel()
        while not owner.ended:
            owner.pass_time()
    assert not any(name.startswith("signal/") for name in world.keys)
