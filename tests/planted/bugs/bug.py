"""One planted bug: an edit of one file, and the tests that must notice it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Bug:
    """One edit that breaks one promise.

    `find` occurs in `file` exactly once and becomes `replace`. `tests` are the arguments of pytest that select what
    has to fail.
    """

    name: str
    promise: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
