"""What every handler of the server needs: the engine, the way to it, and how the server is set up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any, TypeVar

from ...app import App
from ..dialing import Dialer
from ..engine import Engine
from .audience import Audience
from .bridge import Bridge
from .feed import Feed
from .intake import Intake
from .meter import Meter
from .patience import Patience
from .settings import Settings
from .signatures import Nonces
from .tries import Tries

T = TypeVar("T")


class Service:
    """One engine behind one server. `apps` are those whose workflows it may describe, by name.

    With the first of `token_keys` it makes the tokens that it gives out, and takes those of all: without signing keys
    there is one that no other process knows.
    """

    def __init__(self, engine: Engine, apps: dict[str, App], settings: Settings) -> None:
        self.engine = engine
        self.apps = apps
        self.settings = settings
        self.patience = Patience(max(1, settings.max_open // 2))
        self.patience_with_strangers = Patience(max(1, settings.max_open // 4))
        self.feed = Feed(engine)
        self.audience = Audience()
        self.token_keys = settings.signing_keys or (token_hex(32),)
        self.meter = Meter()
        self.nonces = Nonces()
        self.tries = Tries()
        self.dialer = Dialer(settings.reach)
        engine.watch(self.meter.committed)
        engine.time_commits(self.meter.took)
        self._bridge = Bridge(engine.token)
        self.intake = Intake(engine, self._bridge, settings.max_unrouted)

    async def ask(self, verb: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run a verb of the engine on its own loop."""
        return await self._bridge.call(verb, *arguments)
