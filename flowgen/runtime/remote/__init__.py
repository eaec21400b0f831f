"""Clients of a server: the engine's verbs over HTTP. Needs the extra `client`.

==============  =============================================================================
`talk`          what is said and heard, and when it is said again: generators, without IO
`verbs`         each verb as such a generator, written once
`reading`       documents back into values: `RunInfo`, `Page`, `Failure` …
`blocking`      `Client`, for programs that block
`concurrent`    `AsyncClient`, for trio and asyncio
==============  =============================================================================
"""

try:
    import httpx  # noqa: F401
except ImportError as error:
    raise ImportError("a client of a server needs httpx: pip install 'flowgen-workflows[client]'") from error

from .blocking import Client
from .concurrent import AsyncClient

__all__ = ["AsyncClient", "Client"]
