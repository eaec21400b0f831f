"""Registrations: what SDKs say of an app becomes definitions, and what cannot be is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from flowgen import Batch, CancelOn, Concurrency, Debounce, Priority, RateLimit, Singleton, Throttle, Timeouts
from flowgen.expression import Expression
from flowgen.flow_control import Policies
from flowgen.runtime.protocol.reading import BadRegistration
from flowgen.runtime.protocol.registration import (
    MAX_FUNCTIONS,
    MAX_TRIGGERS,
    RemoteApp,
    RemoteFunction,
    fingerprint,
    ours,
    parse_registration,
)
from flowgen.triggers import OnEvent
from flowgen.workflow import Definition, ScheduleDefinition, TriggerDefinition

from .wild import BYTES, bent, refusal, wire

URL = "http://127.0.0.1:3000/api/inngest"


def function(id: str = "shop-pay", **members: Any) -> dict[str, Any]:
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": f"{URL}?fnId={id}&stepId=step"}}
    return {"id": id, "name": id, "triggers": [{"event": "order/placed"}], "steps": {"step": step}, **members}


def app(*functions: Any, **members: Any) -> dict[str, Any]:
    return {
        "v": "0.1",
        "deployType": "ping",
        "sdk": "inngest-js:v4.24.0",
        "url": URL,
        "appName": "shop",
        "framework": "nodejs",
        "functions": list(functions or [function()]),
        **members,
    }


def registered(document: Any) -> RemoteApp:
    return parse_registration(wire(document))


def one(**members: Any) -> RemoteFunction:
    (found,) = registered(app(function(**members))).functions
    return found


def policies(**members: Any) -> Policies:
    return one(**members).definition.policies


def refused(document: Any) -> tuple[str, str]:
    """Place and reason."""
    error = refusal(lambda: registered(document))
    assert isinstance(error, BadRegistration)
    return error.place, error.reason


# -- apps ------------------------------------------------------------------------------------------


def test_an_app_is_read() -> None:
    """Who it is, where it is, and its functions by their ids."""
    found = registered(app(function(), function("shop-ship"), appVersion="7"))
    assert (found.name, found.version, found.sdk, found.url, found.framework) == (
        "shop",
        "7",
        "inngest-js:v4.24.0",
        URL,
        "nodejs",
    )
    assert found.functions[0] == RemoteFunction(
        id="pay",
        slug="shop-pay",
        name="shop-pay",
        url=f"{URL}?fnId=shop-pay&stepId=step",
        retries=4,
        definition=Definition("pay", (TriggerDefinition("order/placed"),)),
    )
    assert [each.id for each in found.functions] == ["pay", "ship"]
    assert not found.is_flowgen


def test_keys_match_whatever_their_capitals_are() -> None:
    """Python's SDK says `appname`."""
    said = app()
    said["appname"] = said.pop("appName")
    said["FUNCTIONS"] = said.pop("functions")
    assert registered(said).name == "shop"


def test_an_answer_in_band_says_the_same() -> None:
    """In other members."""
    said = {
        "app_id": "shop",
        "app_version": "7",
        "env": None,
        "framework": "flask",
        "functions": [function()],
        "inspection": {},
        "platform": None,
        "sdk_author": "inngest",
        "sdk_language": "py",
        "sdk_version": "0.5.19",
        "url": URL,
    }
    found = registered(said)
    assert (found.name, found.version, found.sdk) == ("shop", "7", "inngest-py:v0.5.19")
    assert found.functions == registered(app()).functions
    own = registered(said | {"sdk_author": "flowgen", "sdk_version": "1.0"})
    assert (own.sdk, own.is_flowgen) == ("flowgen:v1.0", True)


def test_a_function_that_is_named_without_its_app() -> None:
    """It keeps its name."""
    assert (one(id="pay").id, one(id="pay").slug) == ("pay", "pay")


def test_the_fingerprint_changes_with_what_an_app_says() -> None:
    """And with nothing else: not with what differs from one registration to the next."""
    said = app(function())
    same = app(
        function(steps={"s": {"runtime": {"type": "http", "url": f"{URL}?deployId=9&fnId=shop-pay&stepId=step"}}}),
        featureObservations={"n": 1},
        idempotencyKey="k",
        deployId="9",
    )
    again = app(function(steps={"s": {"runtime": {"type": "http", "url": f"{URL}?fnId=shop-pay&stepId=step"}}}))
    assert fingerprint(same) == fingerprint(again)
    assert fingerprint(said) == fingerprint(dict(reversed(said.items())))
    for other in (
        app(appVersion="8"),
        app(function("shop-pay2")),
        app(function(retries={"attempts": 1})),
        app(url=URL + "2"),
    ):
        assert fingerprint(other) != fingerprint(said)


