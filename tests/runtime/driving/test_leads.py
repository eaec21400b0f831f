"""Runs that an app leads by itself: recorded as it tells, nobody's to call meanwhile, and the server's after that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from flowgen import Event
from flowgen.errors import InvalidInput, NotFound, WrongState
from flowgen.runtime import Engine
from flowgen.runtime.arrivals import NotNow
from flowgen.runtime.driving.caller import AppAway, Reply
from flowgen.runtime.offering import MOST_ENDPOINTS
from flowgen.runtime.protocol.errors import UserError
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.steps import step_hash

from .driven import ended, told
from .fake_app import FakeApp
from .leading import (
    APP,
    OTHER,
    OUTPUT,
    RUN,
    Asked,
    Entered,
    Place,
    answered,
    arrival,
    arrivals_of,
    complete,
    failed,
    nap,
    ran,
    request,
)

BOOM = UserError("Error", "boom")


async def history(engine: Engine) -> list[str]:
    return told(await engine.history(f"{APP}/{RUN}"))


def test_a_request_is_one_run_that_nobody_calls() -> None:
    """Each step is in the history when it is answered, and so is the end; the request is the run's event."""
    place = Place()

    async def story(engine: Engine) -> Any:
        seen = []
        arrivals = arrivals_of(engine)
        await arrivals.begin(arrival(ran("a", 1)))
        seen.append(await history(engine))
        await arrivals.tell(f"{APP}/{RUN}", [ran("b", 2)])
        seen.append(await history(engine))
        await arrivals.tell(f"{APP}/{RUN}", [complete()])
        info = await engine.run(f"{APP}/{RUN}")
        return seen, await history(engine), info

    seen, last, info = place.run(story)
    assert seen == [["Started", "a = 1"], ["Started", "a = 1", "b = 2"]]
    assert last == ["Started", "a = 1", "b = 2", "EndCompleted"]
    assert (info.status, info.workflow_id, info.result) == ("completed", "GET carts.7", OUTPUT)
    assert (info.event.name, info.event.data["query_params"]) == ("inngest/http.request", "who=ada")
    assert not place.app.asked


def test_a_run_that_is_over_at_once_is_recorded_whole() -> None:
    """One without steps is told of with its end."""
    place = Place()

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(complete()))
        return await history(engine)

    assert place.run(story) == ["Started", "EndCompleted"]
    assert not place.app.asked


def test_a_sleep_is_left_to_the_server() -> None:
    """It is recorded when it is answered; then the app is entered again as it was asked, and told which run it is."""
    place = Place()

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        await arrivals_of(engine).tell(f"{APP}/{RUN}", [nap()])
        seen = await history(engine)
        await ended(engine, f"{APP}/{RUN}")
        return seen, await history(engine)

    seen, last = place.run(story)
    assert seen == ["Started", "a = 1", "nap asks sleep"]
    assert last == ["Started", "a = 1", "nap asks sleep", "nap = None", "EndCompleted"]
    (asked,) = place.app.asked
    assert (asked.method, asked.url, asked.body) == ("GET", "http://127.0.0.1:3000/carts/7?who=ada", b"")
    assert asked.headers["x-run-id"] == RUN
    assert asked.headers["x-inngest-step-id"] == "step"
    assert asked.headers["x-inngest-signature"] == ""
    assert "x-inngest-force-step-plan" not in asked.headers


@pytest.mark.parametrize(
    "method, body, sent",
    [
        ("POST", '{"amount": 1}', b'{"amount": 1}'),
        ("POST", "amount=1", b""),
        ("PUT", "[1]", b""),
        ("PATCH", '{"amount": 1}', b""),
    ],
)
def test_a_request_with_a_body_is_made_again(method: str, body: str, sent: bytes) -> None:
    """With the body that SDKs let through there: a JSON object."""
    place = Place()

    async def story(engine: Engine) -> None:
        await arrivals_of(engine).begin(arrival(nap(), event=request(method=method, body=body)))
        await ended(engine, f"{APP}/{RUN}")

    place.run(story)
    assert [(asked.method, asked.body) for asked in place.app.asked] == [(method, sent)]


