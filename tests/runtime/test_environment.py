"""The estimate of store time, between the answers of the store."""

from __future__ import annotations

from trio.testing import MockClock

from flowgen.runtime.environment import Environment

NOW = 1_767_225_600_000_000
SECOND = 1_000_000


async def test_the_estimate_goes_on_from_the_last_answer(mock_clock: MockClock) -> None:
    """By the monotonic clock; an answer corrects it."""
    environment = Environment()
    environment.saw(NOW)
    mock_clock.jump(5)
    assert environment.now() == NOW + 5 * SECOND
    assert not environment.saw(NOW + 4 * SECOND)
    assert environment.now() == NOW + 4 * SECOND


async def test_a_clock_that_was_set_forward_is_told(mock_clock: MockClock) -> None:
    """Once: from then on the estimate follows it."""
    environment = Environment()
    assert not environment.saw(NOW)
    mock_clock.jump(5)
    assert environment.saw(NOW + 3605 * SECOND)
    mock_clock.jump(5)
    assert not environment.saw(NOW + 3610 * SECOND)


async def test_while_store_time_stands_the_estimate_stands(mock_clock: MockClock) -> None:
    """A clock was set back: what is made due now must be due by the store's time. Then both go on."""
    environment = Environment()
    environment.saw(NOW)
    mock_clock.jump(5)
    environment.saw(NOW)
    mock_clock.jump(600)
    assert environment.now() == NOW
    environment.saw(NOW)
    assert environment.now() == NOW
    environment.saw(NOW + 1)
    mock_clock.jump(2)
    assert environment.now() == NOW + 1 + 2 * SECOND


async def test_the_answers_of_one_group_do_not_stop_it(mock_clock: MockClock) -> None:
    """Commits that were made together are answered with the same time, a moment apart."""
    environment = Environment()
    environment.saw(NOW)
    mock_clock.jump(0.05)
    environment.saw(NOW)
    mock_clock.jump(1)
    assert environment.now() == NOW + 1_050_000


async def test_an_answer_may_be_old(mock_clock: MockClock) -> None:
    """Store time is at most what it was when it was asked for and what has passed since: leases are judged by that."""
    environment = Environment()
    asked = environment.asks()
    mock_clock.jump(30)
    environment.saw(NOW, asked)
    assert environment.now() == NOW
    assert environment.latest() == NOW + 30 * SECOND
    mock_clock.jump(1)
    assert environment.latest() == NOW + 31 * SECOND
    environment.saw(NOW + 40 * SECOND, environment.asks())
    assert environment.latest() == environment.now() == NOW + 40 * SECOND