@pytest.mark.parametrize(
    "document, place, reason",
    [
        ([], "", "must be an object"),
        ({}, "appName", "is missing"),
        (app(appName=""), "appName", "is empty"),
        (app(appName="a/b"), "appName", "holds a '/'"),
        (app(url=""), "url", "is empty"),
        (app(url="ftp://a/b"), "url", "is not the URL of an app"),
        (app(url="http://"), "url", "is not the URL of an app"),
        (app(url="http://a:0/"), "url", "is not the URL of an app"),
        (app(url="http://a:99999/"), "url", "is not the URL of an app"),
        (app(url="http://[::1"), "url", "is not the URL of an app"),
        (app(url="http://a/\nb"), "url", "is not the URL of an app"),
        (app(deployType="connect"), "deployType", "WebSocket"),
        (app(functions=[]), "functions", "has 0; an app has 1"),
        (app(functions=[function()] * (MAX_FUNCTIONS + 1)), "functions", "has 1,001"),
        (app(functions=[function(), 5]), "functions[1]", "must be an object, not 5"),
        (app(function(), function()), "functions[1].id", "'pay' is there twice"),
        (app(function(), function("pay")), "functions[1].id", "'pay' is there twice"),
        (app(function("shop-a:1")), "functions[0].id", "ends like ':2'"),
        (app(function("")), "functions[0].id", "is empty"),
    ],
)
def test_what_is_no_app_is_refused_with_its_place(document: Any, place: str, reason: str) -> None:
    """Its author sees it where it is started."""
    where, why = refused(document)
    assert (where, reason in why) == (place, True), why


# -- where and how often ---------------------------------------------------------------------------


def step(url: str, **runtime: Any) -> dict[str, Any]:
    return {"step": {"runtime": {"type": "http", "url": url, **runtime}}}


@pytest.mark.parametrize(
    "steps, place, reason",
    [
        (step("http://10.0.0.1/api/inngest"), "steps.step.runtime.url", "another place than its app"),
        (step("http://127.0.0.1:22/"), "steps.step.runtime.url", "another place than its app"),
        (step("https://127.0.0.1:3000/"), "steps.step.runtime.url", "another place than its app"),
        (step("wss://connect", type="ws"), "steps.step.runtime.type", "called over HTTP"),
        (step("file:///etc"), "steps.step.runtime.url", "is not the URL of an app"),
        ({"a": {}, "b": {}}, "steps", "has 2; a function has one"),
    ],
)
def test_functions_are_called_where_their_app_is(steps: Any, place: str, reason: str) -> None:
    """A registration sends no calls to anybody else."""
    where, why = refused(app(function(steps=steps)))
    assert (where, reason in why) == (f"functions[0].{place}", True), (where, why)


def test_a_function_may_be_at_its_apps_url() -> None:
    """If it says nothing else."""
    assert one(steps={}).url == f"{URL}?fnId=shop-pay&stepId=step"
    assert one(steps=step(f"{URL}?token=t&deployId=5")).url == f"{URL}?token=t&fnId=shop-pay&stepId=step"


@pytest.mark.parametrize(
    "members, retries",
    [
        ({}, 4),
        ({"retries": {"attempts": 2}}, 2),
        ({"retries": {"attempts": 0}}, 0),
        ({"retries": {"attempts": 50}}, 20),
        ({"retries": {}}, 4),
        ({"retries": None}, 4),
        ({"steps": {"step": {"retries": {"attempts": 3}}}, "retries": {"attempts": 1}}, 3),
    ],
)
def test_attempts_are_retries(members: Any, retries: int) -> None:
    """What is called attempts does not count the first one; more than 20 are 20."""
    assert one(**members).retries == retries


def test_retries_below_none_are_refused() -> None:
    """Nothing is tried less than once."""
    assert refused(app(function(retries={"attempts": -1}))) == ("functions[0].retries.attempts", "-1 is below 0")


# -- triggers --------------------------------------------------------------------------------------


def triggers(*said: Any) -> Definition:
    return one(triggers=list(said)).definition


def test_triggers_on_events_and_times() -> None:
    """In the order in which they are said; missed ticks start nothing, as there."""
    definition = triggers(
        {"event": "a/*", "expression": "event.data.n > 1"},
        {"cron": "TZ=Asia/Tokyo 0 9 * * mon", "jitter": "90s"},
        {"event": "b.c"},
        {"cron": "CRON_TZ=Asia/Tokyo 0 0 1 * *", "jitter": ""},
    )
    assert definition.triggers == (TriggerDefinition("a/*", "event.data.n > 1"), TriggerDefinition("b.c"))
    assert definition.schedules == (
        ScheduleDefinition("TZ=Asia/Tokyo 0 9 * * MON", 90_000_000, "none"),
        ScheduleDefinition("TZ=Asia/Tokyo 0 0 1 * *", 0, "none"),
    )


