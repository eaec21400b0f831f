"""Cron: when a schedule ticks, in any time zone, through every change of its clocks.

`text` reads what people write, `ticks` does the arithmetic; `Cron` is both.
"""

from .ticks import Cron

__all__ = ["Cron"]
