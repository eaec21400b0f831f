"""User values as JSON: results, arguments and event data on their way into a history.

`encode` writes any supported value by its runtime type; `decoder(annotation)` reads it back as what the
annotation says. What is written:

=========================================  ==========================================================
JSON scalars, list, dict                   themselves; integers of any size up to 4,300 digits
tuple, NamedTuple, deque, set, frozenset   an array (sets sorted by their encoded members)
attrs, dataclass, pydantic, TypedDict      an object with the fields
Enum                                       the member's value
datetime, date, time, timedelta            ISO 8601 text
Decimal, UUID                              text
bytes, bytearray                           base64 text
keys of a dict                             text; int, Enum, UUID and date keys are written as text
=========================================  ==========================================================

Rules: nothing is written that would not come back. So NaN and infinity, NUL characters and lone surrogates
(no database takes them), cycles, more than 64 levels and two keys that become one are refused, each
with the path to the culprit. A `Secret` is refused in results and events, and an argument shows only
that it is there. Equal values give equal bytes in every process: with `canonical` dicts are sorted too.

`encoding` has the doors and the hot path, `lowering` the exact way for everything that is not plain JSON,
`arguments` what a step is called with, `marks` the arguments that are not recorded, `decoders` and `structuring`
the way back.

Refuses to know: what a value means, and which step or event it belongs to.
"""

from __future__ import annotations

from ..outcome import Json
from .annotations import has_fields, return_annotation
from .arguments import PREVIEW_BYTES, call_arguments, digest, encode_arguments, plain_arguments, preview
from .decoders import decode, decoder
from .encoding import MAX_RESULT_BYTES, encode
from .lowering import MAX_DEPTH
from .marks import Local, NotData, Secret

__all__ = [
    "MAX_DEPTH",
    "MAX_RESULT_BYTES",
    "PREVIEW_BYTES",
    "Json",
    "Local",
    "NotData",
    "Secret",
    "call_arguments",
    "decode",
    "decoder",
    "digest",
    "encode",
    "encode_arguments",
    "has_fields",
    "plain_arguments",
    "preview",
    "return_annotation",
]
