"""HTTP: the engine's verbs for other programs, and pages for people. Needs the extra `server`."""

from .app import http_app
from .settings import Settings

__all__ = ["Settings", "http_app"]
