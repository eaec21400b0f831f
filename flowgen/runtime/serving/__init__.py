"""Serving: an app whose workflows are driven from elsewhere, over HTTP, one step a request.

==============  ===================================================================
`asgi`          `serve_app`, the ASGI app
`door`          which requests are read, and who has sent them; `settings` say so
`seen`          which signed calls came, to refuse copies
`recall`        a call → the run's interpreter, rebuilt
`turn`          what to do about a call: one body, or an answer
`asking`        an open step as an op, the end of a run as an answer
`bodies`        the thread where bodies are executed
`upstream`      requests to the server: registering, events, signals
==============  ===================================================================

The server of an app is a flowgen server, which tells our history in each call, or any other that speaks Inngest's
protocol (`flowgen.runtime.protocol`), which tells results and their order. Nothing is kept here between two calls.

Refuses to know: engines and stores, and how another end drives an app.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asgi import ServedApp as ServedApp
    from .asgi import serve_app as serve_app
    from .settings import ServeSettings as ServeSettings

__all__ = ["ServeSettings", "ServedApp", "serve_app"]


def __getattr__(name: str) -> object:
    """Import on first use: who only recalls a run, such as `flowgen check`, needs no HTTP client."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import asgi, settings

    thing: object = getattr(settings if name == "ServeSettings" else asgi, name)
    return thing