def test_a_function_without_triggers_is_only_invoked() -> None:
    """As are those that the engine's own events start directly."""
    assert triggers() == Definition("pay")
    assert triggers({"event": "inngest/deferred.schedule", "expression": "event.data._inngest.fn_slug == 'x'"}) == (
        Definition("pay")
    )
    assert triggers({"event": "inngest/function.invoked"}) == Definition("pay")


def test_the_engines_own_events_have_our_names() -> None:
    """With their expressions, which may name what we call otherwise; text in quotes stays."""
    assert triggers(
        {"event": "inngest/function.failed", "expression": "event.data.error.name == 'event.data.error.name'"},
        {"event": "inngest/function.finished"},
        {"event": "inngest/function.cancelled"},
    ).triggers == (
        TriggerDefinition("flowgen/run.failed", "event.data.error.type == 'event.data.error.name'"),
        TriggerDefinition("flowgen/run.*"),
        TriggerDefinition("flowgen/run.cancelled"),
    )


def test_a_function_of_the_wire_is_ours_by_app_and_id() -> None:
    """The expression means the same run's end on both sides."""
    where = ours("event.data.function_id == 'shop-pay' || event.data.error.stack == \"\"")
    data = {"app": "shop", "workflow_id": "pay", "error": {"trace": "x"}}
    trigger = OnEvent("flowgen/run.failed", where)
    assert trigger.where is not None
    assert Expression(trigger.where).is_true({"event": {"data": data}})
    assert not Expression(trigger.where).is_true({"event": {"data": data | {"workflow_id": "ship"}}})


@pytest.mark.parametrize(
    "said, place, reason",
    [
        ([{}], "[0].event", "is missing"),
        ([{"event": "a*"}], "[0].event", "a * may only be the last character"),
        ([{"event": "flowgen/x"}], "[0].event", "of flowgen's own events"),
        ([{"event": "inngest/x"}], "[0].event", "none of the engine's own events"),
        ([{"event": "a", "expression": "event.data. =="}], "[0].expression", "where of OnEvent"),
        ([{"event": "a"}, {"event": "a"}], "[1].event", "'a' is there twice"),
        ([{"cron": "0 9 * *"}], "[0].cron", "cron"),
        ([{"cron": "@daily"}], "[0].cron", "0 0 * * *"),
        ([{"cron": "0 9 * * *"}, {"cron": "0  9 * * *"}], "[1].cron", "is there twice"),
        ([{"cron": "0 9 * * *", "jitter": "500ms"}], "[0].jitter", "is not from 1s to 5m"),
        ([{"cron": "0 9 * * *", "jitter": "6m"}], "[0].jitter", "is not from 1s to 5m"),
        ([{"cron": "* * * * *", "jitter": "2m"}], "[0].jitter", "between two ticks"),
        ([{"cron": "0 9 * * *", "jitter": "soon"}], "[0].jitter", "jitter"),
        ([{"event": f"e{n}"} for n in range(MAX_TRIGGERS + 1)], "", "has 11; at most 10"),
    ],
)
def test_what_is_no_trigger_is_refused_with_its_place(said: Any, place: str, reason: str) -> None:
    """As their server refuses it, or because we do not offer it."""
    where, why = refused(app(function(triggers=said)))
    assert (where, reason in why) == (f"functions[0].triggers{place}", True), (where, why)


# -- failures --------------------------------------------------------------------------------------

HANDLER = {"event": "inngest/function.failed", "expression": "event.data.function_id == 'shop-pay'"}


def test_a_handler_of_failures_is_on_failure() -> None:
    """SDKs write it as a function of its own with a trigger; for us it has none."""
    found = registered(app(function(), function("shop-pay-failure", triggers=[HANDLER])))
    pay, handler = (each.definition for each in found.functions)
    assert pay.policies.on_failure == "shop/pay-failure"
    assert handler == Definition("pay-failure")


def test_a_listener_to_failures_is_none() -> None:
    """If it names another app's function, itself, or more than one."""
    others = HANDLER | {"expression": "event.data.function_id == 'other-pay'"}
    for trigger in (
        others,
        HANDLER | {"expression": "event.data.function_id == 'shop-log'"},
        {"event": HANDLER["event"]},
    ):
        found = registered(app(function(), function("shop-log", triggers=[trigger])))
        assert found.functions[0].definition.policies.on_failure is None
        assert found.functions[1].definition.triggers[0].pattern == "flowgen/run.failed"


