"""Settings for all tests.

Hypothesis has no deadline, because the machine may be busy. With `CI` set its examples are the same on
each run; without it they are new ones, so that developers' runs go on searching.

Some suites run twice: see `twice`. Coverage is measured while a test is young: see `measured`.

Where tests are begun in the background Ctrl-C is ignored, and so it would be by the processes that they start: those
are to hear it.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

from tests.measured import pytest_runtest_protocol
from tests.twice import place, pytest_generate_tests, pytest_pyfunc_call

__all__ = ["place", "pytest_generate_tests", "pytest_pyfunc_call", "pytest_runtest_protocol"]

settings.register_profile("developer", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