def test_what_only_looked_is_made_again_as_get() -> None:
    """The answer to HEAD could not say anything."""
    place = Place()

    async def story(engine: Engine) -> None:
        await arrivals_of(engine).begin(arrival(nap(), event=request(method="HEAD")))
        await ended(engine, f"{APP}/{RUN}")

    place.run(story)
    assert [asked.method for asked in place.app.asked] == ["GET"]


@pytest.mark.parametrize(
    "said, culprit",
    [({"path": "1"}, "'1' is no path"), ({"path": ".example.com/"}, "is no path"), ({"path": 5}, "5 is no path"),
     ({"path": "/", "query_params": {"a": 1}}, "is no query")],
)  # fmt: skip
def test_a_run_is_entered_at_the_place_of_its_app_or_not_at_all(said: dict[str, Any], culprit: str) -> None:
    """What another event says in place of a path would be read as a part of the port, or of the host."""
    place = Place()

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(complete()))
        run = await engine.rerun(f"{APP}/{RUN}", event=Event("http/request", request()["data"] | said))
        return await ended(engine, f"{APP}/{run}")

    info = place.run(story)
    assert (info.status, info.error.type) == ("failed", "UrlRefused")
    assert culprit in info.error.message
    assert not place.app.asked


def test_a_rerun_is_the_request_made_again() -> None:
    """By the server alone; at the place of its app, whatever the event says now."""
    place = Place()

    async def story(engine: Engine) -> str:
        await arrivals_of(engine).begin(arrival(complete()))
        edited = request(domain="http://127.0.0.1:9999", path="/carts/8")
        run = await engine.rerun(f"{APP}/{RUN}", event=Event("http/request", edited["data"]))
        return str((await ended(engine, f"{APP}/{run}")).status)

    assert place.run(story) == "completed"
    assert [asked.url for asked in place.app.asked] == ["http://127.0.0.1:3000/carts/8?who=ada"]


def test_a_step_that_failed_is_tried_again_by_the_server() -> None:
    """After its back-off, with a request that is aimed at it."""

    def answer(asked: Asked) -> Reply:
        again = asked.headers["x-inngest-step-id"] == step_hash("flaky")
        return answered(ran("flaky", "well")) if again else answered(complete())

    place = Place(Entered(answer))

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(failed("flaky", BOOM)))
        await ended(engine, f"{APP}/{RUN}")
        return await history(engine)

    assert place.run(story) == ["Started", "flaky try 1", "flaky = 'well'", "EndCompleted"]
    assert len(place.app.asked) == 2


def test_a_step_that_failed_for_good_is_told_to_its_function() -> None:
    """The app is entered again at once, because it leads the run no more."""
    place = Place()

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(failed("fatal", BOOM, Opcode.STEP_FAILED)))
        await ended(engine, f"{APP}/{RUN}")
        return await history(engine)

    assert place.run(story) == ["Started", "fatal fails Error", "EndCompleted"]


def test_a_function_that_failed_is_tried_again_as_a_whole() -> None:
    """What SDKs say of it looks like a step, and is none."""
    place = Place()

    async def story(engine: Engine) -> Any:
        whole = Op(Opcode.STEP_ERROR, step_hash("complete"), error=BOOM)
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        await arrivals_of(engine).tell(f"{APP}/{RUN}", [whole])
        await ended(engine, f"{APP}/{RUN}")
        return await history(engine)

    assert place.run(story) == ["Started", "a = 1", "(function) try 1", "EndCompleted"]


def test_a_function_that_failed_for_good_has_failed() -> None:
    """It is not tried again."""
    place = Place()

    async def story(engine: Engine) -> Any:
        whole = Op(Opcode.STEP_FAILED, step_hash("complete"), error=BOOM)
        await arrivals_of(engine).begin(arrival(whole))
        info = await ended(engine, f"{APP}/{RUN}")
        return info.status, info.error.message

    assert place.run(story) == ("failed", "boom")
    assert not place.app.asked