def test_one_handler_is_enough() -> None:
    """A second one is a listener like any other."""
    found = registered(app(function(), function("shop-a", triggers=[HANDLER]), function("shop-b", triggers=[HANDLER])))
    assert found.functions[0].definition.policies.on_failure == "shop/a"
    assert [bool(each.definition.triggers) for each in found.functions] == [True, False, True]


# -- flow control ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said, limits",
    [
        (5, (Concurrency(5),)),
        (0, ()),
        (None, ()),
        ([], ()),
        ({"limit": 5, "key": "event.data.k"}, (Concurrency(5, key="event.data.k"),)),
        ({"limit": 5, "key": "", "scope": "fn"}, (Concurrency(5),)),
        ([{"limit": 0}, {"limit": 2}], (Concurrency(2),)),
        (
            [{"limit": 9}, {"limit": 2, "key": '"x"', "scope": "account"}],
            (Concurrency(9), Concurrency(2, key='"x"', scope="app")),
        ),
        ({"step": [{"limit": 4}]}, (Concurrency(4),)),
        ({"fn": [], "step": None}, ()),
    ],
)
def test_concurrency_is_said_in_four_ways(said: Any, limits: Any) -> None:
    """A number, an object, a list, or limits of steps; 0 is no limit."""
    assert policies(concurrency=said).concurrency == limits


@pytest.mark.parametrize(
    "member, said, name, option",
    [
        ("throttle", {"limit": 10, "period": "1m"}, "throttle", Throttle(10, per="1m")),
        (
            "throttle",
            {"limit": 10, "period": "60s", "burst": 1, "key": "event.data.k"},
            "throttle",
            Throttle(10, per="1m", burst=2, key="event.data.k"),
        ),
        ("rateLimit", {"limit": 3, "period": "1h"}, "rate_limit", RateLimit(3, per="1h")),
        ("debounce", {"period": "5m", "key": "event.data.k"}, "debounce", Debounce("5m", key="event.data.k")),
        ("debounce", {"period": "5m", "timeout": "1h"}, "debounce", Debounce("5m", max_wait="1h")),
        ("debounce", {"period": "5m", "timeout": "1m"}, "debounce", Debounce("5m", max_wait="5m")),
        ("batchEvents", {"maxSize": 10, "timeout": "5s"}, "batch", Batch(10, wait="5s")),
        ("priority", {"run": "event.data.vip ? 9 : 0"}, "priority", Priority("event.data.vip ? 9 : 0")),
        ("priority", {"run": ""}, "priority", None),
        (
            "singleton",
            {"key": "event.data.k", "mode": "cancel"},
            "singleton",
            Singleton(key="event.data.k", mode="cancel"),
        ),
        ("singleton", {"mode": "skip"}, "singleton", Singleton()),
        ("idempotency", "event.data.id", "idempotency", "event.data.id"),
        ("idempotency", "", "idempotency", None),
        ("timeouts", {"start": "1h", "finish": "2d"}, "timeouts", Timeouts(start="1h", finish="2d")),
        ("timeouts", {}, "timeouts", None),
        ("cancel", [{"event": "c"}], "cancel_on", (CancelOn("c"),)),
        (
            "cancel",
            [{"event": "c", "if": "event.data.id == async.data.id", "timeout": "7d"}],
            "cancel_on",
            (CancelOn("c", match="data.id", timeout="7d"),),
        ),
        (
            "cancel",
            [{"event": "c", "if": "event.data.id == async.data.other"}],
            "cancel_on",
            (CancelOn("c", where="event.data.id == async.data.other"),),
        ),
    ],
)
def test_each_option_is_ours(member: str, said: Any, name: str, option: Any) -> None:
    """And nothing else comes with it; null is nothing."""
    assert policies(**{member: said}) == Policies(**{name: option} if option is not None else {})
    assert policies(**{member: None}) == Policies()


