"""A history as a picture: the bars of examples, and what holds for the picture of any history."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import DAY, HOUR, MINUTE, SECOND
from flowgen.history import (
    AttemptFailed,
    EndFailed,
    Record,
    Requested,
    Retried,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
)
from flowgen.outcome import NULL, Failure
from flowgen.runs import RunRow
from flowgen.runtime.http.ui.asked import Asked
from flowgen.runtime.http.ui.waterfall import Row, Waterfall, waterfall

BOOM = Failure("ValueError", "boom")
T0 = 1_700_000_000_000_000


def row(**changes: Any) -> RunRow:
    """The row of a run that began a second after it was created."""
    made = RunRow("shop", "r", "fulfil", T0, 0, started_at=T0 + SECOND)
    return attrs.evolve(made, **changes)


def drawn(records: list[Record], now: int = T0 + 100 * SECOND, asked: Asked | None = None, **changes: Any) -> Waterfall:
    return waterfall(row(length=len(records), **changes), records, now, asked or Asked())


def bars(found: Row) -> list[tuple[str, float, float]]:
    """The bars of a row: kind, begin and end in seconds after the creation of the run."""
    return [(bar.kind, (bar.begin - T0) / SECOND, (bar.end - T0) / SECOND) for bar in found.bars]


def at(seconds: float) -> int:
    return T0 + int(seconds * SECOND)


def test_the_first_row_is_the_run_itself() -> None:
    """How long it was queued, and how long it ran."""
    picture = drawn([Started(at(1), "d"), EndFailed(at(4), BOOM)], stored="failed", ended_at=at(4))
    (whole,) = picture.rows
    assert (whole.name, whole.state) == ("fulfil", "failed")
    assert bars(whole) == [("queue", 0, 1), ("run", 1, 4)]


def test_a_run_that_has_not_started_is_queued_until_now() -> None:
    """There is nothing else to be seen of it."""
    picture = drawn([], now=at(9), started_at=None)
    assert [bars(each) for each in picture.rows] == [[("queue", 0, 9)]]
    assert picture.rows[0].bars[0].open


def test_attempts_and_the_time_between_them_are_bars() -> None:
    """A retried step is one row: failed tries, back-offs, and the try that came back."""
    records: list[Record] = [
        Started(at(1), "d"),
        AttemptFailed(at(2), "charge", 1, BOOM, at(4), "x"),
        AttemptFailed(at(5), "charge", 2, BOOM, at(9), "x"),
        StepSucceeded(at(12), "charge", NULL),
    ]
    _, charge = drawn(records).rows
    assert bars(charge) == [
        ("failed", 1, 2),
        ("backoff", 2, 4),
        ("failed", 4, 5),
        ("backoff", 5, 9),
        ("attempt", 9, 12),
    ]
    assert (charge.state, charge.attempts) == ("done", 3)
    assert [number for number, _ in charge.failures] == [1, 2]


def test_a_step_that_will_be_tried_again_backs_off_until_now() -> None:
    """And its note says when."""
    records: list[Record] = [Started(at(1), "d"), AttemptFailed(at(2), "charge", 1, BOOM, at(50), "x")]
    _, charge = drawn(records, now=at(10)).rows
    assert bars(charge) == [("failed", 1, 2), ("backoff", 2, 10)]
    assert charge.state == "retrying"
    assert charge.note.startswith("attempt 2 at ")


def test_what_a_retry_took_back_is_not_drawn() -> None:
    """The retry is a mark; the step that failed is asked for anew."""
    records: list[Record] = [
        Started(at(1), "d"),
        StepSucceeded(at(2), "load", NULL),
        StepFailed(at(3), "charge", BOOM),
        EndFailed(at(3), BOOM, "charge"),
        Retried(at(60), 1, 1, ("charge",)),
        StepSucceeded(at(62), "charge", NULL),
    ]
    picture = drawn(records)
    assert [each.name for each in picture.rows] == ["fulfil", "load", "charge"]
    assert picture.rows[2].state == "done"
    assert [mark.text for mark in picture.marks] == ["retried (life 1)"]


def test_without_the_code_a_step_begins_when_the_one_before_it_came_back() -> None:
    """The picture says that this is a guess; branches begin together, and the step after them when the last ended."""
    records: list[Record] = [
        Started(at(1), "d"),
        StepSucceeded(at(2), "load", NULL),
        StepSucceeded(at(4), "all/label/print", NULL),
        StepSucceeded(at(5), "all/label/stick", NULL),
        StepSucceeded(at(9), "all/pack/pack", NULL),
        StepSucceeded(at(10), "ship", NULL),
    ]
    picture = drawn(records)
    assert picture.guessed
    found = {each.step: bars(each) for each in picture.rows if each.bars and each.step}
    assert found["load"] == [("attempt", 1, 2)]
    assert found["all/label/print"] == [("attempt", 2, 4)]
    assert found["all/label/stick"] == [("attempt", 4, 5)]
    assert found["all/pack/pack"] == [("attempt", 2, 9)]
    assert found["ship"] == [("attempt", 9, 10)]


def test_branches_stand_below_their_headings() -> None:
    """Each a step deeper, in the order in which they were asked for."""
    records: list[Record] = [
        Started(at(1), "d"),
        StepSucceeded(at(2), "all/a/one", NULL),
        StepSucceeded(at(3), "all/b/race/x/deep", NULL),
        StepSucceeded(at(4), "all/a/two", NULL),
    ]
    shape = [(each.depth, each.name, each.state == "heading") for each in drawn(records).rows[1:]]
    assert shape == [
        (0, "all · a", True),
        (1, "one", False),
        (1, "two", False),
        (0, "all · b", True),
        (1, "race · x", True),
        (2, "deep", False),
    ]


def test_what_a_run_left_open_when_it_ended_was_given_up() -> None:
    """It ends with the run, and does not go on."""
    records: list[Record] = [
        Started(at(1), "d"),
        Requested(at(1), "nap", "sleep", "", SleepTerms(at(500))),
        EndFailed(at(7), BOOM),
    ]
    nap = drawn(records, stored="failed", ended_at=at(7)).rows[1]
    assert (nap.state, bars(nap)) == ("abandoned", [("sleep", 1, 7)])
    assert not nap.bars[0].open


def test_the_code_tells_what_is_executing() -> None:
    """A body that has come back with nothing yet has a row, which goes on from its request."""
    asked = Asked({"load": at(1), "charge": at(3)}, executing=("charge",), known=True)
    picture = drawn([Started(at(1), "d"), StepSucceeded(at(3), "load", NULL)], now=at(8), asked=asked)
    assert [bars(each) for each in picture.rows[1:]] == [[("attempt", 1, 3)], [("attempt", 3, 8)]]
    assert picture.rows[2].state == "open"
    assert not picture.guessed


def test_the_loser_of_a_race_is_given_up_when_the_race_was_decided() -> None:
    """Not when the run ends, and though the run goes on."""
    records: list[Record] = [
        Started(at(1), "d"),
        Requested(at(1), "late", "sleep", "", SleepTerms(at(500))),
        StepSucceeded(at(4), "work", NULL),
    ]
    asked = Asked({"late": at(1), "work": at(1)}, {"late": at(4)}, known=True)
    late = next(each for each in drawn(records, now=at(90), asked=asked).rows if each.step == "late")
    assert (late.state, bars(late)) == ("abandoned", [("sleep", 1, 4)])


def test_what_a_rerun_kept_took_no_time() -> None:
    """Steps that were copied into it have a row without bars; those that it executed have theirs."""
    records: list[Record] = [
        Started(at(1), ""),
        StepSucceeded(at(1), "load", NULL, digest=""),
        Requested(at(1), "nap", "sleep", "", SleepTerms(at(500))),
        StepSucceeded(at(1), "nap", NULL, "sleep"),
        StepSucceeded(at(3), "charge", NULL, digest="x"),
    ]
    shape = [(each.step, each.state, bars(each)) for each in drawn(records).rows[1:]]
    assert shape == [("load", "kept", []), ("nap", "kept", []), ("charge", "done", [("attempt", 1, 3)])]


# -- any history -----------------------------------------------------------------------------------

names = st.sampled_from(["load", "charge", "all/a/x", "all/b/x", "all/b/race:1/c/y", "ship:1"])


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records in the order of time, of which few make sense together: a picture must bear all of them."""
    now = T0 + SECOND
    records: list[Record] = [Started(now, "d")]
    for _ in range(draw(st.integers(0, 14))):
        now += draw(st.sampled_from([0, 1, 1000, SECOND, MINUTE, HOUR, 30 * DAY]))
        step = draw(names)
        records.append(
            draw(
                st.one_of(
                    st.just(StepSucceeded(now, step, NULL)),
                    st.just(StepFailed(now, step, BOOM, 2)),
                    st.builds(
                        AttemptFailed,
                        st.just(now),
                        st.just(step),
                        st.integers(1, 3),
                        st.just(BOOM),
                        st.integers(now, now + DAY),
                        st.just(""),
                    ),
                    st.just(Requested(now, step, "sleep", "", SleepTerms(now + HOUR))),
                    st.just(Retried(now, draw(st.integers(0, len(records) - 1)), 1, (step,))),
                )
            )
        )
    return records


