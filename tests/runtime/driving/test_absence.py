"""An app that is away: its runs wait for it, and nothing is used up, for a day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, Context, OnEvent, Run, Steps
from flowgen.history import AttemptFailed, Record
from flowgen.outcome import Failure
from flowgen.retry import Backoff
from flowgen.runtime import Engine
from flowgen.runtime.driving.absence import LONGEST, Absence
from flowgen.runtime.driving.caller import AppAway, CallFailed, Headers, Reply
from flowgen.runtime.protocol.calls import Call
from flowgen.runtime.protocol.errors import APP_AWAY

from .driven import World, ended, finished, start, told
from .fake_app import FakeApp, Function, parallel, run
from .served import Served

HOUR = 3_600.0
DAY = 24 * HOUR

Plan = Callable[[int, float], Exception | None]
"""What is wrong with the n-th call (from 1), so many seconds after the first."""


def two_steps(event: Any) -> Any:
    first = yield run("a", lambda: 1)
    second = yield run("b", lambda: 2)
    return [first, second]


def failing(plan: Plan, body: Any = two_steps, retries: int = 0) -> FakeApp:
    """An app whose calls fail as planned."""
    app = FakeApp()
    app.functions["fn"] = Function("fn", body, "go", retries=retries)
    begun: list[float] = []

    async def before(target: str, call: Call) -> Reply | None:
        begun.append(trio.current_time())
        error = plan(len(begun), begun[-1] - begun[0])
        if error is not None:
            raise error
        return None

    app.before = before
    return app


def away(until: float) -> Plan:
    """Nobody is there until then."""
    return lambda number, since: AppAway("nobody is there") if since < until else None


async def whole(engine: Engine) -> tuple[Any, list[Record]]:
    run = await start(engine)
    return await finished(engine, run), await engine.history(run)


# -- a deploy ----------------------------------------------------------------------------------------


def test_an_app_that_is_away_for_hours_costs_its_run_nothing() -> None:
    """Not even a function that is never tried again; and no call tells of tries that reached nobody."""
    app = failing(away(6 * HOUR))
    result, history = World(app).run(whole)
    assert result == [1, 2]
    assert app.executed == ["a", "b"]
    lost = [record for record in history if isinstance(record, AttemptFailed)]
    assert {record.failure.type for record in lost} == {APP_AWAY}
    assert [record.attempt for record in lost] == list(range(1, len(lost) + 1))
    assert len(lost) < 100
    assert [call.attempt for _, call in app.calls] == [0] * len(app.calls)


def test_the_app_is_found_soon_after_a_short_deploy() -> None:
    """The first tries follow one another closely."""

    async def story(engine: Engine) -> float:
        began = trio.current_time()
        await whole(engine)
        return trio.current_time() - began

    assert World(failing(away(20))).run(story) < 50


def test_steps_that_are_planned_wait_too() -> None:
    """A call that is aimed at a step is like any other. Two that are planned together go in either order."""

    def both(event: Any) -> Any:
        return (yield parallel(run("a", lambda: 1), run("b", lambda: 2)))

    app = failing(lambda number, since: AppAway("away") if number > 1 and since < 2 * HOUR else None, both)
    result, history = World(app).run(whole)
    assert result == [1, 2]
    assert sorted(app.executed) == ["a", "b"]
    assert {record.step for record in history if isinstance(record, AttemptFailed)} == {"a", "b"}


def test_after_a_day_its_runs_fail() -> None:
    """As those of an app that does not answer; the message says what was tried."""
    app = failing(away(1_000 * DAY), retries=2)

    async def story(engine: Engine) -> Any:
        began, run = trio.current_time(), await start(engine)
        info = await ended(engine, run)
        return info.status, info.error, trio.current_time() - began, await engine.history(run)

    status, error, took, history = World(app).run(story)
    assert (status, error.type) == ("failed", "AppUnreachable")
    assert "nobody is there" in error.message
    assert DAY <= took < DAY + HOUR
    of_away = [record for record in history if isinstance(record, AttemptFailed)]
    assert [record.failure.type for record in of_away][-2:] == ["AppUnreachable"] * 2
    assert len(of_away) < 400


def test_each_answer_begins_a_new_day() -> None:
    """An app that is away for most of each day, and answers one call in between, is waited for."""
    answered: list[float] = []

    def plan(number: int, since: float) -> Exception | None:
        if since < (answered[-1] if answered else 0) + 13 * HOUR:
            return AppAway("away")
        answered.append(since)
        return None

    result, _ = World(failing(plan)).run(whole)
    assert result == [1, 2]
    assert answered[-1] > DAY


def test_a_retry_begins_a_new_day() -> None:
    """A run that has failed for its app waits for it again when it is retried."""
    app = failing(lambda number, since: AppAway("away") if since < 1.05 * DAY else None, retries=1)

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        failed = (await ended(engine, run)).status
        await engine.retry(run)
        while (await engine.run(run)).status == "failed":
            await engine.store.wait_changed(60)
        return failed, await finished(engine, run)

    assert World(app).run(story) == ("failed", [1, 2])


# -- what counts ---------------------------------------------------------------------------------------


def test_tries_that_failed_count_however_often_nobody_was_there() -> None:
    """A function is tried as often as it says, be its app away before, between or after."""
    wrong = {1: AppAway, 2: CallFailed, 3: AppAway, 4: AppAway, 5: CallFailed, 6: AppAway, 7: CallFailed}
    app = failing(lambda number, since: wrong[number]("wrong") if number in wrong else None, retries=2)

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    info = World(app).run(story)
    assert (info.status, info.error.type) == ("failed", "AppUnreachable")
    assert [call.attempt for _, call in app.calls] == [0, 0, 1, 1, 1, 2, 2]


def test_what_a_step_failed_counts_however_often_nobody_was_there() -> None:
    """The tries of a step that is executed by a discovery, too."""
    tries: list[int] = []

    def flaky() -> int:
        tries.append(len(app.calls))
        raise ValueError("flaky")

    def body(event: Any) -> Any:
        return (yield run("a", flaky))

    app = failing(lambda number, since: AppAway("away") if number in (1, 2, 3, 5, 6) else None, body, retries=1)

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    assert World(app).run(story).status == "failed"
    assert tries == [4, 7]


def test_an_app_cannot_say_that_it_is_away() -> None:
    """It has answered: an error that it calls so counts like any other."""

    class AppAway(Exception):
        pass

    def body(event: Any) -> Any:
        raise AppAway("not really")
        yield

    app = failing(lambda number, since: None, body, retries=3)
    result, history = World(app).run(whole)
    assert result[0] == "failed"
    assert len(app.calls) == 4
    assert not [record for record in history if isinstance(record, AttemptFailed) and record.failure.type == APP_AWAY]


def test_it_is_remembered_by_the_history_alone() -> None:
    """An engine that takes the run over knows for how long the app has been away, and what has counted."""
    app = failing(away(1_000 * DAY), retries=1)
    world = World(app)

    async def main() -> Any:
        await world.store.open()
        async with world.open() as engine:
            await engine.offer(app.registered())
            began, run = trio.current_time(), await start(engine)
            await trio.sleep(15 * HOUR)
        async with world.open() as engine:
            info = await ended(engine, run)
            return info.status, trio.current_time() - began

    status, took = trio.run(main, clock=world.clock)
    assert status == "failed"
    assert DAY <= took < DAY + HOUR


# -- apps of ours ----------------------------------------------------------------------------------------


def test_a_step_of_ours_counts_the_tries_of_its_body_alone() -> None:
    """Its app is not told of those that reached nobody, so it fails for good after its own."""
    bodies: list[int] = []

    def flaky() -> None:
        bodies.append(len(served.calls))
        raise ValueError("flaky")

    app = App("there")

    @app.workflow(on=OnEvent("go"), retries=2, backoff=Backoff.fixed("1s"))
    def fn(ctx: Context) -> Steps[None]:
        yield Run("a", flaky)

    served = Served(app)
    send, asked = served.send, [0]

    async def sometimes(url: str, headers: Headers, body: bytes) -> Reply:
        asked[0] += 1
        if asked[0] in (2, 3, 5, 6):
            raise AppAway("nobody is there")
        return await send(url, headers, body)

    served.send = sometimes  # type: ignore[method-assign]

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        info = await ended(engine, run)
        return info.status, told(await engine.history(run))

    status, history = World(served).run(story)  # type: ignore[arg-type]
    assert status == "failed"
    assert len(bodies) == 3
    assert history == ["Started", *(f"a try {n}" for n in range(1, 7)), "a fails ValueError", "EndFailed"]


# -- the fold --------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * LONGEST)), max_size=30))
def test_what_counts_and_for_how_long(tries: list[tuple[bool, int]]) -> None:
    """All tries but those that reached nobody count; the day begins with the first of these since an answer."""
    absence, at, since, lost = Absence(), 0, None, 0
    for number, (is_away, later) in enumerate(tries, 1):
        at += later
        absence.note(AttemptFailed(at, "a", number, Failure(APP_AWAY if is_away else "Error", ""), at, ""))
        lost += is_away
        since = (at if since is None else since) if is_away else None
        assert absence.tries("a") == lost
        assert (absence.delay("a", at, 0.5) is None) == (since is not None and at - since >= LONGEST)
