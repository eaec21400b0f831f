"""A bug that somebody could write into a store."""

from __future__ import annotations

import attrs

from ..variants import Edit


@attrs.frozen
class Bug:
    """What somebody could get wrong: edits of the memory store, and the cases that catch it."""

    name: str
    caught_by: tuple[str, ...]
    edits: tuple[Edit, ...]


def bug(name: str, module: str, find: str, replace: str, *caught_by: str) -> Bug:
    """A bug that is one edit of one module of the memory store."""
    return Bug(name, caught_by, ((module, find, replace),))
