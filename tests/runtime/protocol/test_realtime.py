"""Topics, tokens and messages of what functions publish."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.outcome import Json
from flowgen.runtime.protocol.reading import BadRequest, BadSignature
from flowgen.runtime.protocol.realtime import (
    LIFE,
    LONGEST_NAME,
    MOST_TOPICS,
    Origin,
    Topic,
    chunk_message,
    data_message,
    read_token,
    read_topics,
    stream_messages,
    token_for,
    topic_of,
)

KEY, OTHER = "signkey-test-0123456789abcdef", "signkey-test-fedcba9876543210"
NOW = 1_767_225_600
TOPICS = [Topic("run:1", "progress"), Topic("run:1", "log"), Topic("shöp", "news")]


def segment(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_gives_its_topics() -> None:
    """Each once, whichever of the keys in force has made it; and it is a JSON Web Token."""
    token = token_for([*TOPICS, TOPICS[0]], OTHER, NOW)
    assert set(read_token(token, [KEY, OTHER], NOW)) == set(TOPICS)
    header, claims, _ = (urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(claims)["exp"] == NOW + LIFE


def test_a_token_is_good_for_a_minute() -> None:
    """And not a second longer."""
    token = token_for(TOPICS, KEY, NOW)
    assert read_token(token, [KEY], NOW + LIFE - 0.001)
    with pytest.raises(BadSignature, match="expired 0 s ago: get another one"):
        read_token(token, [KEY], NOW + LIFE)


def forged() -> list[str]:
    token = token_for(TOPICS, KEY, NOW)
    header, claims, mac = token.split(".")
    more = segment({"exp": NOW + 10**6, "iss": "flowgen", "topics": {"run:2": ["progress"]}})
    none = segment({"alg": "none", "typ": "JWT"})
    plain = urlsafe_b64encode(hmac.digest(KEY.encode(), f"{header}.{more}".encode(), sha256)).rstrip(b"=").decode()
    return [
        "",
        ".",
        "..",
        "...",
        "x",
        "é.ü.ö",
        "\udcff.\udcff.\udcff",
        token + "=",
        token + " ",
        token[:-1],
        token.upper(),
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{header}.{more}.{mac}",
        f"{none}.{more}.",
        f"{none}.{claims}.{mac}",
        f"{header}.{more}.{plain}",
        f".{claims}.{mac}",
        f"{token}.{mac}",
        token_for(TOPICS, OTHER, NOW),
    ]


@pytest.mark.parametrize("token", forged())
def test_a_forged_token_gives_nothing(token: str) -> None:
    """Whatever is said in it: one that says it has no signature, one signed with a key as it is used elsewhere."""
    with pytest.raises(BadSignature, match="is not one of this server's"):
        read_token(token, [KEY], NOW)


@given(st.text(), st.integers(0, 2**40))
def test_no_text_is_a_token(text: str, now: int) -> None:
    """Nor anything but a refusal."""
    with pytest.raises(BadSignature, match="token"):
        read_token(text, [KEY, OTHER], now)


names = st.text(min_size=1, max_size=20)


@given(st.lists(st.builds(Topic, names, names), min_size=1, max_size=20))
def test_every_name_goes_through_a_token(topics: list[Topic]) -> None:
    """Unchanged."""
    assert set(read_token(token_for(topics, KEY, NOW), [KEY], NOW)) == set(topics)


def test_a_token_fits_into_a_request() -> None:
    """Names that are too long together are refused."""
    with pytest.raises(BadRequest, match="at most 4,096 are accepted"):
        token_for([Topic("c", f"{n}" * 100) for n in range(100, 120)], KEY, NOW)


def test_topics_as_sdks_ask_for_them() -> None:
    """The kind may be left out."""
    asked = [{"channel": "run:1", "name": "progress", "kind": "run"}, {"Channel": "c", "name": "n", "more": 1}]
    assert read_topics(asked) == [Topic("run:1", "progress"), Topic("c", "n")]


@pytest.mark.parametrize(
    "document, place",
    [
        (None, ""),
        ({}, ""),
        ([], ""),
        ([{"channel": "c", "name": "n"}] * (MOST_TOPICS + 1), ""),
        (["c"], "[0]"),
        ([{"channel": "c", "name": "n"}, {"channel": "c"}], "[1].name"),
        ([{"channel": "", "name": "n"}], "[0].channel"),
        ([{"channel": 7, "name": "n"}], "[0].channel"),
        ([{"channel": "c" * (LONGEST_NAME + 1), "name": "n"}], "[0].channel"),
        ([{"channel": "c", "name": "n", "kind": "event"}], "[0].kind"),
    ],
)
def test_topics_that_are_none(document: Any, place: str) -> None:
    """With the place."""
    with pytest.raises(BadRequest) as caught:
        read_topics(document)
    assert caught.value.place == place


def test_names_have_a_length() -> None:
    """Of a channel and of a topic."""
    assert topic_of("c" * LONGEST_NAME, "n") == Topic("c" * LONGEST_NAME, "n")
    for channel, name, place in (("", "n", "channel"), ("c", "", "topic"), ("c", "n" * 257, "topic")):
        with pytest.raises(BadRequest) as caught:
            topic_of(channel, name)
        assert caught.value.place == place


def test_messages() -> None:
    """As SDKs read them."""
    origin = Origin(Topic("run:1", "progress"), "01R", "2026-01-01T00:00:00.000Z")
    common = {"channel": "run:1", "topic": "progress", "run_id": "01R", "created_at": "2026-01-01T00:00:00.000Z"}
    assert json.loads(data_message(origin, Json(b'{"a": 1}'))) == {"kind": "data", "data": {"a": 1}, **common}
    start, end = map(json.loads, stream_messages(origin, "s"))
    assert start == {"kind": "datastream-start", "data": "s", **common}
    assert end == {"kind": "datastream-end", "data": "s", **common}
    assert json.loads(chunk_message(origin, "s", "é")) == {"kind": "chunk", "stream_id": "s", "data": "é", **common}
    assert "run_id" not in json.loads(data_message(Origin(origin.topic, None, ""), Json(b"null")))
