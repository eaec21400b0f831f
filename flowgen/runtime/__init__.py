"""The runtime: everything that waits. Engines, clients and stores."""

from .client import Client, start_engine
from .engine import Engine, open_engine
from .info import Page, RunInfo

__all__ = ["Client", "Engine", "Page", "RunInfo", "open_engine", "start_engine"]
