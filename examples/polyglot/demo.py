"""The demo: `make demo-polyglot`. Three apps in three SDKs, one server, and a courier that is killed in the middle.

It ends with 0 only if every order came through as it must, and nothing happened twice.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowgen import Event
from flowgen.errors import FlowgenError
from flowgen.runtime import Client

from .processes import APPS, Processes
from .story import asked, repeated, tell

ORDERS = {
    "A-1": (["mug"], "Oslo"),
    "A-2": (["mug", "poster"], "Lima"),
    "A-3": (["lamp", "poster"], "Kyoto"),
}
EXPECTED = {
    "A-1": {"order": "A-1", "price": 12, "postage": 4, "delivered": True, "insured": 24},
    "A-2": {"order": "A-2", "price": 20, "postage": 4, "delivered": True, "insured": 40},
    "A-3": {"order": "A-3", "price": 48, "postage": 9, "delivered": True, "insured": 96},
}
LIMIT_SECONDS = 90


def main(arguments: Sequence[str]) -> int:
    """Run the demo and give its exit code."""
    parser = argparse.ArgumentParser(prog="polyglot", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="stay at the end, until Ctrl-C")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="polyglot-") as directory:
        processes = Processes(Path(directory))
        try:
            return _play(processes, keep=options.keep)
        finally:
            processes.stop()


def _play(processes: Processes, *, keep: bool) -> int:
    for name in (*APPS, "server"):
        processes.start(name)
        print(f"{name:10} {_what(name):44} at http://127.0.0.1:{processes.ports[name]}", flush=True)
    with Client(processes.url) as client:
        _wait("all three apps are registered", lambda: _apps(client) >= set(APPS))
        runs = [_place(client, order) for order in ORDERS]
        _wait("a parcel is on its way", lambda: "drive" in asked(client, "courier"))
        processes.kill("courier")
        print("\nthe courier is killed (kill -9) while a parcel is on its way, and started again", flush=True)
        processes.start("courier")
        results = {
            order: client.result(run, timeout=f"{LIMIT_SECONDS}s") for order, run in zip(ORDERS, runs, strict=True)
        }
        _wait("all is done", lambda: not _open(client))
        print("\n".join(["", *tell(client)]))
        good = _verdict(client, results)
        if keep:
            _stay(processes.url)
    return 0 if good else 1


def _what(name: str) -> str:
    return {
        "server": "flowgen dev, which calls all three",
        "shop": "flowgen workflows in FastAPI",
        "warehouse": "Inngest's Python SDK in FastAPI",
        "courier": "Inngest's TypeScript SDK on node",
    }[name]


def _place(client: Client, order: str) -> str:
    """Send an order; the run that it starts."""
    items, city = ORDERS[order]
    client.send(Event("order/placed", {"order": order, "items": items, "city": city}, id=order))
    found: list[str] = []

    def started() -> bool:
        page = client.runs(workflow="fulfil", limit=50)
        found[:] = [run.id for run in page.items if run.event.data["order"] == order]
        return bool(found)

    _wait(f"order {order} is begun", started)
    return found[0]


def _apps(client: Client) -> set[str]:
    return {workflow.app for workflow in client.workflows()}


def _open(client: Client) -> bool:
    return any(run.ended_at is None for run in client.runs(limit=100).items)


def _verdict(client: Client, results: dict[str, Any]) -> bool:
    """Whether everything is as it must be, told."""
    twice = repeated(client)
    good = results == EXPECTED and not twice
    for order, result in results.items():
        sign = "✓" if result == EXPECTED[order] else "✗"
        print(f"{sign} {order}: {result}")
    print(f"{'✗' if twice else '✓'} steps that were recorded twice: {', '.join(twice) or 'none'}")
    print(f"\n{'All of it holds' if good else 'SOMETHING IS WRONG'}", flush=True)
    return good


def _wait(what: str, question: Any) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not question():
        if time.monotonic() > end:
            raise SystemExit(f"in {LIMIT_SECONDS} s it did not happen that {what}")
        time.sleep(0.05)


def _stay(url: str) -> None:
    print(f"See the runs at {url}; Ctrl-C ends it.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FlowgenError as error:
        sys.exit(f"polyglot: {error}")
