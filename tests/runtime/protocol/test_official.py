"""Signatures, canonical JSON and hashes beside the official Python SDK's own functions: the same for anything."""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.protocol.canonical import canonical
from flowgen.runtime.protocol.headers import SIGNATURE
from flowgen.runtime.protocol.signatures import event_key_hash, key_hash, sign, verify
from flowgen.runtime.protocol.steps import step_hash

from .wild import TEXTS, VALUES

KEY = "signkey-test-12345678"


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The functions of the SDK that its public ones are made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("inngest")
        from inngest._internal import net, server_lib, transforms
    return SimpleNamespace(net=net, kind=server_lib.ServerKind.CLOUD, transforms=transforms)


@given(value=VALUES)
def test_canonical_json_is_the_same(sdk: Any, value: Any) -> None:
    """Byte for byte."""
    body = json.dumps(value).encode()
    assert canonical(body) == sdk.transforms.canonicalize(body)


@given(value=VALUES, at=st.integers(0, 10**12 - 1))
def test_a_request_is_signed_the_same(sdk: Any, value: Any, at: int) -> None:
    """What our server signs the SDK believes, with either of its keys; and what it signs, we do."""
    body = json.dumps(value).encode()
    header = sign(KEY, body, at)
    assert header == sdk.net.sign_request(body, KEY, at)
    assert verify(header, body, [KEY], at) == KEY
    headers = {SIGNATURE.lower(): header}
    for key, fallback in ((KEY, None), ("signkey-test-00", KEY)):
        found = sdk.net.validate_request_sig(
            body=body, headers=headers, mode=sdk.kind, signing_key=key, signing_key_fallback=fallback
        )
        # Zero is no time to it.
        assert found == KEY or at == 0


@given(body=st.binary(max_size=100), at=st.integers(1, 10**12 - 1))
def test_an_answer_is_signed_the_same(sdk: Any, body: bytes, at: int) -> None:
    """As it is, whatever it is."""
    assert sign(KEY, body, at, canonical=False) == sdk.net.sign_response(body, KEY, at)


@given(text=TEXTS, secret=st.binary(min_size=1, max_size=32))
def test_hashes_are_the_same(sdk: Any, text: str, secret: bytes) -> None:
    """Of steps, event keys and signing keys."""
    assert step_hash(text) == sdk.transforms.hash_step_id(text)
    assert event_key_hash(text) == sdk.transforms.hash_event_key(text)
    assert key_hash(f"signkey-a_b-{secret.hex()}") == sdk.transforms.hash_signing_key(f"signkey-a_b-{secret.hex()}")
