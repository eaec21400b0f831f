"""What the linter tells: findings, the codes that there are, and the comments that silence them."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator, Mapping
from io import StringIO

import attrs

CODES: Mapping[str, str] = {
    "clock": "the body asks for the time",
    "randomness": "the body asks for a random number, or for what differs between processes",
    "io": "the body does, or reads, something outside of the run",
    "set-order": "the body depends on the order of a set",
    "not-yielded": "a command, or a part of a workflow, is made and not yielded",
    "swallowed-cancel": "an except clause swallows the cancellation of the run",
    "shared-state": "the body changes what outlives the run",
    "loop-variable": "a step's function captures a variable of a loop",
    "unstable-id": "the id of a step is not the same each time",
    "yield-in-finally": "a step in a finally block",
    "effect-in-finally": "a finally block or a context manager with effects around a step",
    "ignore": "a comment that ignores a code which there is not",
}


@attrs.frozen(order=True)
class Finding:
    """Something in the code of a workflow that cannot be replayed, or does not do what it seems to."""

    path: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


_COMMENT = re.compile(r"#\s*flowgen:\s*ignore\[([^\]]*)\]")


class Ignored:
    """The comments `# flowgen: ignore[CODE]` of a file: each is about the statement on whose line it stands."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._codes = dict(_comments(text))

    def __contains__(self, place: tuple[int, int, str]) -> bool:
        """Whether a code is ignored on one of two lines: that of the finding, and that of its statement."""
        line, statement, code = place
        return any(code in self._codes.get(number, ()) for number in (line, statement))

    def misspelt(self) -> Iterator[Finding]:
        """Comments about codes that there are not."""
        for line, codes in self._codes.items():
            for code in codes:
                if code not in CODES:
                    message = f"there is no code {code!r}; the codes are {', '.join(CODES)}"
                    yield Finding(self._path, line, "ignore", message)


def _comments(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT and (found := _COMMENT.search(token.string)):
            yield token.start[0], tuple(code.strip() for code in found[1].split(","))