def test_planned_steps_are_executed_by_requests_of_their_own() -> None:
    """Beside each other; a discovery meanwhile would say that the app is to plan."""

    def answer(asked: Asked) -> Reply:
        for name in ("p1", "p2"):
            if asked.headers["x-inngest-step-id"] == step_hash(name):
                return answered(ran(name, name))
        return answered(complete())

    place = Place(Entered(answer))

    async def story(engine: Engine) -> Any:
        planned = [Op(Opcode.STEP_PLANNED, step_hash(name), display_name=name) for name in ("p1", "p2")]
        await arrivals_of(engine).begin(arrival(*planned))
        await ended(engine, f"{APP}/{RUN}")
        return sorted(await history(engine))

    assert place.run(story) == ["EndCompleted", "Started", "p1 = 'p1'", "p2 = 'p2'"]
    assert len(place.app.asked) == 3


def test_an_app_that_died_is_entered_again_after_its_silence() -> None:
    """And not before: it may be in a long step. Whatever it tells begins the time anew."""
    place = Place()

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        await trio.sleep(250)
        await arrivals_of(engine).tell(f"{APP}/{RUN}", [ran("b", 2)])
        await trio.sleep(290)
        before = len(place.app.asked)
        await trio.sleep(20)
        await ended(engine, f"{APP}/{RUN}")
        return before, await history(engine)

    assert place.run(story) == (0, ["Started", "a = 1", "b = 2", "EndCompleted"])
    assert len(place.app.asked) == 1


def test_an_app_that_is_away_when_it_is_entered_again_is_waited_for() -> None:
    """As in any call."""
    tries: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        tries.append(asked)
        if len(tries) < 3:
            raise AppAway("nobody is there")
        return answered(complete())

    async def story(engine: Engine) -> str:
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        return str((await ended(engine, f"{APP}/{RUN}")).status)

    assert Place(Entered(answer)).run(story) == "completed"
    assert len(tries) == 3


def test_what_comes_late_changes_nothing_and_is_refused() -> None:
    """The app that was thought to be dead is to stop: its request is executed elsewhere by now."""
    place = Place(Entered(lambda asked: answered(nap("1h"))))

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        await trio.sleep(400)
        for late in (ran("b", 2), complete(), failed("c", BOOM)):
            with pytest.raises(WrongState):
                await arrivals_of(engine).tell(f"{APP}/{RUN}", [late])
        return await history(engine)

    assert place.run(story) == ["Started", "a = 1", "nap asks sleep"]


def test_what_is_told_twice_is_told_once() -> None:
    """An app whose answer was lost says it again, and is answered as before: its beginning, a step, what it leaves."""
    place = Place()

    async def story(engine: Engine) -> Any:
        arrivals = arrivals_of(engine)
        for _ in range(2):
            await arrivals.begin(arrival(ran("a", 1)))
        for _ in range(2):
            await arrivals.tell(f"{APP}/{RUN}", [ran("a", "another")])
        for _ in range(2):
            await arrivals.tell(f"{APP}/{RUN}", [nap()])
        await ended(engine, f"{APP}/{RUN}")
        await arrivals.tell(f"{APP}/{RUN}", [complete({"another": 1})])
        info = await engine.run(f"{APP}/{RUN}")
        return await history(engine), info.result

    assert place.run(story) == (["Started", "a = 1", "nap asks sleep", "nap = None", "EndCompleted"], OUTPUT)


def test_what_is_told_twice_at_once_is_told_once() -> None:
    """Whoever is second waits for the first, be it a request's beginning, a step or its end."""

    async def story(engine: Engine) -> Any:
        arrivals = arrivals_of(engine)

        async def thrice(tell: Callable[[], Awaitable[None]]) -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(tell)

        await thrice(lambda: arrivals.begin(arrival(ran("a", 1), idempotency="once")))
        await thrice(lambda: arrivals.tell(f"{APP}/{RUN}", [ran("b", 2)]))
        await thrice(lambda: arrivals.tell(f"{APP}/{RUN}", [complete()]))
        return await history(engine)

    assert Place().run(story) == ["Started", "a = 1", "b = 2", "EndCompleted"]


