"""The names of the protocol's headers, and what some of them say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SDK: Final = "X-Inngest-SDK"
"""On every answer of an app: `inngest-py:v0.5.19`, `flowgen:v1.0`. Without it, a 2xx answer is not an app's."""

SIGNATURE: Final = "X-Inngest-Signature"
REQUEST_VERSION: Final = "X-Inngest-Req-Version"
NO_RETRY: Final = "X-Inngest-No-Retry"
RETRY_AFTER: Final = "Retry-After"
SERVER_KIND: Final = "X-Inngest-Server-Kind"
EXPECTED_SERVER_KIND: Final = "X-Inngest-Expected-Server-Kind"
ENV: Final = "X-Inngest-Env"
PLATFORM: Final = "X-Inngest-Platform"
FRAMEWORK: Final = "X-Inngest-Framework"
SYNC_KIND: Final = "X-Inngest-Sync-Kind"
EVENT_ID_SEED: Final = "X-Inngest-Event-Id-Seed"
RUN_ID: Final = "X-Run-ID"
REQUEST_ID: Final = "X-Request-ID"
JOB_ID: Final = "X-Inngest-Job-ID"
GENERATION_ID: Final = "X-Inngest-Generation-ID"
STEP_ID: Final = "X-Inngest-Step-ID"
FORCE_STEP_PLAN: Final = "X-Inngest-Force-Step-Plan"

IN_BAND: Final = "in_band"
OUT_OF_BAND: Final = "out_of_band"

OUR_SDK: Final = "flowgen"
"""What the name of our own SDK begins with."""


def lowered(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case; of one that is there twice, the first."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    return found


def is_flowgen(sdk: str | None) -> bool:
    """Whether an app that names its SDK so is one of ours, which reads and writes the extra members."""
    return sdk is not None and sdk.partition(":")[0].strip() == OUR_SDK
