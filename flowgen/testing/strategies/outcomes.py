"""Outcomes: what one attempt at a step comes to, and what all of its attempts do.

A failure that is drawn is wrapped as `Raise(error)`, so that it is told from a value. `raises` gives such, to
stand beside values: `st.floats() | raises(Timeout)`.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from ...commands.base import shown
from ...errors import DefinitionError, NonRetriableError, RetryAfterError
from ...retry import MAX_RETRIES
from .values import Strategy, values

T = TypeVar("T")

Kind = type[BaseException] | BaseException

DEFAULT_RETRIES = 4
_TEXT = "simulated"
_CHOICES = 8


@attrs.frozen
class Raise:
    """An attempt that raises this exception."""

    error: BaseException = attrs.field(eq=repr)


def failures(*kinds: Kind) -> st.SearchStrategy[BaseException]:
    """Exceptions: of these classes, or these themselves; by default one of each sort that retrying tells apart.

    >>> failures(ConnectionError).validate()
    """
    if not kinds:
        return st.sampled_from(
            [
                ConnectionError(_TEXT),
                TimeoutError(_TEXT),
                RetryAfterError(_TEXT, "30s"),
                NonRetriableError(_TEXT),
            ]
        )
    return st.sampled_from([_error(kind) for kind in kinds])


def _error(kind: Kind) -> BaseException:
    if isinstance(kind, BaseException):
        return kind
    if not _is_exception_class(kind):
        raise DefinitionError(f"raises({shown(kind)}): it is neither an exception nor a class of exceptions")
    for arguments in ((_TEXT,), ()):
        try:
            return kind(*arguments)
        except Exception:
            continue
    raise DefinitionError(
        f"raises({kind.__name__}): it cannot be made of one text or of nothing; give an instance, {kind.__name__}(…)"
    )


def _is_exception_class(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def raises(*kinds: Kind) -> st.SearchStrategy[Raise]:
    """Attempts that raise: `steps={"charge": st.floats(0, 100) | raises(Timeout)}`."""
    return _raised(failures(*kinds))


def _raised(errors: Strategy) -> st.SearchStrategy[Raise]:
    """The same as attempts, which a counter-example has only where they matter."""
    return costly(errors).map(Raise)


def costly(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """The same, but less simple than anything else.

    Hypothesis takes what needs fewer choices for simpler, and this needs some for nothing. There is only one way to
    make each of them: where there were more, hypothesis would try them, and spend its examples on what is the same.
    """
    return st.tuples(strategy, *[st.integers(0, 0)] * _CHOICES).map(itemgetter(0))


def outcomes(result: Strategy | Any = Any, errors: Strategy | None = None) -> Strategy:
    """What one attempt comes to: a value, or a `Raise`.

    `result` is a strategy of values or the annotation of a step's function, and `errors` are the exceptions
    (default: `failures()`).
    """
    returned = result if isinstance(result, st.SearchStrategy) else values(result)
    return returned | _raised(failures() if errors is None else errors)


def retry_sequences(
    result: Strategy | Any = Any, errors: Strategy | None = None, retries: int = DEFAULT_RETRIES
) -> st.SearchStrategy[list[Any]]:
    """What the attempts of one step come to, first to last: failures, and in the end a value or the last failure.

    At most `1 + retries` of them. `scripted({"charge": sequence})` makes the step behave so.
    """
    if not 0 <= retries <= MAX_RETRIES:
        raise DefinitionError(f"retries={retries!r} of retry_sequences: a step has 0 to {MAX_RETRIES} retries")
    returned = result if isinstance(result, st.SearchStrategy) else values(result)
    raised = _raised(failures() if errors is None else errors)
    succeeds = st.tuples(st.lists(raised, max_size=retries), returned).map(lambda drawn: [*drawn[0], drawn[1]])
    return succeeds | st.lists(raised, min_size=1 + retries, max_size=1 + retries)
