"""Bugs in the testing kit: a simulation that is not reproducible, or lets the dead write."""

from __future__ import annotations

from .bug import Bug

BUGS = (
    Bug(
        name="unseeded-schedule",
        promise="an equal seed gives an equal timeline, in any process",
        file="flowgen/testing/scheduling.py",
        find="    _run._r = _Dice(seed)\n",
        replace="    _run._r = _Dice()\n",
        tests=("tests/testing/test_simulator.py::test_the_hash_seed_does_not_matter",),
    ),
    Bug(
        name="signals-shuffle",
        promise="an equal seed gives an equal timeline, whatever signals come",
        file="flowgen/testing/scheduling.py",
        find="        if not woken:\n",
        replace="        if True:\n",
        tests=("tests/testing/test_simulator.py::test_signals_do_not_matter",),
    ),
    Bug(
        name="dead-engines-write",
        promise="nothing that a dead engine does reaches the store",
        file="flowgen/testing/connection.py",
        find="        self.dead = True\n",
        replace="        self.dead = False\n",
        tests=("tests/testing/test_connection.py",),
    ),
)
