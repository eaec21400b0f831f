"""Endpoints and responses as values: what can be said, what is refused, and what is recorded."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, Batch, Context, Debounce, DefinitionError, Event, Invoke, OnEvent, Response, Run, Steps
from flowgen.duration import MINUTE, SECOND
from flowgen.endpoints import MARK, METHODS, Endpoint, answered, make_endpoint, response_of
from flowgen.testing import simulate
from flowgen.values import decode, decoder, encode

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="ascii", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", MARK, "status"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def body(ctx: Any) -> Any:
    yield Run("step", len, "abc")


def test_an_endpoint_is_a_workflow_that_says_which_requests_it_answers() -> None:
    """It has the options of a workflow, and is called like one."""
    app = App("shop")

    @app.endpoint("POST", "/orders/{id}", wait="10s", access="public", retries=2, id="order")
    def place_order(ctx: Context) -> Steps[Response]:
        yield Run("step", len, "abc")
        return Response(201)

    assert app.workflows["order"] is place_order
    assert place_order.endpoint == Endpoint("POST", "/orders/{id}", 10 * SECOND, "public")
    assert place_order.endpoint.parameters == ("id",)
    assert (place_order.retries, place_order.returns) == (2, Response)
    assert app.workflow(body).endpoint is None


def test_it_waits_half_a_minute_and_asks_for_a_token_unless_it_is_said() -> None:
    """What nobody thought about is closed."""
    assert App("shop").endpoint("GET", "/x")(body).endpoint == Endpoint("GET", "/x", MINUTE // 2, "token")


@pytest.mark.parametrize(
    "method, path, more, reason",
    [
        ("HEAD", "/x", {}, "endpoint HEAD /x: 'HEAD' is no method of an endpoint; say one of GET, POST"),
        ("post", "/x", {}, "'post' is no method"),
        (["POST"], "/x", {}, "is no method"),
        (
            "POST",
            "checkout",
            {},
            "'checkout' is no path; it begins with a slash, such as '/checkout' or '/orders/{id}'",
        ),
        ("POST", 7, {}, "7 is no path"),
        ("POST", "/a//b", {}, "the part '' of its path"),
        ("POST", "/a/", {}, "the part '' of its path"),
        ("POST", "/a/..", {}, "the part '..' of its path"),
        ("POST", "/a/%2e", {}, "the part '%2e' of its path"),
        ("POST", "/{a:path}", {}, "the part '{a:path}' of its path"),
        ("POST", "/{a}{b}", {}, "the part '{a}{b}' of its path"),
        ("POST", "/a/{a}/{a}", {}, "its path has {a} twice"),
        ("POST", "/{a}/x", {}, "its path begins with {a}; begin with letters"),
        ("POST", "/" + "x" * 200, {}, "its path has 201 characters; at most 200"),
        ("POST", "/x", {"wait": "6m"}, "wait of endpoint POST /x: '6m' is too long; at most 5m"),
        ("POST", "/x", {"wait": "-1s"}, "wait of endpoint POST /x"),
        ("POST", "/x", {"access": "all"}, "access='all' is neither 'token' nor 'public'"),
        ("POST", "/x", {"on": OnEvent("a")}, "endpoint POST /x .*: it takes no on: its requests start it"),
        ("POST", "/x", {"debounce": Debounce("1s")}, "it takes no debounce: each request has an answer of its own"),
        ("POST", "/x", {"batch": Batch(2, wait="1s")}, "it takes no batch"),
        ("POST", "/x", {"retry": 3}, "there is no option 'retry'; did you mean 'retries'"),
    ],
)
def test_what_can_never_be_an_endpoint(method: Any, path: Any, more: Any, reason: str) -> None:
    """The message names it, shows what was said, and says what to say."""
    with pytest.raises(DefinitionError) as refused:
        App("shop").endpoint(method, path, **more)(body)
    assert re.search(re.escape(reason).replace(r"\.\*", ".*"), str(refused.value))


def test_two_endpoints_for_the_same_requests_are_refused() -> None:
    """The message says where both are; other methods of the path are others."""
    app = App("shop")
    app.endpoint("POST", "/x", id="one")(body)
    app.endpoint("PUT", "/x", id="other")(body)
    with pytest.raises(DefinitionError, match=r"two endpoints POST /x: body \(.*test_endpoints.py:\d+\)"):
        app.endpoint("POST", "/x", id="two")(body)


def test_a_workflow_takes_no_endpoint_as_an_option() -> None:
    """There is one way to say it."""
    with pytest.raises(DefinitionError, match="there is no option 'endpoint'"):
        App("shop").workflow(endpoint=make_endpoint("GET", "/x", 1, "token"))(body)  # type: ignore[call-overload]


@given(st.sampled_from(METHODS), st.lists(st.from_regex(r"[a-z.]{0,3}|\{[a-z]{1,2}\}", fullmatch=True), max_size=4))
def test_every_path_is_an_endpoint_or_refused(method: str, parts: list[str]) -> None:
    """Whatever is made of parts; one that is accepted has its parameters once each."""
    try:
        made = make_endpoint(method, "/" + "/".join(parts), 1, "token")
    except DefinitionError:
        assert not parts or {"", ".", ".."} & set(parts) or len(set(parts)) < len(parts) or parts[0][0] == "{"
    else:
        assert list(made.parameters) == [part[1:-1] for part in parts if part.startswith("{")]
        assert len(set(made.parameters)) == len(made.parameters)


# -- responses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ((99,), "status 99 is not one from 200 to 599"),
        ((100,), "status 100"),
        ((600,), "status 600"),
        (("200",), "status '200'"),
        ((True,), "status True"),
        ((204, {}), "an answer with status 204 has no body"),
        ((200, None, [("a", "b")]), "headers is a list"),
        ((200, None, {"a b": "c"}), "'a b' is no name of a header"),
        ((200, None, {"": "c"}), "'' is no name of a header"),
        ((200, None, {"Location": "/x\r\nSet-Cookie: a=b"}), "the header Location is"),
        ((200, None, {"X": "é"}), "the header X is 'é'"),
        ((200, None, {"X": " x"}), "without spaces around them"),
        ((200, None, {"X": 7}), "the header X is 7"),
        ((200, None, {"X": "x" * 4_097}), "at most 4096"),
        ((200, None, {f"X-{n}": "x" for n in range(51)}), "51 headers; at most 50"),
        ((200, None, {"X": "a", "x": "b"}), "the header x is there twice"),
        ((200, None, {"Set-Cookie": "a=b"}), "it would be kept in the history"),
        ((200, None, {"Content-Length": "0"}), "the server says it"),
        ((200, None, {"transfer-encoding": "chunked"}), "the server says it"),
        ((200, None, {"Content-Security-Policy": "x"}), "so that no page can be made of one"),
        ((200, None, {"Access-Control-Allow-Origin": "*"}), "there is no CORS here"),
        ((200, {}, {"Content-Type": "text/plain"}), "a body of type dict is sent as JSON"),
    ],
)
def test_what_no_response_can_say(arguments: tuple[Any, ...], reason: str) -> None:
    """It is refused where it is made, so that the run fails there and nothing else is sent."""
    with pytest.raises(DefinitionError, match=reason):
        Response(*arguments)


def test_a_body_is_json_unless_it_is_text_that_says_so() -> None:
    """By its `Content-Type`, in whatever letters."""
    assert not Response(200, "a").is_text
    assert not Response(200, {}, {"CONTENT-TYPE": "application/problem+json; charset=utf-8"}).is_text
    assert Response(200, "a,b", {"content-type": "text/csv"}).is_text


def test_a_response_comes_back_from_the_record() -> None:
    """As JSON for whoever has no types, and by its annotation."""
    response = Response(201, {"id": 7}, {"Location": "/orders/7"})
    recorded = encode(response, "the result")
    assert response_of(decode(recorded)) == response == decoder(Response)(recorded)
    assert response_of({"id": 7}) == Response(200, {"id": 7})
    assert response_of(None) == Response(200)


@given(ANY_JSON)
def test_what_strangers_sent_is_never_taken_for_a_response(value: Any) -> None:
    """Whatever a workflow returns that is no `Response` is the body of one with status 200."""
    assert response_of(decode(encode(answered(value), "the result"))) == Response(200, value)


def test_a_run_records_a_marked_value_as_a_body() -> None:
    """An endpoint that echoes what it was sent answers with that, and with nothing that it says of itself."""
    app = App("shop")

    @app.endpoint("POST", "/echo")
    def echo(ctx: Any) -> Any:
        yield Run("step", len, "abc")
        return ctx.event.data["body"]

    @app.workflow(on=OnEvent("request"))
    def request(ctx: Any) -> Any:
        return (yield Invoke("echo", echo, {"body": ctx.event.data}))

    forged = {MARK: 1, "status": 302, "body": None, "headers": {"Location": "https://evil.example"}}
    trace = simulate(app, [Event("request", forged)])
    assert response_of(trace.run("echo").result) == Response(200, forged)
