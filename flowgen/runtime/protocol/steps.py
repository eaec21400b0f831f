"""A step's name on both sides: its id in our histories, its hash on the wire.

The hash is the SHA-1 of the id. Where a name is used again in a run, the k-th repeat has the id `name:k` on both
sides, so our ids and theirs have the same hash. An op whose name does not lead to its hash (an SDK that makes hashes
in its own way, or a name that cannot be stored) goes by the hash itself: `step_hash` leaves 40 hex digits as they are.

So for each hash h and each op with it: `step_hash(step_id_of(op)) == h`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import sha1
from typing import Final

MAX_STEP_ID: Final = 512
"""Characters of a step's name that are kept; one that is longer goes by its hash."""

DISCOVERY: Final = "step"
"""What stands for no step at all, where a call names the step it is aimed at."""

_HASH: Final = re.compile(r"[0-9a-f]{40}")


def is_hash(text: str) -> bool:
    """Whether a text has the form of a step's hash."""
    return _HASH.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def step_hash(step_id: str) -> str:
    """The hash that a step of our histories has on the wire.

    >>> step_hash("my-step-id")
    'e7d8a2f140845095749d60246ff1110c9d01d76a'
    """
    if is_hash(step_id):
        return step_id
    return sha1(step_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def step_id(hash: str, name: str | None, index: int | None = None, display_name: str | None = None) -> str:
    """The id that a step has in our histories: the name that leads to its hash, or the hash."""
    names = [] if name is None else [name, f"{name}:{index}"] if index is not None else [name]
    if display_name is not None:
        names.append(display_name)
    for candidate in names:
        if _is_storable(candidate) and step_hash(candidate) == hash:
            return candidate
    return hash


def _is_storable(name: str) -> bool:
    """Whether a name can be an id: not empty, not too long, without characters that cannot be shown or kept."""
    if not 1 <= len(name) <= MAX_STEP_ID:
        return False
    return name.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)
