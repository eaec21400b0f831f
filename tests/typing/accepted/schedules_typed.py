"""What schedules are made of, and what they give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, assert_type

from flowgen.cron import Cron
from flowgen.triggers import OnCron

schedule = Cron("TZ=Asia/Tokyo 0 9 * * MON")
assert_type(schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC)), datetime)
assert_type(schedule.previous_before(datetime(2026, 1, 1, tzinfo=UTC)), datetime)
assert_type(schedule.next_tick(0), int)
assert_type(schedule.previous_tick(0), int)
assert_type(schedule.ticks(0, 1, limit=10), list[int])

assert_type(OnCron("0 9 * * *").cron, Cron)
assert_type(OnCron("0 9 * * *", jitter="5m").jitter, int)
assert_type(OnCron("0 9 * * *", 90, "all").catch_up, Literal["none", "last", "all"])
OnCron("0 9 * * *", jitter=timedelta(minutes=5), catch_up="none")
