"""The order in which trio runs its tasks, made to follow from a seed.

Trio shuffles the tasks that are ready at one moment, on purpose. Its tests (and hypothesis and pytest-trio)
make that shuffle deterministic by two private names; so does this, and only here. It puts them back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random

from trio._core import _run


@contextlib.contextmanager
def seeded_scheduling(seed: str) -> Iterator[None]:
    """Inside, trio's choices follow from `seed`, in any process and under any hash seed."""
    dice, allowed = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r = Random(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]
        _run._r = dice
