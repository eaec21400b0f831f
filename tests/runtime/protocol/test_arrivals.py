"""What an app says of a request that it got from elsewhere: which run it is of, and where it is made again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given

from flowgen.commands import check_name
from flowgen.events import MAX_EVENT_BYTES
from flowgen.runtime.addresses import AppUrl
from flowgen.runtime.protocol.arrivals import parse_arrival, target_of
from flowgen.runtime.protocol.reading import BadRequest, Members
from tests.runtime.driving.leading import JS, document, ran, request

from .wild import VALUES, bent


@pytest.mark.parametrize(
    "said, app, function",
    [
        ({}, "127.0.0.1-3000", "GET carts.7"),
        ({"path": "/"}, "127.0.0.1-3000", "GET ."),
        ({"path": "/a.b/c/"}, "127.0.0.1-3000", "GET a.b.c"),
        ({"method": "POST", "path": "/a%20b"}, "127.0.0.1-3000", "POST a%20b"),
        ({"method": "TRACER"}, "127.0.0.1-3000", "TRACER carts.7"),
        ({"domain": "https://Shop.example"}, "shop.example-443", "GET carts.7"),
        ({"domain": "http://shop.example"}, "shop.example-80", "GET carts.7"),
        ({"domain": "http://[::1]:3000"}, "::1-3000", "GET carts.7"),
        ({"fn": "cart"}, "127.0.0.1-3000", "cart"),
        ({"fn": "shop/cart"}, "127.0.0.1-3000", "shop.cart"),
    ],
)
def test_names(said: dict[str, str], app: str, function: str) -> None:
    """An app is named after where it is, and a function after what it is asked, or as the app calls it."""
    arrival = parse_arrival(Members(document(event=request(**said)), "", BadRequest), JS)
    assert (arrival.app.name, arrival.function.id) == (app, function)
    assert arrival.function.slug == f"{app}-{function}"
    assert arrival.among_others().function.id == f"{said.get('method', 'GET')} *"


@pytest.mark.parametrize("retries, meant", [(None, 4), (0, 0), (3, 3), (-1, 0), (1_000, 20)])
def test_retries(retries: int | None, meant: int) -> None:
    """Those that the app says, within what there is."""
    said = document() | {"retries": retries}
    assert parse_arrival(Members(said, "", BadRequest), JS).function.retries == meant


def test_the_body_of_a_request_may_be_as_large_as_an_event() -> None:
    """An app that is refused here has nothing to answer its client with."""
    room = MAX_EVENT_BYTES - 1_000
    arrival = parse_arrival(Members(document(event=request(method="POST", body="x" * room)), "", BadRequest), JS)
    assert arrival.data["body"] == "x" * room
    for body in ("x" * (MAX_EVENT_BYTES + 1), '"' * room):
        with pytest.raises(BadRequest, match=r"^event\.data\.body: "):
            parse_arrival(Members(document(event=request(method="POST", body=body)), "", BadRequest), JS)


@pytest.mark.parametrize(
    "said, culprit",
    [
        ({"domain": "nowhere"}, "domain"),
        ({"path": "/a b"}, "path"),
        ({"path": "/" + "a" * 3_000}, "path"),
        *(({"method": method}, "method") for method in ("CONNECT", "TRACE", "get", "GET\n", "")),
    ],
)
def test_a_refusal_names_what_is_wrong(said: dict[str, str], culprit: str) -> None:
    """Where the app is and what it was asked for make one URL, and either may be none. A method is one that an app is
    asked with, not a proxy."""
    with pytest.raises(BadRequest, match=rf"^event\.data\.{culprit}: "):
        parse_arrival(Members(document(event=request(**said)), "", BadRequest), JS)


def test_what_else_is_said_of_a_request_is_not_kept() -> None:
    """Its event has the members that it is known by, and no others, such as a future SDK might send."""
    event = request()
    event["data"]["headers"] = {"Authorization": "Bearer secret"}
    assert "headers" not in parse_arrival(Members(document(event=event), "", BadRequest), JS).data


GOOD = document(ran("a", 1), idempotency="k", event=request(body='{"a": 1}', fn="f"))


@given(bent(GOOD) | VALUES)
@example(GOOD)
def test_whatever_is_said_is_understood_or_refused(said: Any) -> None:
    """With a place; and what is understood has names that can be kept, and one URL at the origin of its app."""
    try:
        arrival = parse_arrival(Members(said, "", BadRequest), JS)
    except BadRequest:
        return
    check_name(arrival.app.name, "app")
    check_name(arrival.function.id, "function")
    origin = AppUrl.parse(arrival.app.url).origin
    assert AppUrl.parse(origin + target_of(arrival.data)).origin == origin
