"""What an app says of itself when it is asked (GET): little to anybody, more to who signs the request.

Hashes name keys without giving them away.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

SCHEMA_VERSION: Final = "2024-05-24"

Mode = Literal["dev", "cloud"]


@attrs.frozen
class Inspection:
    """The state of a served app. The members from `app_id` on are told only to a server that signs."""

    function_count: int
    mode: Mode
    has_event_key: bool = False
    has_signing_key: bool = False
    has_signing_key_fallback: bool = False
    app_id: str = ""
    api_origin: str = ""
    event_api_origin: str = ""
    env: str | None = None
    framework: str = "asgi"
    sdk_version: str = ""
    serve_origin: str | None = None
    serve_path: str | None = None
    event_key_hash: str | None = None
    signing_key_hash: str | None = None
    signing_key_fallback_hash: str | None = None


def inspection_document(inspection: Inspection, *, authenticated: bool | None) -> dict[str, Any]:
    """The JSON that answers: `authenticated` is whether the request's signature is good, None if it has none."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "authentication_succeeded": authenticated,
        "function_count": inspection.function_count,
        "has_event_key": inspection.has_event_key,
        "has_signing_key": inspection.has_signing_key,
        "has_signing_key_fallback": inspection.has_signing_key_fallback,
        "mode": inspection.mode,
    }
    if not authenticated:
        return document
    return document | {
        "api_origin": inspection.api_origin,
        "app_id": inspection.app_id,
        "capabilities": {"in_band_sync": "v1", "trust_probe": "v1"},
        "env": inspection.env,
        "event_api_origin": inspection.event_api_origin,
        "event_key_hash": inspection.event_key_hash,
        "framework": inspection.framework,
        "sdk_language": "py",
        "sdk_version": inspection.sdk_version,
        "serve_origin": inspection.serve_origin,
        "serve_path": inspection.serve_path,
        "signing_key_fallback_hash": inspection.signing_key_fallback_hash,
        "signing_key_hash": inspection.signing_key_hash,
    }
