"""A clock that is set: with this directory on its PYTHONPATH, a Python process has the time that a file says.

CLOCK_AHEAD names the file, which holds the seconds by which the clock is ahead. It is read whenever the process asks
for the time, so the clock can be set while it runs, as that of a machine can.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

if "CLOCK_AHEAD" in os.environ:
    _file, _real = Path(os.environ["CLOCK_AHEAD"]), time.time_ns

    def _time_ns() -> int:
        return _real() + int(float(_file.read_text()) * 1e9)

    time.time_ns = _time_ns
    time.time = lambda: _time_ns() / 1e9
