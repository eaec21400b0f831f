"""Marks on arguments that are not recorded as they are, `Secret` and `Local`, and on classes that are no data."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, NoReturn, TypeVar

T = TypeVar("T")


class Secret(Generic[T]):
    """A value that is never shown, logged or stored in clear: open it inside the step with `reveal()`.

    As an argument of a step it is recorded as `{"$secret": true}`; its content does not enter the
    fingerprint. As a result, or in an event, it is refused.

    >>> Secret("hunter2")
    Secret(***)
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: pass what it is made from, and open it inside the step")


class NotData:
    """A class of flowgen's own whose instances belong to a body, and are refused as values though they have fields.

    `_instead` says what to do.
    """

    __slots__ = ()

    _instead: ClassVar[str] = ""


class LocalArgument(Generic[T]):
    """An argument that is passed to the step but not recorded. See `Local`."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: object) -> LocalArgument[T]:
        return self

    def __repr__(self) -> str:
        return f"Local({self.value!r})"


if TYPE_CHECKING:

    def Local(value: T) -> T:
        """Mark an argument of a step as not recorded, such as a client or a connection.

        It is typed as what it marks, and the step's function gets just that. After a crash the
        workflow's code makes it again; what it is does not enter the step's fingerprint.
        """
        ...
else:
    Local = LocalArgument