@given(histories(), st.booleans(), st.sampled_from([0, SECOND, DAY]))
def test_every_bar_has_its_place(records: list[Record], ended: bool, later: int) -> None:
    """No bar ends before it begins, or begins before the run was created; the bars of a row do not overlap; and each
    step that counts has exactly one row."""
    now = records[-1].at + later
    changes: dict[str, Any] = {"stored": "failed", "ended_at": records[-1].at} if ended else {}
    picture = drawn(records, now=now, **changes)
    for each in picture.rows:
        for bar in each.bars:
            assert T0 <= bar.begin <= bar.end
            assert 0 <= picture.scale.place(bar.begin) <= picture.scale.place(bar.end) <= 100
        for one, other in zip(each.bars, each.bars[1:], strict=False):
            assert one.end <= other.begin
    steps = [each.step for each in picture.rows if each.state != "heading" and each.step]
    assert len(steps) == len(set(steps))
    assert set(steps) <= {record.step for record in records if hasattr(record, "step")}


@pytest.mark.parametrize("ended", [True, False])
def test_only_an_open_run_has_open_bars(ended: bool) -> None:
    """What has ended does not go on."""
    records: list[Record] = [Started(at(1), "d"), Requested(at(2), "nap", "sleep", "", SleepTerms(at(90)))]
    changes: dict[str, Any] = {"stored": "failed", "ended_at": at(5)} if ended else {}
    picture = drawn(records, now=at(9), **changes)
    assert any(bar.open for each in picture.rows for bar in each.bars) is not ended
