"""`All` and `Race`: several branches at once.

A branch is a command, or a generator that yields commands. As a branch, a command belongs to the scope
around it; a generator opens a scope of its own, named after the branch's key: its name, or its index.
Neither `All` nor `Race` writes a record; which branch was first is the order of the branches' records.

What cannot be a branch is refused here, where the line that is wrong is still in sight.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from inspect import GEN_CREATED, getgeneratorstate, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import GeneratorType
from typing import Any, ClassVar, Generic, Literal, Never, TypeAlias, TypeVar, overload

import attrs

from ..errors import DefinitionError
from ..outcome import Failed, Succeeded
from .base import Branch, Command, R_co, call_text, changed, check_name, name_of, shown
from .messages import Restart

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")

OnError = Literal["fail", "collect"]
Collected: TypeAlias = Succeeded[T] | Failed

Key: TypeAlias = int | str
AnyBranch: TypeAlias = Command[Any] | Generator[Any, Any, Any]


@attrs.define(init=False, repr=False)
class All(Command[R_co]):
    """Run all branches at the same time and give their values, when the last one has ended.

    ::

        label, box = yield All(Run("label", print_label, order), Run("pack", pack, order))
        prices = yield from All({shop: Run(f"ask {shop}", ask, shop) for shop in shops}, limit=5)

    A tuple in the order of the branches, or a dict for named branches. At most `limit` of them run at a
    time. When one fails, the others are cancelled and its error is raised at the yield; with
    `on_error="collect"` all of them end, and each gives `Succeeded(value)` or `Failed(failure)`.

    `branches` holds (key, branch): the key is the index, or the name.
    """

    kind: ClassVar[str] = "all"
    branches: tuple[tuple[Key, AnyBranch], ...]
    as_dict: bool
    limit: int | None
    on_error: OnError

    @overload
    def __init__(
        self: All[dict[str, T]],
        branches: Mapping[str, Branch[T]],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[dict[str, Collected[T]]],
        branches: Mapping[str, Branch[T]],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["collect"],
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A]], a: Branch[A], /, *, limit: int | None = None, on_error: Literal["fail"] = "fail"
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B]],
        a: Branch[A],
        b: Branch[B],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E, F]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E, F, G]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        g: Branch[G],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[A, B, C, D, E, F, G, H]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        e: Branch[E],
        f: Branch[F],
        g: Branch[G],
        h: Branch[H],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["fail"] = "fail",
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[Collected[A]]], a: Branch[A], /, *, limit: int | None = None, on_error: Literal["collect"]
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[Collected[A], Collected[B]]],
        a: Branch[A],
        b: Branch[B],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["collect"],
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[Collected[A], Collected[B], Collected[C]]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["collect"],
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[Collected[A], Collected[B], Collected[C], Collected[D]]],
        a: Branch[A],
        b: Branch[B],
        c: Branch[C],
        d: Branch[D],
        /,
        *,
        limit: int | None = None,
        on_error: Literal["collect"],
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[T, ...]], *branches: Branch[T], limit: int | None = None, on_error: Literal["fail"] = "fail"
    ) -> None: ...
    @overload
    def __init__(
        self: All[tuple[Collected[T], ...]],
        *branches: Branch[T],
        limit: int | None = None,
        on_error: Literal["collect"],
    ) -> None: ...
    def __init__(self, *branches: Any, limit: int | None = None, on_error: OnError = "fail") -> None:
        self.as_dict = len(branches) == 1 and isinstance(branches[0], Mapping)
        if self.as_dict:
            self.branches = tuple((check_name(key, "name of a branch of All"), b) for key, b in branches[0].items())
        else:
            self.branches = tuple(enumerate(branches))
        _check_branches(self.branches, "All")
        self.limit = None if limit is None else _check_limit(limit)
        self.on_error = _check_on_error(on_error)

    def options(self, *, limit: int | None = None, on_error: OnError | None = None) -> All[Any]:
        """A copy with another limit or answer to errors, holding the same branches."""
        return changed(
            self,
            limit=None if limit is None else _check_limit(limit),
            on_error=None if on_error is None else _check_on_error(on_error),
        )

    def __repr__(self) -> str:
        branches = [_branch_text(branch) for _, branch in self.branches]
        if self.as_dict:
            branches = [
                "{"
                + ", ".join(f"{key!r}: {text}" for (key, _), text in zip(self.branches, branches, strict=True))
                + "}"
            ]
        collect = None if self.on_error == "fail" else self.on_error
        return call_text("All", *branches, limit=self.limit, on_error=collect)


@attrs.frozen
class Winner(Generic[T_co]):
    """The branch that decided a `Race`, and what it gave."""

    name: str
    value: T_co


@attrs.define(init=False, repr=False)
class Race(Command[Winner[T_co]], Generic[T_co]):
    """Run all branches at the same time; the first one to end decides, and the others are cancelled.

    ::

        won = yield Race(shipped=WaitFor("shipped", "order/shipped", timeout="9d"), late=Sleep("late", "3d"))
        if won.name == "late": …

    If the branch that decides failed, its error is raised at the yield. A wait that times out has ended
    too, with None.
    """

    kind: ClassVar[str] = "race"
    branches: tuple[tuple[str, AnyBranch], ...]

    def __init__(self, /, *_nameless: Never, **branches: Branch[T_co]) -> None:
        if _nameless:
            raise DefinitionError("the branches of Race have names, which say who has won; write Race(name=command, …)")
        if not branches:
            raise DefinitionError("Race() has no branches, so nothing could ever win it; write Race(name=command, …)")
        self.branches = tuple((check_name(key, "name of a branch of Race"), b) for key, b in branches.items())
        _check_branches(self.branches, "Race")

    def __repr__(self) -> str:
        return f"Race({', '.join(f'{key}={_branch_text(branch)}' for key, branch in self.branches)})"


# -- what a branch may be --------------------------------------------------------------------------


def _check_branches(branches: tuple[tuple[Key, Any], ...], owner: str) -> None:
    generators: dict[int, Key] = {}
    for key, branch in branches:
        if isinstance(branch, Command) and not isinstance(branch, Restart):
            continue
        if not isinstance(branch, GeneratorType):
            raise DefinitionError(f"branch {key!r} of {owner}: {_refusal(branch)}")
        if getgeneratorstate(branch) != GEN_CREATED:
            raise DefinitionError(f"branch {key!r} of {owner}: {name_of(branch)} has been started; call it afresh")
        if (first := generators.setdefault(id(branch), key)) != key:
            raise DefinitionError(f"branches {first!r} and {key!r} of {owner} are one generator; call it once for each")


def _refusal(branch: Any) -> str:
    """Why this is no branch, and what to write instead."""
    name = name_of(branch)
    match branch:
        case Restart():
            return "Restart ends the whole run, so it is no branch; yield it by itself"
        case Coroutine():
            branch.close()  # so that it does not also warn that it was never awaited
            return f"got the coroutine of {name}, already called; write Run({name!r}, {name}, arguments…)"
        case AsyncGenerator():
            return f"{name} is an async generator; a branch is a command or a plain generator that yields commands"
        case list() | tuple() | set() | frozenset():
            return f"got a {type(branch).__name__}; unpack it: All(*branches)"
    if isgeneratorfunction(branch) or hasattr(branch, "__flowgen_workflow__"):
        return f"{name} is a generator function that was not called; write {name}(…)"
    if iscoroutinefunction(branch) or (callable(branch) and not isasyncgenfunction(branch)):
        return f"{name} is a function; write Run({name!r}, {name}, arguments…)"
    return f"{shown(branch)} is neither a command nor a generator that yields commands"


def _branch_text(branch: AnyBranch) -> str:
    return repr(branch) if isinstance(branch, Command) else f"{name_of(branch)}(…)"


def _check_limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"limit of All: {shown(value)} is not a number of branches; it is an int of at least 1")
    return value


def _check_on_error(value: object) -> OnError:
    if value not in ("fail", "collect"):
        raise DefinitionError(f"on_error of All: {shown(value)} is neither 'fail' nor 'collect'")
    return value
