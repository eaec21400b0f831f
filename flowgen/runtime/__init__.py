"""The runtime: everything that waits. Engines, clients and stores."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bulk import BulkResult
    from .client import LocalClient, start_engine
    from .engine import Engine
    from .info import RunInfo
    from .opening import open_engine
    from .paging import Page
    from .remote import AsyncClient, Client
    from .serving import ServeSettings, serve_app
    from .workflows import WorkflowInfo

__all__ = [
    "AsyncClient",
    "BulkResult",
    "Client",
    "Engine",
    "LocalClient",
    "Page",
    "RunInfo",
    "ServeSettings",
    "WorkflowInfo",
    "open_engine",
    "serve_app",
    "start_engine",
]

_HOMES = {
    "AsyncClient": "remote",
    "Client": "remote",
    "BulkResult": "bulk",
    "WorkflowInfo": "workflows",
    "LocalClient": "client",
    "start_engine": "client",
    "Engine": "engine",
    "open_engine": "opening",
    "Page": "paging",
    "RunInfo": "info",
    "ServeSettings": "serving",
    "serve_app": "serving",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that `flowgen --help` needs neither an event loop nor a database."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    thing: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = thing
    return thing


def __dir__() -> list[str]:
    return __all__
