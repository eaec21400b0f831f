"""A file that is deleted, moved or replaced under a store: it is noticed, and nothing more is written."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from flowgen import App
from flowgen.runtime import open_engine
from flowgen.runtime.store import StoreUnusable
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite import presence
from flowgen.runtime.stores.sqlite.presence import Presence
from flowgen.testing.conformance.world import World


def delete(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


def files(directory: Path) -> dict[str, bytes]:
    """The database files in a directory, and what is in them."""
    return {file.name: file.read_bytes() for file in directory.glob("*.db*")}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is looked at each time."""
    monkeypatch.setattr(presence, "EACH", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "change, what", [(delete, "deleted or moved"), (move, "deleted or moved"), (replace, "replaced by another file")]
)
async def test_a_store_whose_file_is_gone_refuses_everything(
    tmp_path: Path, change: Callable[[Path], None], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Writing, reading, waiting and extending, each with the path and what happened to it; it is logged once."""
    path = tmp_path / "x.db"
    store = SqliteStore(path, inline=True)
    await store.open()
    world = World(store, None, None)
    extender = store.extender()
    await world.create("r1")
    change(path)
    left = files(tmp_path)
    with caplog.at_level(logging.CRITICAL):
        for use in (
            lambda: world.create("r2"),
            lambda: store.load("app", "r1"),
            lambda: store.wait_changed(0),
        ):
            with pytest.raises(StoreUnusable, match=f"x.db was {what} while it was in use: what is written now"):
                await use()
        with pytest.raises(StoreUnusable, match=what):
            extender.extend("w1", [], 1_000_000)
    assert len(caplog.records) == 1
    assert files(tmp_path) == left
    extender.close()
    await store.close()


@pytest.mark.usefixtures("at_once")
async def test_a_file_that_came_back_is_not_trusted(tmp_path: Path) -> None:
    """What was gone once is gone for this store; opened anew it is used again."""
    path = tmp_path / "x.db"
    store = SqliteStore(path, inline=True)
    await store.open()
    move(path)
    with pytest.raises(StoreUnusable):
        await store.event("e")
    (tmp_path / "moved.db").rename(path)
    with pytest.raises(StoreUnusable):
        await store.event("e")
    await store.close()
    await store.open()
    assert await store.event("e") is None
    await store.close()


@pytest.mark.parametrize("change", [delete, replace])
async def test_an_engine_ends_when_its_file_is_gone(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Even an idle one, with the error that says why."""
    path = tmp_path / "x.db"

    async def idle() -> None:
        async with open_engine(App("idle"), f"sqlite:///{path}", grace="0s"):
            change(path)
            await trio.sleep_forever()

    with trio.fail_after(50), pytest.raises(ExceptionGroup) as ended:
        await idle()
    assert ended.group_contains(StoreUnusable, match="while it was in use")


def test_the_path_is_not_looked_at_each_time(tmp_path: Path) -> None:
    """A look costs a system call; so a change may be noticed a moment later."""
    path = tmp_path / "x"
    path.touch()
    watched = Presence(path)
    watched.opened()
    watched.check()
    path.unlink()
    watched.check()
    with pytest.raises(StoreUnusable):
        watched.look()
    with pytest.raises(StoreUnusable):
        watched.check()


def test_a_file_that_never_was_there_cannot_be_gone(tmp_path: Path) -> None:
    """Such as one of a file system that only SQLite sees."""
    watched = Presence(tmp_path / "x")
    watched.opened()
    watched.look()