def test_a_cancelled_run_is_its_apps_no_more() -> None:
    """It ends although its app is at it, and what the app then tells is refused."""
    place = Place()

    async def story(engine: Engine) -> Any:
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        await engine.cancel(f"{APP}/{RUN}")
        await ended(engine, f"{APP}/{RUN}")
        with pytest.raises(WrongState, match="cancelled"):
            await arrivals_of(engine).tell(f"{APP}/{RUN}", [ran("b", 2)])
        return await history(engine)

    assert place.run(story) == ["Started", "a = 1", "CancelAccepted", "EndCancelled"]


def test_a_run_of_an_engine_that_ended_is_entered_again_by_the_next() -> None:
    """What was told before is not executed again: the next engine finds all of it in the store."""
    place = Place()

    async def main() -> Any:
        async with place.open() as engine:
            await arrivals_of(engine).begin(arrival(ran("a", 1)))
        async with place.open() as engine:
            with trio.fail_after(86_400):
                await ended(engine, f"{APP}/{RUN}")
            return await history(engine)

    assert trio.run(main, clock=place.clock) == ["Started", "a = 1", "EndCompleted"]
    assert len(place.app.asked) == 1


def test_a_run_that_nobody_knows_cannot_be_told_of() -> None:
    """Nor one of another app."""

    async def story(engine: Engine) -> None:
        with pytest.raises(NotFound):
            await arrivals_of(engine).tell(f"{APP}/{RUN}", [ran("a", 1)])
        await arrivals_of(engine).begin(arrival(ran("a", 1)))
        with pytest.raises(NotFound):
            await arrivals_of(engine).tell(f"127.0.0.1-4000/{RUN}", [ran("b", 2)])

    Place().run(story)


@pytest.mark.parametrize(
    "event", [request(domain="http://127.0.0.1:4000"), request(path="/carts/8"), request(body="{}")]
)
def test_the_id_of_a_run_is_nobody_elses(event: dict[str, Any]) -> None:
    """Another app, another function, or another request with it is refused; the run goes on."""
    place = Place()

    async def story(engine: Engine) -> Any:
        arrivals = arrivals_of(engine)
        await arrivals.begin(arrival(ran("a", 1)))
        with pytest.raises(WrongState):
            await arrivals.begin(arrival(ran("b", 1), event=event))
        await arrivals.tell(f"{APP}/{RUN}", [complete()])
        return await history(engine)

    assert place.run(story) == ["Started", "a = 1", "EndCompleted"]


def test_an_idempotency_key_is_that_of_one_run() -> None:
    """A second run of that function with it is not made; with another key, or after a day, it is."""

    async def story(engine: Engine) -> None:
        arrivals = arrivals_of(engine)
        await arrivals.begin(arrival(complete(), idempotency="k"))
        with pytest.raises(WrongState, match=RUN):
            await arrivals.begin(arrival(complete(), run=OTHER, idempotency="k"))
        await arrivals.begin(arrival(complete(), run=f"{OTHER[:-1]}Y", idempotency="l"))
        for _ in range(25):
            await trio.sleep(3_600)
        await arrivals.begin(arrival(complete(), run=OTHER, idempotency="k"))
        assert len((await engine.runs(app=APP)).items) == 3

    Place().run(story)


@pytest.mark.parametrize("max_runs, why", [(1, "this engine has its hands full"), (4, "an app with its hands full")])
def test_an_engine_that_cannot_own_it_makes_no_run(max_runs: int, why: str) -> None:
    """Else another engine would call the app while it is at it. One of four is an app's share."""

    async def story(engine: Engine) -> None:
        arrivals = arrivals_of(engine)
        await arrivals.begin(arrival(ran("a", 1)))
        with pytest.raises(NotNow, match=why):
            await arrivals.begin(arrival(ran("a", 1), run=OTHER))
        await arrivals.tell(f"{APP}/{RUN}", [complete()])
        assert len((await engine.runs(app=APP)).items) == 1

    Place().run(story, max_runs=max_runs)


