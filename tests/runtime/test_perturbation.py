"""What `flowgen check --perturb` changes: whatever the day, each part of the clock shows something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from flowgen.runtime.replay.perturbation import SHIFT


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
@example(datetime(2026, 11, 23, 17, 36, tzinfo=UTC))  # two new years lie between
@example(datetime(2028, 2, 29, 23, 59, tzinfo=UTC))
@example(datetime(2027, 1, 31, tzinfo=UTC))
def test_every_part_of_the_clock_is_another_one(now: datetime) -> None:
    """Year, month, weekday, hour and minute."""
    then = now + timedelta(microseconds=SHIFT)
    for part in ("%Y", "%m", "%a", "%H", "%M"):
        assert now.strftime(part) != then.strftime(part)
