"""A loss of power takes nothing that was acknowledged; and these tests would notice if it did."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen.runtime.stores.sqlite import connection

from .disk import LOSSES, Write
from .outage import Figures, engines, operations


@pytest.fixture(autouse=True)
def small_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints come often, so that power fails in them, too."""
    monkeypatch.setattr(connection, "CHECKPOINT_PAGES", 40)


@pytest.mark.parametrize("work", [operations, engines])
def test_nothing_acknowledged_is_lost(work: Any) -> None:
    """Whatever part of the unsynced writes is left, the file is whole and holds every acknowledged commit."""
    figures: Figures = work(300)
    assert figures.images >= 300
    assert figures.checkpoints > 0
    assert all(figures.losses[loss] > 0 for loss in LOSSES), figures


def settings_with(**changed: Any) -> Any:
    """`connection._setting`, but for some settings."""
    sound = connection._setting

    def setting(to: Any, path: Any, name: str, value: Any, expected: Any) -> None:
        value, expected = changed.get(name, (value, expected))
        sound(to, path, name, value, expected)

    return setting


@pytest.mark.parametrize(
    "changed",
    [{"synchronous": ("normal", 1)}, {"synchronous": ("off", 0)}],
    ids=["synchronous=NORMAL", "synchronous=OFF"],
)
@pytest.mark.parametrize("work", [operations, engines])
def test_a_store_that_syncs_too_little_is_caught(monkeypatch: pytest.MonkeyPatch, changed: Any, work: Any) -> None:
    """The planted bug: commits are acknowledged before they are on the disk."""
    monkeypatch.setattr(connection, "_setting", settings_with(**changed))
    with pytest.raises(AssertionError, match="commit is lost|what is left is damaged"):
        work(200)


def test_a_write_is_torn_at_sectors() -> None:
    """Its parts end where sectors do, and together are the write."""
    write = Write(500, bytes(range(256)) * 5)
    parts = list(write.sectors())
    assert [(part.offset, len(part.data or b"")) for part in parts] == [(500, 12), (512, 512), (1024, 512), (1536, 244)]
    assert b"".join(part.data or b"" for part in parts) == write.data
    content = bytearray()
    for part in parts:
        part.on(content)
    assert bytes(content) == bytes(500) + (write.data or b"")
