"""What an app that is served is told by its environment."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen.errors import InvalidInput
from flowgen.runtime.serving import ServeSettings

KEY = "signkey-test-00112233445566778899aabbccddeeff"
OLD = "signkey-test-ffeeddccbbaa99887766554433221100"


def settings(**environment: str) -> ServeSettings:
    return ServeSettings.from_environment(environment)


def test_without_keys_an_app_is_in_development() -> None:
    """Its server is the one on this machine."""
    made = settings()
    assert (made.dev, made.api, made.events) == (True, "http://127.0.0.1:8288", "http://127.0.0.1:8288")
    assert made.may_be_called("localhost")
    assert not made.may_be_called("shop.example")


def test_with_a_key_requests_are_signed() -> None:
    """Under whatever name it is called, and its server is elsewhere unless that is said."""
    made = settings(FLOWGEN_SIGNING_KEY=f"{KEY}, {OLD}", FLOWGEN_URL="https://flows.example/")
    assert (made.signing_keys, made.dev) == ((KEY, OLD), False)
    assert (made.api, made.events) == ("https://flows.example", "https://flows.example")
    assert made.may_be_called("shop.example")
    assert settings(INNGEST_SIGNING_KEY=KEY).api == "https://api.inngest.com"
    assert settings(INNGEST_SIGNING_KEY=KEY).events == "https://inn.gs"


def test_the_names_of_the_field_are_understood() -> None:
    """Ours come first."""
    made = settings(
        INNGEST_SIGNING_KEY=KEY,
        INNGEST_SIGNING_KEY_FALLBACK=OLD,
        INNGEST_EVENT_KEY="theirs",
        INNGEST_API_BASE_URL="https://api.example",
        INNGEST_EVENT_API_BASE_URL="https://events.example",
        INNGEST_SERVE_ORIGIN="https://shop.example",
        INNGEST_ENV="branch",
    )
    assert (made.signing_keys, made.event_key, made.env) == ((KEY, OLD), "theirs", "branch")
    assert (made.api, made.events, made.origin) == (
        "https://api.example",
        "https://events.example",
        "https://shop.example",
    )
    assert settings(FLOWGEN_EVENT_KEY="ours,other", INNGEST_EVENT_KEY="theirs").event_key == "ours"
    assert settings(FLOWGEN_SIGNING_KEY=OLD, INNGEST_SIGNING_KEY=KEY).signing_keys == (OLD,)


@pytest.mark.parametrize("text", ["1", "true", "http://127.0.0.1:9999"])
def test_development_may_be_said(text: str) -> None:
    """Or be the address of its server."""
    made = settings(INNGEST_DEV=text, FLOWGEN_SIGNING_KEY=KEY)
    assert made.dev
    assert made.api == (text if text.startswith("http") else "http://127.0.0.1:8288")


@pytest.mark.parametrize("text", ["0", "false"])
def test_who_says_that_it_is_no_development_needs_a_key(text: str) -> None:
    """An app that takes calls of anybody must not be what a missing key makes."""
    with pytest.raises(InvalidInput, match="needs a signing key"):
        settings(INNGEST_DEV=text)
    assert not settings(INNGEST_DEV=text, FLOWGEN_SIGNING_KEY=KEY).dev


BAD: list[dict[str, Any]] = [
    {"signing_keys": ("secret",)},
    {"signing_keys": ("signkey-test-abc",)},
    {"api": "flows.example"},
    {"api": "https://user:pw@flows.example"},
    {"origin": "ftp://shop.example"},
    {"origin": "https://shop.example?x=1"},
    {"event_key": "a\nb"},
    {"max_body": 10, "max_open_bytes": 9},
]


@pytest.mark.parametrize("options", BAD, ids=lambda options: str(options)[:40])
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """When it is said, and without showing a key."""
    with pytest.raises(InvalidInput) as refused:
        ServeSettings(**options)
    assert "secret" not in str(refused.value)


def test_settings_do_not_show_keys() -> None:
    """Wherever they are printed."""
    assert KEY not in repr(ServeSettings((KEY,), event_key="canary"))
    assert "canary" not in repr(ServeSettings((KEY,), event_key="canary"))
