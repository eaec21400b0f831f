"""Replay is exact: for generated programs and everything that may happen to them (R7, I16, I17).

`Played` compares, after every single record, the live interpreter with one that replayed the history so far:
open steps with their digests and deadlines, clean-ups, the end, and all that the body has seen. The properties
here only have to make programs and histories worth playing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import event, given, settings, target
from hypothesis import strategies as st

from flowgen.codec import decode_record, encode_record
from flowgen.ends import BodyCancelled
from flowgen.history import Requested
from tests.bodies import Fed, picture
from tests.properties import fingerprints
from tests.properties.happenings import play
from tests.properties.programs import Block, Played, blocks, body_of, journal_of

choices = st.lists(st.integers(0, 1000), max_size=30)


@given(blocks(), choices)
def test_live_is_replayed_at_every_prefix(block: Block, choices: list[int]) -> None:
    """Whatever a program does and whatever happens to it, replaying gives the state that it was in."""
    played = play(block, choices)
    target(float(len(played.history)), label="records")
    event(f"ended: {type(played.end).__name__}")
    played.close()


@settings(max_examples=50)
@given(blocks(), choices)
def test_nothing_is_left_behind(block: Block, choices: list[int]) -> None:
    """Cancelled, and its clean-ups timed out, any program ends: with nothing open and nothing cleaning up."""
    played = play(block, choices)
    if played.interpreter.cancelling is None:
        played.cancel("enough")
    if played.end is None:
        played.expire()
    interpreter = played.interpreter
    assert isinstance(played.end, BodyCancelled)
    assert (interpreter.pending, interpreter.cleaning, interpreter.fresh) == ({}, {}, {})
    assert interpreter.next_deadline() is None
    fibers = interpreter._fibers
    assert (fibers._stack, fibers.spawned, fibers._by_scope) == ([], [], {})
    played.close()


@settings(max_examples=50)
@given(blocks(), choices)
def test_ids_are_unique_and_never_come_back(block: Block, choices: list[int]) -> None:
    """Each id is requested once in a history, whatever branches and occurrences there are."""
    played = play(block, choices)
    requested = [record.step for record in played.history if isinstance(record, Requested)]
    assert len(set(requested)) == len(requested)
    played.close()


@settings(max_examples=50)
@given(blocks(), choices)
def test_a_history_replays_from_its_stored_form(block: Block, choices: list[int]) -> None:
    """Encoded and decoded by the codec, the records give the same state."""
    played = play(block, choices)
    again = played.fresh()
    again.replay([decode_record(encode_record(record)) for record in played.history])
    assert played.look(again) == played.look(played.interpreter)
    again.close()
    played.close()


@settings(max_examples=50)
@given(blocks(), choices, st.integers(0, 30))
def test_a_replay_may_stop_anywhere_and_go_on_live(block: Block, choices: list[int], cut: int) -> None:
    """Evicted after any record: replayed up to there and fed the rest, it ends in the same state."""
    played = play(block, choices)
    again = played.fresh()
    again.replay(played.history[:cut])
    again.take_fresh()
    for record in played.history[cut:]:
        again.feed(record)
    assert played.look(again) == played.look(played.interpreter)
    again.close()
    played.close()


@settings(max_examples=50)
@given(blocks(), choices)
def test_additive_code_that_did_not_change_does_the_same(block: Block, choices: list[int]) -> None:
    """`changes="additive"` differs only where code and history do."""
    played = play(block, choices)
    additive = Fed(body_of(block), {"id": "7"}, changes="additive")
    for record in played.history[1:]:
        additive.feed(record)
    assert picture(additive.interpreter) == picture(played.interpreter)
    assert journal_of(additive.interpreter.context) == played.journal
    additive.interpreter.close()
    played.close()


# -- where order is promised not to matter -----------------------------------------------------------


def calm(depth: int = 2) -> st.SearchStrategy[Block]:
    """Programs in which nothing fails, nothing is raced and every group waits for all."""
    step = st.tuples(st.just("step"), st.sampled_from(["run", "sleep"]), st.sampled_from("abc")).map(list)
    if depth == 0:
        return st.lists(st.one_of(step, st.just(["draw"])), max_size=3)
    inner = st.deferred(lambda: calm(depth - 1))
    branch = st.one_of(st.tuples(st.just("command"), step), st.tuples(st.just("generator"), inner)).map(list)
    options = st.fixed_dictionaries(
        {"limit": st.none() | st.integers(1, 2), "collect": st.just(False), "named": st.booleans()}
    )
    group = st.tuples(st.just("all"), options, st.lists(branch, max_size=4)).map(list)
    return st.lists(st.one_of(step, group, st.just(["draw"])), max_size=4)


def run_calmly(block: Block, order: Iterator[int]) -> tuple[set[str], list[str]]:
    """The ids that were asked for and, without times, what the body saw; outcomes come in this order."""
    played = Played(block)
    asked: set[str] = set()
    while played.end is None:
        open_steps = played.asked
        asked |= set(open_steps)
        step = open_steps[next(order) % len(open_steps)]
        played.ok(step, step)
    seen = sorted(line.split(" ", 1)[1] for line in played.journal)
    played.close()
    return asked, seen


@settings(max_examples=50)
@given(calm(), st.lists(st.integers(0, 100), min_size=1), st.lists(st.integers(0, 100), min_size=1))
def test_the_order_of_outcomes_matters_to_nobody_who_waits_for_all(
    block: Block, one: list[int], other: list[int]
) -> None:
    """Without races and failures the steps, their ids, values and draws are the same in any order."""
    assert run_calmly(block, cycle(one)) == run_calmly(block, cycle(other))


# -- another process -------------------------------------------------------------------------------

PROGRAMS = 150
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def here() -> list[str]:
    return list(fingerprints.of_programs(PROGRAMS))


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_another_process_and_hash_seed_give_the_same(hash_seed: str, here: list[str]) -> None:
    """Histories, open steps, digests, draws and what bodies saw are equal, byte for byte."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.properties.fingerprints", str(PROGRAMS)]
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == here


def test_the_programs_of_that_test_are_worth_it(here: list[str]) -> None:
    """They differ, and between them they end in every way and use every kind of command."""
    assert len(set(here)) > PROGRAMS * 0.75
    ends, kinds = fingerprints.variety(PROGRAMS)
    assert ends >= {"BodyReturned", "BodyRaised", "BodyCancelled"}
    assert kinds == {"run", "sleep", "wait", "signal", "invoke", "send", "send_signal"}