def test_a_paused_endpoint_makes_no_run() -> None:
    """Its app is told, and may be asked again later."""

    async def story(engine: Engine) -> None:
        arrivals = arrivals_of(engine)
        await arrivals.begin(arrival(complete()))
        await engine.pause(f"{APP}/GET carts.7")
        with pytest.raises(NotNow, match="GET carts.7 is paused"):
            await arrivals.begin(arrival(ran("a", 1), run=OTHER))
        await engine.resume(f"{APP}/GET carts.7")
        await arrivals.begin(arrival(ran("a", 1), run=OTHER))

    Place().run(story)


def test_paths_without_end_are_few_functions() -> None:
    """Of so many the names are known; all others are one function, and are led and entered again as they were asked."""
    place = Place()

    async def story(engine: Engine) -> Any:
        arrivals = arrivals_of(engine)
        for number in range(MOST_ENDPOINTS):
            event = request(path=f"/carts/{number}")
            await arrivals.begin(arrival(complete(), run=f"{OTHER[:-4]}{number:04d}", event=event))
        await arrivals.begin(arrival(ran("a", 1), event=request(path="/one/more")))
        await arrivals.begin(arrival(ran("a", 1), event=request(path="/one/more")))
        await arrivals.tell(f"{APP}/{RUN}", [nap()])
        info = await ended(engine, f"{APP}/{RUN}")
        (app,) = await engine.remote_apps()
        return info.workflow_id, info.status, len(app.functions)

    assert place.run(story) == ("GET *", "completed", MOST_ENDPOINTS + 1)
    assert [asked.url for asked in place.app.asked] == ["http://127.0.0.1:3000/one/more?who=ada"]


def test_paths_that_are_asked_for_at_once_are_few_functions() -> None:
    """None of them finds room that another is about to take."""

    async def story(engine: Engine) -> int:
        async with trio.open_nursery() as nursery:
            for number in range(MOST_ENDPOINTS + 50):
                run, event = f"{OTHER[:-4]}{number:04d}", request(path=f"/carts/{number}")
                nursery.start_soon(arrivals_of(engine).begin, arrival(complete(), run=run, event=event))
        (app,) = await engine.remote_apps()
        return len(app.functions)

    assert Place().run(story) == MOST_ENDPOINTS + 1


def test_an_app_with_a_name_for_its_endpoint_has_one_function() -> None:
    """However many paths it is asked for."""

    async def story(engine: Engine) -> Any:
        for number in range(3):
            event = request(path=f"/carts/{number}", fn="cart")
            await arrivals_of(engine).begin(arrival(complete(), run=f"{OTHER[:-4]}{number:04d}", event=event))
        (app,) = await engine.remote_apps()
        return [function.id for function in app.functions]

    assert Place().run(story) == ["cart"]


def test_another_engine_is_told_of_no_run_that_this_one_has() -> None:
    """It refuses, and changes nothing: the app goes on where it began, and what is recorded is known to both."""
    place = Place()

    async def main() -> Any:
        async with place.open() as one, place.open() as other:
            await arrivals_of(one).begin(arrival(ran("a", 1)))
            with pytest.raises(WrongState, match="running"):
                await arrivals_of(other).tell(f"{APP}/{RUN}", [ran("b", 2)])
            await arrivals_of(other).tell(f"{APP}/{RUN}", [ran("a", 1)])
            await arrivals_of(one).tell(f"{APP}/{RUN}", [complete()])
            return await history(one)

    assert trio.run(main, clock=place.clock) == ["Started", "a = 1", "EndCompleted"]


def test_an_app_that_has_registered_functions_has_no_endpoints() -> None:
    """Neither takes the place of the other."""

    async def story(engine: Engine) -> None:
        registered = FakeApp(APP)
        registered.function("fn")(lambda event: iter(()))
        await engine.offer(registered.registered())
        with pytest.raises(InvalidInput, match="registered"):
            await arrivals_of(engine).begin(arrival(complete()))
        assert not (await engine.runs()).items

    Place().run(story)
