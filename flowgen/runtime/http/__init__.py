"""HTTP: the engine's verbs for other programs, and pages for people. Needs the extra `server`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import http_app
    from .limits import Limits
    from .server import serving
    from .settings import Settings

__all__ = ["Limits", "Settings", "http_app", "serving"]

_HOMES = {"http_app": "app", "Limits": "limits", "serving": "server", "Settings": "settings"}


def __getattr__(name: str) -> object:
    """Import on first use: what binds sockets and checks settings needs no web framework."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    thing: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = thing
    return thing


def __dir__() -> list[str]:
    return __all__
