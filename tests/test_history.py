"""What a fold over a history has to look at, and what its open requests are."""

from __future__ import annotations

from typing import Any, get_args

import attrs
from hypothesis import given
from hypothesis import strategies as st

from flowgen import history
from flowgen.history import (
    ENDS,
    OUTCOMES,
    STEP_RECORDS,
    AttemptFailed,
    EndFailed,
    Record,
    Requested,
    Retried,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    effective,
    open_requests,
)
from flowgen.outcome import NULL, Failure

NO = Failure("ValueError", "no")


def ok(step: str) -> StepSucceeded:
    return StepSucceeded(0, step, NULL)


def asked(step: str) -> Requested:
    return Requested(0, step, "sleep", "", SleepTerms(5))


def kept(*records: Record) -> list[int]:
    return [position for position, _ in effective(records)]


def test_without_retries_every_record_counts() -> None:
    """Positions are places in the history."""
    records = [Started(0, ""), ok("a"), EndFailed(0, NO)]
    assert effective(records) == list(enumerate(records))


def test_retried_takes_back_what_follows_its_position() -> None:
    """The end, the failure, and nothing before them; the `Retried` itself stays, at its own position."""
    assert kept(
        Started(0, ""), ok("a"), StepFailed(0, "b", NO), EndFailed(0, NO), Retried(0, 1, 1, ("b",)), ok("b")
    ) == [
        0,
        1,
        4,
        5,
    ]


def test_retried_takes_back_all_of_its_steps() -> None:
    """Earlier attempts and requests of them too, others' not."""
    records = [
        Started(0, ""),
        AttemptFailed(0, "b", 1, NO, 0, ""),
        asked("w"),
        AttemptFailed(0, "c", 1, NO, 0, ""),
        StepFailed(0, "b", NO),
        EndFailed(0, NO),
        Retried(0, 3, 1, ("b", "w")),
    ]
    assert kept(*records) == [0, 3, 6]


def test_a_step_asked_for_again_counts_again() -> None:
    """What a later life records of a step is not touched by the earlier `Retried`."""
    records = [Started(0, ""), asked("w"), EndFailed(0, NO), Retried(0, 1, 1, ("w",)), asked("w"), ok("w")]
    assert kept(*records) == [0, 3, 4, 5]


def test_retries_add_up() -> None:
    """A second `Retried` looks at positions of the whole history."""
    records = [
        Started(0, ""),
        ok("a"),
        StepFailed(0, "b", NO),
        EndFailed(0, NO),
        Retried(0, 1, 1, ("b",)),
        ok("b"),
        StepFailed(0, "c", NO),
        EndFailed(0, NO, "c"),
        Retried(0, 5, 2, ("c",)),
    ]
    assert kept(*records) == [0, 1, 4, 5, 8]


def test_open_requests_are_those_without_an_outcome() -> None:
    """In their order; what was retried is as if it had never been asked."""
    records = [Started(0, ""), asked("a"), asked("b"), ok("a"), asked("c")]
    assert list(open_requests(records)) == ["b", "c"]
    again = [*records, EndFailed(0, NO), Retried(0, 4, 1, ("b",))]
    assert list(open_requests(again)) == ["c"]


def test_the_unions_and_the_tuples_agree() -> None:
    """What is a step record, an outcome or an end is said once for `isinstance` and once for types."""
    assert set(STEP_RECORDS) == set(get_args(history.StepRecord))
    assert set(OUTCOMES) == set(get_args(history.Outcome))
    assert set(ENDS) == set(get_args(history.End))
    every = {c for c in vars(history).values() if isinstance(c, type) and attrs.has(c) and hasattr(c, "at")}
    assert every == set(get_args(history.Record))


steps = st.sampled_from("abc")
records = st.one_of(
    steps.map(ok), steps.map(asked), steps.map(lambda s: StepFailed(0, s, NO)), st.just(EndFailed(0, NO))
)


@st.composite
def histories(draw: Any) -> list[Record]:
    """Any records, with retries to any earlier place among them."""
    made: list[Record] = [Started(0, "")]
    for record in draw(st.lists(records, max_size=20)):
        made.append(record)
        if draw(st.integers(0, 4)) == 0:
            upto = draw(st.integers(0, len(made) - 1))
            made.append(Retried(0, upto, 1, tuple(draw(st.sets(steps)))))
    return made


@given(histories())
def test_an_effective_history_is_part_of_the_history_in_its_order(made: list[Record]) -> None:
    """Positions grow, and each leads to its record; the start and every `Retried` after the last one stay."""
    folded = effective(made)
    assert [position for position, _ in folded] == sorted({position for position, _ in folded})
    assert all(made[position] is record for position, record in folded)
    assert folded[0] == (0, made[0])


@given(histories())
def test_a_fold_may_be_done_in_parts(made: list[Record]) -> None:
    """What a longer history keeps of a shorter one, the shorter one kept as well: folding is monotone."""
    for cut in range(len(made)):
        shorter = {position for position, _ in effective(made[:cut])}
        longer = {position for position, _ in effective(made)}
        assert {position for position in longer if position < cut} <= shorter
