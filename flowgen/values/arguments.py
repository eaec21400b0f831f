"""What a step is called with: as it is recorded, as its function gets it, and its fingerprint."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from itertools import repeat
from typing import Any

from ..errors import UnserializableError
from ..outcome import Json
from .encoding import BACKSLASH, NUL, all_plain, encode_exactly, write, write_sorted
from .lowering import HELP, MAX_DEPTH
from .marks import LocalArgument

PREVIEW_BYTES = 4 * 1024

_DIGEST_BYTES = 12
_SHOWN_BYTES = 1_900
_HELP = "; open it inside the step, or mark it Local(x)"


def encode_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> Json:
    """The JSON `[[positional…], {named…}]` of a step's arguments, the named ones sorted.

    `Local` and `Secret` show only that they are there. Raises `UnserializableError` with the argument
    and the path in it.
    """
    plain = plain_arguments(args, kwargs)
    if plain is not None:
        return plain
    try:
        return Json(encode_exactly((args, kwargs), what, write_sorted, True))
    except UnserializableError:
        _name_argument(args, kwargs, what)
        raise


def plain_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Json | None:
    """The same for arguments that are plain JSON values, which most are; None if they need another look."""
    if all_plain(args, MAX_DEPTH) and (not kwargs or all_plain(kwargs.values(), MAX_DEPTH)):
        try:
            data = write_sorted((args, kwargs))
        except ValueError:
            return None
        if BACKSLASH not in data or data.find(NUL) < 0:
            return Json(data)
    return None


def call_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that the step's function is called with: each `Local` replaced by its value."""
    if all_plain(args, MAX_DEPTH) and all_plain(kwargs.values(), MAX_DEPTH):
        return args, kwargs
    return tuple(map(_unwrapped, args, repeat(MAX_DEPTH))), {
        name: _unwrapped(value, MAX_DEPTH) for name, value in kwargs.items()
    }


def digest(kind: str, arguments: Json) -> str:
    """The fingerprint of a step: its command kind and its encoded arguments."""
    fingerprint = _begun(kind).copy()
    fingerprint.update(arguments)
    return fingerprint.hexdigest()


@lru_cache(maxsize=64)
def _begun(kind: str) -> blake2b:
    """The hash of a kind, to be copied: that costs half of making it anew."""
    return blake2b(digest_size=_DIGEST_BYTES, person=kind.encode())


def preview(arguments: Json) -> Json:
    """The arguments as they are recorded: themselves up to 4 KiB, else text that shows how they begin."""
    data = bytes(arguments)
    if len(data) <= PREVIEW_BYTES:
        return arguments
    return Json(write(data[:_SHOWN_BYTES].decode(errors="ignore") + "…"))


def _name_argument(args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> None:
    """Raise the error of the first argument that cannot be encoded, under its name."""
    named = [(f"args[{index}]", value) for index, value in enumerate(args)]
    for name, value in [*named, *kwargs.items()]:
        try:
            encode_exactly(value, what, write_sorted, True)
        except UnserializableError as error:
            help = _HELP if error.reason.endswith(HELP) else ""
            raise UnserializableError(what, name + error.path.removeprefix("$"), error.reason + help) from None


def _unwrapped(value: Any, levels: int) -> Any:
    """`value` with each `Local` in it, also inside plain containers, replaced by what it marks."""
    kind = type(value)
    if kind is LocalArgument:
        return value.value
    if levels > 0 and kind is dict and not all_plain(value.values(), levels):
        return {key: _unwrapped(item, levels - 1) for key, item in value.items()}
    if levels > 0 and (kind is list or kind is tuple) and not all_plain(value, levels):
        return kind(_unwrapped(item, levels - 1) for item in value)
    return value
