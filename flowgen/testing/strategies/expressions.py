"""Expressions and paths over events: what triggers, keys and waits are written with."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

FIELDS = ("a", "b", "order_id", "customer")
_NUMBERS = st.integers(-100, 100).map(str)
_TEXTS = st.sampled_from(['""', '"a"', '"7"', "'späte Post'"])
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


def paths(fields: Sequence[str] = FIELDS, depth: int = 2) -> st.SearchStrategy[str]:
    """Paths into an event, as `match` takes them: `data.order_id`, up to `depth` fields deep.

    >>> paths(["id"], depth=1).validate()
    """
    return st.lists(st.sampled_from(list(fields)), min_size=1, max_size=depth).map(
        lambda names: ".".join(["data", *names])
    )


def expressions(variables: Sequence[str] = ("event",), fields: Sequence[str] = FIELDS) -> st.SearchStrategy[str]:
    """Conditions over events: plain paths, and CEL; all of them compile, on some events they fail.

    `variables` are what they read: `("event",)` for triggers, `("event", "async")` in the `where` of a wait.

    >>> expressions(("event", "async")).validate()
    """
    path = st.tuples(st.sampled_from(list(variables)), paths(fields)).map(".".join)
    operand = st.one_of(path, _NUMBERS, _TEXTS)
    compared = st.tuples(path, st.sampled_from(_COMPARISONS), operand).map(" ".join)
    leaf = st.one_of(st.sampled_from(["true", "false"]), compared, path.map("has({})".format))
    condition = st.recursive(leaf, _combined, max_leaves=4)
    return st.one_of(path, condition)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    both = st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: "({} {} {})".format(*parts))
    return st.one_of(both, inner.map("!({})".format))