@pytest.mark.parametrize(
    "members, place, reason",
    [
        ({"concurrency": "5"}, "concurrency", "must be a whole number"),
        ({"concurrency": {"limit": 1, "scope": "env"}}, "concurrency.key", "is missing"),
        ({"concurrency": [{"limit": 1, "scope": "all"}]}, "concurrency[0].scope", "neither 'fn', 'env' nor 'account'"),
        ({"concurrency": {"fn": [{"limit": 1}]}}, "concurrency.fn", "is not offered"),
        ({"concurrency": [{"limit": 1}, {"limit": 2}]}, "", "limit the same thing"),
        ({"concurrency": [{"limit": n, "key": f"event.data.k{n}"} for n in (1, 2, 3)]}, "", "at most 2"),
        ({"throttle": {"period": "1m"}}, "throttle.limit", "is missing"),
        ({"throttle": {"limit": 1}}, "throttle.period", "is missing"),
        ({"throttle": {"limit": 1, "period": "500ms"}}, "throttle.period", "shorter than a second"),
        ({"throttle": {"limit": 1, "period": 60}}, "throttle.period", "must be text, not 60"),
        ({"throttle": {"limit": 1, "period": "1m", "key": "event.user.id"}}, "throttle", "an event has no 'user'"),
        ({"throttle": {"limit": -1, "period": "1m"}}, "throttle", "is not an int from 1"),
        ({"rateLimit": {"limit": 1, "period": "25h"}}, "rateLimit.period", "longer than 1d"),
        ({"debounce": {"period": "8d"}}, "debounce.period", "longer than 7d"),
        ({"batchEvents": {"maxSize": 1, "timeout": "5s"}}, "batchEvents.maxSize", "at least 2"),
        ({"batchEvents": {"maxSize": 5}}, "batchEvents.timeout", "is missing"),
        ({"batchEvents": {"maxSize": 5, "timeout": "5s", "if": "event.data.x"}}, "batchEvents.if", "is not offered"),
        (
            {"batchEvents": {"maxSize": 5, "timeout": "5s"}, "debounce": {"period": "5s"}},
            "batchEvents",
            "does not go together with 'debounce'",
        ),
        (
            {"batchEvents": {"maxSize": 5, "timeout": "5s"}, "cancel": [{"event": "c"}]},
            "batchEvents",
            "does not go together with 'cancel'",
        ),
        ({"priority": {"run": "event.data. +"}}, "priority", "expression of Priority"),
        ({"singleton": {"mode": "queue"}}, "singleton", "neither 'skip' nor 'cancel'"),
        ({"idempotency": "nothing.data"}, "", "idempotency"),
        ({"timeouts": {"start": "never"}}, "timeouts.start", "never"),
        ({"cancel": [{}]}, "cancel[0].event", "is missing"),
        ({"cancel": [{"event": "c*"}]}, "cancel[0]", "is a pattern"),
        ({"cancel": [{"event": "inngest/function.failed"}]}, "cancel[0].event", "cancels nothing here"),
        ({"cancel": [{"event": "c", "if": "async.data ++"}]}, "cancel[0]", "where of CancelOn"),
        ({"cancel": [{"event": f"c{n}"} for n in range(6)]}, "", "at most 5"),
    ],
)
def test_what_is_no_option_is_refused_with_its_place(members: Any, place: str, reason: str) -> None:
    """As their server refuses it, or because we do not offer it: nothing is accepted and ignored."""
    where, why = refused(app(function(**members)))
    assert (where, reason in why) == (f"functions[0].{place}".rstrip("."), True), (where, why)


# -- anything --------------------------------------------------------------------------------------

FULL = app(
    function(
        retries={"attempts": 2},
        concurrency=[{"limit": 1, "key": "event.data.k", "scope": "env"}],
        throttle={"limit": 1, "period": "1m", "burst": 1, "key": "event.data.k"},
        rateLimit={"limit": 1, "period": "1m"},
        priority={"run": "1"},
        idempotency="event.data.id",
        cancel=[{"event": "c", "if": "event.data.id == async.data.id", "timeout": "1d"}],
        timeouts={"start": "1h", "finish": "1d"},
        singleton={"key": "event.data.k", "mode": "skip"},
        debounce={"period": "5m", "timeout": "1h"},
    ),
    function("shop-pay-failure", triggers=[HANDLER]),
    function(
        "shop-tick", triggers=[{"cron": "0 9 * * *", "jitter": "90s"}], batchEvents={"maxSize": 2, "timeout": "5s"}
    ),
    function("shop-own", flowgen={"definition": '{"id":"own"}', "max_steps": 5, "changes": "strict"}),
    sdk="flowgen:v1",
)


def test_the_example_is_accepted() -> None:
    """Else nothing that is bent from it would say anything."""
    assert [each.id for each in registered(FULL).functions] == ["pay", "pay-failure", "tick", "own"]


@given(BYTES | bent(FULL).map(wire))
def test_whatever_comes_in_only_our_error_comes_out(body: bytes) -> None:
    """A lying app gets a reason, and changes nothing."""
    error = refusal(lambda: parse_registration(body))
    assert error is None or isinstance(error, BadRegistration)
