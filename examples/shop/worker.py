"""The engine of the shop, a process of its own: `python -m shop.worker DIRECTORY`.

It works until its standard input is closed, then it finishes what it has in hand; so it also ends when
whoever started it has died. A kill -9 needs no preparation.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from flowgen.runtime import open_engine

from .app import app

LEASE = "2s"


def store_url(directory: Path) -> str:
    """The store of the shop: one SQLite file."""
    return f"sqlite:///{directory / 'flowgen.db'}"


async def main(directory: Path) -> None:
    """Open the engine, say so, and let it work."""
    async with open_engine(app, store=store_url(directory), lease=LEASE):
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    os.environ["SHOP_DIR"] = sys.argv[1]
    trio.run(main, Path(sys.argv[1]))
