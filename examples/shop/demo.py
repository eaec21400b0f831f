"""The demo: `make demo`. Sends the orders, kills the engine three times, proves that nothing went wrong.

The engine is a child process. This process only talks to the store, so it goes on sending orders and
answers, and shows flowgen's web page, while the engine is dead. It ends with 0 only if every check of
`audit` holds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random, randrange

from flowgen.runtime import LocalClient, start_engine

from . import ledger
from .app import app
from .evidence import by_hand, collect, histories
from .orders import OrderPlaced, read_orders
from .page import NoPage, page
from .people import Boss, Customers, Hammer
from .report import Progress, summary, verdict
from .worker import Engine, store_url

LIMIT_SECONDS = 180
OPEN = ("scheduled", "running", "waiting", "cancelling", "parked")


def main(arguments: Sequence[str]) -> int:
    """Run the demo and give its exit code."""
    options = _options(arguments)
    directory = _directory(options.dir)
    seed = randrange(1_000_000) if options.seed is None else options.seed
    rows = read_orders()[: options.orders]
    print(f"{len(rows)} rows of orders; kills: {options.kills}, seed: {seed}; files in {directory}", flush=True)
    os.environ["SHOP_DIR"] = str(directory)
    engine = Engine(directory)
    try:
        engine.wait_until_ready()
        with start_engine(app, store=store_url(directory), work=False) as client, _page(client, options.port) as url:
            good = prove(client, engine, rows, options.kills, Random(seed))
            print(f"The files are in {directory}", flush=True)
            if options.keep:
                _stay(engine, url)
    finally:
        engine.kill()
    return 0 if good else 1


def prove(client: LocalClient, engine: Engine, rows: list[OrderPlaced], kills: int, dice: Random) -> bool:
    """Let everybody act until all orders are done; then look at what was left behind, and tell."""
    started, orders = time.monotonic(), {row.order_id for row in rows}
    customers, hammer = Customers(client, rows), Hammer(engine, dice, kills, len(orders))
    _act(client, customers, Boss(client), hammer)
    engine.stop()
    evidence = collect(histories(client), orders, [kill.process for kill in hammer.made])
    changed = by_hand(client, customers.placed)
    good, checks = verdict(evidence.without(changed))
    print("\n".join(["", *summary(evidence, hammer.made), *_told(changed), *checks]))
    print(f"\n{'All of it holds' if good else 'SOMETHING IS WRONG'}, in {time.monotonic() - started:.1f} s")
    return good


def _told(changed: frozenset[str]) -> list[str]:
    """What is no part of the proof."""
    orders = "order was" if len(changed) == 1 else "orders were"
    return (
        [f"by hand   {len(changed)} {orders} sent, cancelled or rerun on the page, and are left out"] if changed else []
    )


@contextmanager
def _page(client: LocalClient, port: int) -> Iterator[str | None]:
    """The web page, while the block lasts; without it the demo goes on."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(page(client, port))
        except NoPage as reason:
            url = None
            print(f"there is no page to watch: {reason}", flush=True)
        else:
            print(f"watch it at {url}", flush=True)
        yield url


def _stay(engine: Engine, url: str | None) -> None:
    """Let an engine work until Ctrl-C."""
    engine.start()
    engine.wait_until_ready()
    where = f" at {url}" if url else ""
    print(f"\nThe shop stays open{where}: send an event, cancel a run, rerun one. Ctrl-C ends it.", flush=True)
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(0.5)
            engine.check()


def _act(client: LocalClient, customers: Customers, boss: Boss, hammer: Hammer) -> None:
    """Let them act until all orders are done, or it takes too long: then say what is still open."""
    started, progress, told = time.monotonic(), Progress(), 0
    while (seconds := time.monotonic() - started) < LIMIT_SECONDS:
        for person in (customers, boss, hammer):
            person.act(seconds)
        done, killed = ledger.count(), hammer.restart_at is not None
        state = "was killed" if killed else "is working"
        line = f"engine {hammer.engine.number} {state}  {customers.sent:4} rows sent  {done:4} orders done"
        acted = customers.sent == len(customers.rows) and len(hammer.made) == hammer.kills and not killed
        finished = acted and not _open_runs(client) and _are_done(client, customers)
        progress.show(seconds, line, important=finished or len(hammer.made) > told)
        told = len(hammer.made)
        if finished:
            return
        time.sleep(0.05)
    for run in _open_runs(client):
        print(client.why(run))


def _are_done(client: LocalClient, customers: Customers) -> bool:
    """Whether each order is in the ledger, unless somebody has steered it on the page."""
    missing = customers.placed.keys() - {entry.order_id for entry in ledger.entries()}
    return not missing or missing <= by_hand(client, customers.placed)


def _open_runs(client: LocalClient) -> list[str]:
    return [run.id for status in OPEN for run in client.runs(status=status, limit=5).items]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Orders, a flaky gateway, and an engine that is killed.")
    parser.add_argument("--dir", type=Path, help="where the files go; it must be empty (default: a new one)")
    parser.add_argument("--seed", type=int, help="of the moments of the kills (default: another one each time)")
    parser.add_argument("--kills", type=int, default=3, help="how often the engine is killed (default: 3)")
    parser.add_argument("--orders", type=int, help="how many rows of the file are sent (default: all)")
    parser.add_argument("--port", type=int, default=8288, help="of the web page; the next free one is taken (8288)")
    parser.add_argument("--keep", action="store_true", help="stay at the end, with page and engine, until Ctrl-C")
    options = parser.parse_args(arguments)
    if options.dir is not None and options.dir.exists() and any(options.dir.iterdir()):
        parser.error(f"{options.dir} is not empty: name a new directory, so that no earlier orders are in the proof")
    return options


def _directory(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="flowgen-shop-"))
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted.resolve()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted")
