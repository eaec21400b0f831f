"""Digests of played programs: `python -m tests.properties.fingerprints COUNT` prints one a line.

What they are made of (programs, choices, histories, states, journals) follows from `SEED` alone, so that
processes can be compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from random import Random

from flowgen.codec import encode_record
from tests.properties.happenings import play
from tests.properties.programs import Played, random_block

SEED = 20_261_122


def _played(count: int) -> Iterator[Played]:
    random = Random(SEED)
    for _ in range(count):
        block = random_block(random)
        choices = [random.randrange(1000) for _ in range(25)]
        played = play(block, choices)
        yield played
        played.close()


def of_programs(count: int) -> Iterator[str]:
    """One digest for each program: of its history, its state and its journal."""
    for played in _played(count):
        digest = sha256()
        for record in played.history:
            digest.update(encode_record(record))
        state = played.look(played.interpreter)
        if state["end"] is not None:
            state["end"] = type(state["end"]).__name__  # a trace names the files of this machine
        digest.update(repr(state).encode())
        yield digest.hexdigest()


def variety(count: int) -> tuple[set[str], set[str]]:
    """In which ways the programs end, and which kinds of steps they ask for."""
    ends: set[str] = set()
    kinds: set[str] = set()
    for played in _played(count):
        ends.add(type(played.end).__name__)
        kinds |= {getattr(record, "kind", "run") for record in played.history[1:]}
    return ends, kinds


if __name__ == "__main__":
    for line in of_programs(int(sys.argv[1])):
        print(line)
