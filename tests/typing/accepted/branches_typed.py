"""`All` and `Race` give typed tuples, dicts and winners."""

from __future__ import annotations

from typing import Any, assert_type

from flowgen import All, Event, Failed, Race, Run, Sleep, Steps, Succeeded, WaitFor, Winner


def number(n: int) -> int:
    return n


async def text(n: int) -> str:
    return str(n)


def part(n: int) -> Steps[float]:
    yield Sleep("a", n)
    return 1.5


def body(names: list[str]) -> Steps[None]:
    one = yield from All(Run(number, 1))
    assert_type(one, tuple[int])
    a, b, c, d = yield from All(Run(number, 1), Run(text, 2), part(3), Sleep("nap", 1))
    assert_type(a, int)
    assert_type(b, str)
    assert_type(c, float)
    assert_type(d, None)
    eight = yield from All(
        Run(number, 1), Run(text, 2), Run(number, 3), Run(text, 4), Run(number, 5), Run(text, 6), part(7), Run(text, 8)
    )
    assert_type(eight, tuple[int, str, int, str, int, str, float, str])

    many = yield from All(*[Run(f"n {n}", number, n) for n in range(20)], limit=5)
    assert_type(many, tuple[int, ...])
    parts = yield from All(*[part(n) for n in range(20)])
    assert_type(parts, tuple[float, ...])
    named = yield from All({name: Run(name, text, 1) for name in names})
    assert_type(named, dict[str, str])

    x, y = yield from All(Run(number, 1), Run(text, 2), on_error="collect")
    assert_type(x, Succeeded[int] | Failed)
    assert_type(y, Succeeded[str] | Failed)
    if isinstance(y, Succeeded):
        assert_type(y.value, str)
    else:
        assert_type(y.failure.message, str)
    collected = yield from All(*[Run(f"n {n}", number, n) for n in range(20)], on_error="collect")
    assert_type(collected, tuple[Succeeded[int] | Failed, ...])
    by_name = yield from All({name: part(1) for name in names}, on_error="collect", limit=2)
    assert_type(by_name, dict[str, Succeeded[float] | Failed])

    won = yield from Race(first=Run("1", number, 1), second=Run("2", number, 2))
    assert_type(won, Winner[int])
    assert_type(won.name, str)
    assert_type(won.value, int)
    late = yield from Race(come=WaitFor("w", "a", timeout=1), late=Sleep("late", 1))
    assert_type(late.value, Event[dict[str, Any]] | None)
    nested = yield from All(Race(a=part(1), b=part(2)), All(Run(number, 1), Run(text, 2)))
    assert_type(nested, tuple[Winner[float], tuple[int, str]])
