"""What our apps say of themselves: a flowgen server knows them exactly, any other server as well as it can."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import (
    App,
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    OnCron,
    OnEvent,
    Priority,
    RateLimit,
    Run,
    Singleton,
    Steps,
    Throttle,
    Timeouts,
)
from flowgen.flow_control import Policies
from flowgen.runtime.protocol.announcement import in_band_of, registration_of
from flowgen.runtime.protocol.flow_options import match_of, options_of, policies_of
from flowgen.runtime.protocol.introspection import Inspection, inspection_document
from flowgen.runtime.protocol.reading import BadRegistration, Members
from flowgen.runtime.protocol.registration import RemoteApp, parse_registration

from .wild import bent, refusal, wire

URL = "https://shop.example/api/inngest"
app = App("shop", version="3")


@app.workflow
def failed(ctx: Any) -> Steps[None]:
    yield Run(print)


@app.workflow(
    on=[OnEvent("order/*", where="event.data.n > 1"), OnCron("TZ=Asia/Tokyo 0 9 * * MON", jitter="9m", catch_up="all")],
    retries=2,
    concurrency=[Concurrency(3), Concurrency(4, key="event.data.k", scope="app")],
    throttle=Throttle(10, per="1m", burst=3),
    rate_limit=RateLimit(3, per="1h", key="event.data.k"),
    priority=Priority("event.data.p"),
    idempotency="event.data.id",
    cancel_on=[CancelOn("c", match="data.id", where="async.data.n > event.data.n", timeout="1d"), CancelOn("d")],
    timeouts=Timeouts(start="1h", finish="2d"),
    on_failure="failed",
    changes="additive",
    max_steps=77,
)
def fulfil(ctx: Any) -> Steps[None]:
    yield Run(print)


@app.workflow(
    on=OnEvent("flowgen/run.failed"),
    debounce=Debounce("250ms", max_wait="1h"),
    singleton=Singleton(key="event.data.k", mode="cancel"),
    concurrency=Concurrency(1, scope="app"),
)
def listen(ctx: Any) -> Steps[None]:
    yield Run(print)


@app.workflow(on=[OnEvent("x"), OnCron("0 9 * * *", catch_up="none")], batch=Batch(10, wait="5s"))
def collect(ctx: Any) -> Steps[None]:
    yield Run(print)


SAID = registration_of(app, URL, version="1.0")


def read(document: Any) -> RemoteApp:
    return parse_registration(msgspec.json.encode(document))


def test_a_flowgen_server_knows_our_apps_exactly() -> None:
    """Every option to the microsecond, by either road."""
    inspection = Inspection(4, "cloud")
    for document in (SAID, in_band_of(app, URL, inspection, version="1.0")):
        found = read(document)
        assert (found.name, found.version, found.url, found.sdk) == ("shop", "3", URL, "flowgen:v1.0")
        assert found.is_flowgen
        for each in found.functions:
            workflow = app.workflows[each.id]
            assert each.definition == workflow.definition()
            assert (each.retries, each.max_steps, each.changes) == (
                workflow.retries,
                workflow.max_steps,
                workflow.changes,
            )
            assert each.slug == f"shop-{each.id}"


def test_another_server_knows_them_as_well_as_it_can() -> None:
    """Without the extra members: whole seconds, five minutes of jitter, and no word for missed ticks."""
    found = {each.id: each.definition for each in read(SAID | {"sdk": "inngest-py:v9"}).functions}
    fulfil_there = app.workflows["fulfil"].definition()
    schedule = attrs.evolve(fulfil_there.schedules[0], jitter=5 * 60_000_000, catch_up="none")
    cancel = CancelOn("c", where="(event.data.id == async.data.id) && (async.data.n > event.data.n)", timeout="1d")
    policies = attrs.evolve(fulfil_there.policies, cancel_on=(cancel, CancelOn("d")))
    assert found["fulfil"] == attrs.evolve(fulfil_there, schedules=(schedule,), policies=policies)
    assert found["failed"] == app.workflows["failed"].definition()
    listen_there = app.workflows["listen"].definition()
    policies = attrs.evolve(
        listen_there.policies,
        debounce=Debounce("1s", max_wait="1h"),
        concurrency=(Concurrency(1, key='"shop"', scope="app"),),
    )
    assert found["listen"] == attrs.evolve(listen_there, policies=policies)
    assert found["collect"] == app.workflows["collect"].definition()


def test_a_handler_of_failures_is_told_of_each_function_that_names_it() -> None:
    """To servers that know no `on_failure`."""
    (said,) = (each for each in SAID["functions"] if each["id"] == "shop-failed")
    assert said["triggers"] == [
        {"event": "inngest/function.failed", "expression": "event.data.function_id == 'shop-fulfil'"}
    ]


@given(bent(json.loads(msgspec.json.encode(SAID)), {"functions": []}))
def test_whatever_an_app_says_of_itself_only_our_error_comes_out(document: Any) -> None:
    """Also of what only ours say."""
    error = refusal(lambda: parse_registration(wire(document)))
    assert error is None or isinstance(error, BadRegistration)


def bent_definition() -> st.SearchStrategy[Any]:
    full = json.loads(next(f["flowgen"]["definition"] for f in SAID["functions"] if f["id"] == "shop-fulfil"))
    return bent(full)


@given(bent_definition())
def test_a_definition_is_checked_as_if_it_were_written_here(definition: Any) -> None:
    """It comes from another process: what is let in could have been defined, and is kept and read like any other."""
    said = json.loads(msgspec.json.encode(SAID))
    (function,) = (each for each in said["functions"] if each["id"] == "shop-fulfil")
    function["flowgen"]["definition"] = json.dumps(definition)
    found: list[RemoteApp] = []
    error = refusal(lambda: found.append(parse_registration(wire(said))))
    assert error is None or isinstance(error, BadRegistration)
    for each in (each for app in found for each in app.functions if each.id == "fulfil"):
        policies = each.definition.policies
        assert all(limit.limit >= 1 for limit in policies.concurrency)
        assert policies.throttle is None or policies.throttle.per >= policies.throttle.limit
        assert len(policies.cancel_on) <= 5


@pytest.mark.parametrize(
    "member, reason",
    [
        ({"definition": '{"id":"other"}'}, "is that of 'other', not of 'fulfil'"),
        ({"definition": "{"}, "is not JSON"),
        ({"definition": '{"id":"fulfil","policies":{"throttle":{"limit":0,"per":1}}}'}, "limit of Throttle"),
        ({"definition": '{"id":"fulfil","triggers":[{"pattern":"a*"}]}'}, "a * may only be the last"),
        ({"definition": '{"id":"fulfil","schedules":[{"text":"@daily","catch_up":"all"}]}'}, 'write "0 0 * * *"'),
        (
            {"definition": '{"id":"fulfil","policies":{"throttle":{"limit":1,"per":1180591620717411303424}}}'},
            "too large",
        ),
        ({"definition": '{"id":"fulfil","triggers":[{"pattern":"a","where":"event.id == \'\\u0000\'"}]}'}, "NUL"),
        ({"definition": '{"id":"fulfil","policies":{"on_failure":"shop/fulfil"}}'}, "would never end"),
        ({"definition": '{"id":"fulfil"}', "max_steps": 0}, "is not from 1"),
        ({"definition": '{"id":"fulfil"}', "changes": "any"}, "neither 'strict' nor 'additive'"),
    ],
)
def test_a_definition_that_nobody_could_write_is_refused(member: Any, reason: str) -> None:
    """With its place."""
    said = json.loads(msgspec.json.encode(SAID))
    said["functions"][1]["flowgen"] = member
    error = refusal(lambda: parse_registration(wire(said)))
    assert isinstance(error, BadRegistration)
    assert error.place.startswith("functions[1].flowgen.")
    assert reason in error.reason, error


# -- options ---------------------------------------------------------------------------------------

SECONDS = st.integers(1, 6 * 86_400)
KEYS = st.sampled_from([None, "event.data.k", "event.data.a + event.data.b"])
POLICIES = st.builds(
    Policies,
    concurrency=st.lists(
        st.builds(
            Concurrency, st.integers(1, 9), key=st.just("event.data.k"), scope=st.sampled_from(["workflow", "app"])
        ),
        max_size=1,
    ).map(tuple),
    throttle=st.none() | st.builds(Throttle, st.integers(1, 9), SECONDS, key=KEYS, burst=st.integers(1, 9)),
    rate_limit=st.none() | st.builds(RateLimit, st.integers(1, 9), st.integers(1, 86_400), key=KEYS),
    debounce=st.none() | st.builds(Debounce, SECONDS, key=KEYS, max_wait=st.none() | st.just("7d")),
    priority=st.none() | st.just(Priority("event.data.p")),
    singleton=st.none() | st.builds(Singleton, key=KEYS, mode=st.sampled_from(["skip", "cancel"])),
    idempotency=st.none() | st.just("event.data.id"),
    cancel_on=st.lists(
        st.builds(CancelOn, st.just("c"), match=st.none() | st.just("data.a.b"), timeout=st.none() | SECONDS),
        max_size=1,
    ).map(tuple),
    timeouts=st.none() | st.builds(Timeouts, start=st.none() | SECONDS, finish=SECONDS),
)


@given(POLICIES)
def test_options_cross_the_wire(policies: Policies) -> None:
    """What is said in whole seconds is read back as it was."""
    said = Members(options_of(policies, "shop"), "function", BadRegistration)
    assert policies_of(said, "shop/pay", None) == policies


@pytest.mark.parametrize(
    "expression, path",
    [
        ("event.data.id == async.data.id", "data.id"),
        (" async.data.a.b  ==  event.data.a.b ", "data.a.b"),
        ("event.data.id == event.data.id", None),
        ("event.data.id == async.data.other", None),
        ("event.data.id != async.data.id", None),
        ("event.name == async.name", None),
        ("event.data.id == async.data.id && true", None),
    ],
)
def test_what_only_compares_one_path_is_a_match(expression: str, path: str | None) -> None:
    """Which is looked up, where an expression has to be evaluated."""
    assert match_of(expression) == path


# -- introspection ---------------------------------------------------------------------------------


def test_little_is_told_to_anybody() -> None:
    """Numbers, and which keys there are; to a signature that is not good, no more."""
    inspection = Inspection(2, "cloud", has_signing_key=True, app_id="shop", signing_key_hash="ab")
    for authenticated in (None, False):
        assert inspection_document(inspection, authenticated=authenticated) == {
            "schema_version": "2024-05-24",
            "authentication_succeeded": authenticated,
            "function_count": 2,
            "has_event_key": False,
            "has_signing_key": True,
            "has_signing_key_fallback": False,
            "mode": "cloud",
        }


def test_more_is_told_to_a_server_that_signs() -> None:
    """What their server asks for, in its words."""
    told = inspection_document(Inspection(2, "dev", app_id="shop", signing_key_hash="ab"), authenticated=True)
    assert told["app_id"] == "shop"
    assert told["signing_key_hash"] == "ab"
    assert told["capabilities"] == {"in_band_sync": "v1", "trust_probe": "v1"}
    assert told["sdk_language"] == "py"
