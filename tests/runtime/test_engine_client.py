"""An engine without apps that drives nothing: a client of a store that other processes work on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from flowgen import App, Context, Sleep, Steps
from flowgen.errors import InvalidInput, NotFound
from flowgen.runtime import Engine, open_engine

Data = dict[str, Any]


def app_with(name: str, *workflows: str) -> App:
    app = App(name)
    for id in workflows:

        def body(ctx: Context[Data]) -> Steps[Data]:
            yield Sleep("no time", 0)
            return ctx.event.data

        app.workflow(id=id)(body)
    return app


@asynccontextmanager
async def client(tmp_path: Path, *apps: App) -> AsyncIterator[Engine]:
    """A client beside an engine that works for `apps`."""
    url = f"sqlite:///{tmp_path}/store.db"
    with trio.fail_after(50):
        async with open_engine(apps, url, grace="0s"), open_engine((), url, work=False) as engine:
            yield engine


async def test_a_bare_id_means_the_only_app_that_has_it(tmp_path: Path) -> None:
    """The store's registrations say whose a workflow is; what two apps have must be named with its app."""
    async with client(tmp_path, app_with("shop", "pay", "ship"), app_with("desk", "pay")) as engine:
        run = await engine.start("ship", {"n": 1})
        assert (await engine.run(run)).app == "shop"
        assert await engine.result(run) == {"n": 1}
        with pytest.raises(NotFound, match="say which app it is of, as app/id; the apps here are: desk, shop"):
            await engine.start("pay")
        assert (await engine.run(await engine.start("desk/pay"))).app == "desk"
        assert {run.app for run in (await engine.runs(app="desk", workflow="pay")).items} == {"desk"}


async def test_an_unknown_workflow_is_not_found(tmp_path: Path) -> None:
    """The error names what there is instead; a store without registrations has none."""
    async with client(tmp_path, app_with("shop", "pay")) as engine:
        with pytest.raises(NotFound, match="no app here has it; the workflows are: shop/pay"):
            await engine.start("pai")
    async with open_engine((), "memory://", work=False) as empty:
        with pytest.raises(NotFound, match="the workflows are: none"):
            await empty.start("pay")


@pytest.mark.parametrize("data", [[1], "text", 7, False])
async def test_data_that_is_no_object_starts_nothing(tmp_path: Path, data: object) -> None:
    """It becomes `ctx.event.data`: what cannot be is refused before anything is stored."""
    async with client(tmp_path, app_with("shop", "pay")) as engine:
        with pytest.raises(InvalidInput, match="must be an object"):
            await engine.start("pay", data)
        assert (await engine.runs()).items == ()
