"""Each line marked `# refused` is an error for both checkers, and no other line is."""

from __future__ import annotations

from flowgen.cron import Cron
from flowgen.triggers import OnCron

Cron(9)  # refused
Cron("0 9 * * *").next_after("2026-01-01")  # refused
Cron("0 9 * * *").ticks(0, 1)  # refused
OnCron()  # refused
OnCron("0 9 * * *", catch_up="some")  # refused
OnCron("0 9 * * *", jitter=None)  # refused
OnCron("0 9 * * *").schedule = "0 8 * * *"  # refused
