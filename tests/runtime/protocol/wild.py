"""What strangers send: any JSON, any bytes, and documents that are right but for one place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from flowgen.runtime.protocol.reading import BadResponse, ProtocolError, read_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**70,
        1.5,
        "",
        " ",
        "\n",
        "x" * 300,
        "é",
        "\ud800",
        "\0",
        [],
        {},
        [[]],
        {"": None},
        "1h",
        "step",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
BYTES = st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode())


@st.composite
def bent(draw: st.DrawFn, *documents: Any) -> Any:
    """One of the documents, with another value at one place, or without it, or with one member more."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    places = list(_places(document))
    holder, key = draw(st.sampled_from(places))
    what = draw(st.sampled_from(["replace", "replace", "drop", "add"]))
    if what == "drop":
        del holder[key]
    elif what == "add" and isinstance(holder, dict):
        holder[draw(TEXTS)] = draw(VALUES)
    else:
        holder[key] = draw(ODD | VALUES)
    return document


def wire(document: Any) -> bytes:
    """A document as bytes, whatever is in it."""
    return json.dumps(document).encode()


def received(document: Any, error: type[ProtocolError] = BadResponse) -> Any:
    """A document as it is read at the other end, where much is refused already."""
    return read_json(wire(document), "", error)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place of a document: what holds it, and its key there."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in list(items):
        yield value, key
        yield from _places(member)


def refusal(read: Callable[[], Any]) -> ProtocolError | None:
    """What reading something is refused with; None if it is not. Every other error goes through."""
    try:
        read()
    except ProtocolError as error:
        return error
    return None
