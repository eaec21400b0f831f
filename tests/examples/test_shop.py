"""The example app `examples/shop`: its parts, its workflows in virtual time, its proof, and the demo.

The proof is proved as well: each thing that could go wrong is planted, in the evidence or in the app
itself, and the check that promises the opposite has to fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import attrs
import pytest
import trio
from shop import app as shop
from shop import audit, database, gateway, ledger, report, warehouse
from shop.audit import Evidence
from shop.evidence import by_hand, collect, histories
from shop.orders import LARGE, OrderPlaced, read_orders, validate
from shop.people import Kill

from flowgen import Event, NonRetriableError, RunCancelledError
from flowgen.history import Record, StepSucceeded
from flowgen.outcome import Json
from flowgen.runtime import Engine, open_engine, start_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import MemoryStore
from flowgen.testing.clock import VirtualClock

ROOT = Path(__file__).parents[2]
ROWS = read_orders()
GOOD = next(row for row in ROWS if row.sku == "mug" and row.amount == "44.70")

DOUBLE_CHARGE = "nobody was charged twice"
LOST = "no order is lost, and none is carried out twice"
ENDING = "each run ended as the ledger says"
BALANCE = "the gateway holds what the ledger says was paid"
STOCK = "the warehouse keeps what is shipped, and sold no more than it had"
LATE = "no request came after its step's outcome was recorded"
UNEXPLAINED = "each request that nobody recorded was cut off by a kill"


@pytest.fixture(autouse=True)
def shop_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a shop of its own, with a gateway that answers at once."""
    monkeypatch.setenv("SHOP_DIR", str(tmp_path))
    monkeypatch.setattr(gateway, "LATENCY", (0.0, 0.0))
    return tmp_path


# -- orders ----------------------------------------------------------------------------------------


def test_the_file_has_hundreds_of_rows_and_some_are_there_twice() -> None:
    """It is real input: most rows are good, some are not, and the same order comes again."""
    orders = Counter(row.order_id for row in ROWS)
    assert len(ROWS) == 303
    assert len(orders) == 300
    assert all(len({row for row in ROWS if row.order_id == order}) == 1 for order in orders)
    assert sum(_is_valid(row) for row in set(ROWS)) == 284
    assert sum(validate(row).total >= LARGE for row in set(ROWS) if _is_valid(row)) == 34


def _is_valid(row: OrderPlaced) -> bool:
    try:
        validate(row)
    except NonRetriableError:
        return False
    return True


def test_a_good_row_becomes_an_order() -> None:
    """Text becomes numbers."""
    order = validate(GOOD)
    assert (order.id, order.quantity, order.total) == (GOOD.order_id, 3, Decimal("44.70"))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("sku", "toaster", "there is no product 'toaster'"),
        ("quantity", "two", "the quantity 'two' is not a whole number"),
        ("quantity", "0", "from 1 to 99"),
        ("quantity", "²", "the quantity '²' is not a whole number"),
        ("amount", "44,70", "the amount '44,70' is not a number"),
        ("amount", "", "the amount '' is not a number"),
        ("amount", "NaN", "the amount NaN is not above zero"),
        ("amount", "-44.70", "the amount -44.70 is not above zero"),
        ("amount", "43.70", r"the amount 43\.70 is not 3 × 14\.90"),
        ("address", "  ", "the address is missing"),
        ("city", "", "the address is missing"),
    ],
)
def test_a_bad_row_is_refused_with_the_reason(field: str, value: str, says: str) -> None:
    """What is wrong is said, and nobody tries it again."""
    with pytest.raises(NonRetriableError, match=says):
        validate(attrs.evolve(GOOD, **{field: value}))


# -- the services ----------------------------------------------------------------------------------


def _until_answered(ask: Callable[[], gateway.Receipt]) -> gateway.Receipt:
    while True:
        try:
            return ask()
        except gateway.ConnectionLost:
            continue


def test_the_gateway_charges_once_under_a_key() -> None:
    """However often it is asked, and however often the answer is lost."""
    for order in range(40):
        for _ in range(3):
            receipt = _until_answered(partial(gateway.charge, f"key {order}", f"{order}", "1", Decimal(5)))
            assert receipt.amount == 5
    requests, payments = gateway.log()
    assert Counter(payment.order_id for payment in payments) == {str(order): 1 for order in range(40)}
    answers = Counter(request.answer for request in requests)
    assert set(answers) == {"done", "done before", "lost before it was done", "lost after it was done"}


def test_the_gateway_declines_and_moves_nothing() -> None:
    """A declined card is final, and names its request."""
    with pytest.raises(gateway.CardDeclined, match="request 1: the card ending in 0002"):
        gateway.charge("key", "A-1", "0002", Decimal(5))
    assert gateway.log()[1] == []


def test_the_gateway_gives_back_what_was_taken() -> None:
    """A refund moves the balance of its order, and nothing if there is none."""
    _until_answered(lambda: gateway.charge("key", "A-1", "1", Decimal(5)))
    assert _until_answered(lambda: gateway.refund("undo", "A-1")).amount == -5
    assert _until_answered(lambda: gateway.refund("undo", "A-1")).amount == -5
    assert _until_answered(lambda: gateway.refund("undo 2", "A-2")).amount == 0
    assert sum(payment.amount for payment in gateway.log()[1]) == 0


def test_the_warehouse_sells_what_it_has() -> None:
    """Reserving again takes nothing more; what is released can be had again."""
    for order in range(6):
        warehouse.reserve(f"{order}", "anniversary-cup", 1)
        warehouse.reserve(f"{order}", "anniversary-cup", 1)
    with pytest.raises(warehouse.OutOfStock, match="1 × anniversary-cup was ordered, 0 are left"):
        warehouse.reserve("6", "anniversary-cup", 1)
    warehouse.release("0")
    warehouse.reserve("6", "anniversary-cup", 1)
    assert warehouse.reservations().keys() == {"1", "2", "3", "4", "5", "6"}


def test_the_ledger_takes_one_entry_an_order() -> None:
    """The same ending again is harmless, whichever run has come to it; another one is not."""
    entry = ledger.Entry("A-1", "run", "shipped", Decimal("5.50"), "DE-1")
    ledger.write(entry)
    ledger.write(entry)
    ledger.write(attrs.evolve(entry, run="rerun", detail="DE-2"))
    assert ledger.entries() == [entry]
    with pytest.raises(ValueError, match="order A-1 is in the ledger already"):
        ledger.write(attrs.evolve(entry, ending="refunded"))
    assert ledger.count() == 1


def test_a_transaction_that_fails_leaves_nothing() -> None:
    """All of a write, or nothing of it."""

    def write_and_fail() -> None:
        with database.transaction("ledger", ledger.TABLES) as connection:
            connection.execute("insert into entries (order_id) values ('A-1')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert ledger.count() == 0


# -- the workflows, in virtual time ----------------------------------------------------------------


def carry_out(rows: list[OrderPlaced]) -> Evidence:
    """What is left when these orders have been carried out, by one engine that nobody kills."""
    orders = {row.order_id for row in rows}

    async def main(clock: VirtualClock) -> Evidence:
        environment = Environment(seed=7, threads=False)
        async with open_engine(shop.app, MemoryStore(clock), environment=environment) as engine:
            await engine.send([Event("order/placed", row, id=row.order_id) for row in rows])
            while ledger.count() < len(orders):
                await trio.sleep(0.5)
                await _answer(engine)
            await trio.sleep(1)
            runs = (await engine.runs(workflow=shop.fulfil, limit=500)).items
            return collect([(run, await engine.history(run.id)) for run in runs], orders, killed=())

    clock = VirtualClock()
    return trio.run(main, clock, clock=clock)


async def _answer(engine: Engine) -> None:
    """Every approval that was asked for is given, or refused, or not answered, by the order's number."""
    for asked in (await engine.events("approval/asked", limit=500)).items:
        order = json.loads(bytes(asked.data))["order_id"]
        fate = int(order[-2:]) % 4
        if fate < 3:
            given = shop.ApprovalGiven(order, approved=fate < 2, by="the test")
            await engine.send(Event("approval/given", given, id=f"approval of {order}"))


def flaws(evidence: Evidence) -> dict[str, list[str]]:
    """What contradicts each promise, for the promises that do not hold."""
    found = {promise: list(check(evidence)) for promise, check in audit.CHECKS.items()}
    return {promise: flaws for promise, flaws in found.items() if flaws}


def test_all_orders_are_carried_out() -> None:
    """Without a kill everything holds, every ending occurs, and every request is recorded."""
    evidence = carry_out(ROWS)
    assert flaws(evidence) == {}
    endings = Counter(entry.ending for entry in evidence.entries)
    assert set(endings) == {"shipped", "rejected", "refused", "declined", "refunded"}
    assert endings["rejected"] == 16
    assert endings["declined"] == 8
    details = " ".join(entry.detail for entry in evidence.entries)
    for reason in ("no carrier goes to AQ", "1 × anniversary-cup was ordered, 0 are left", "nobody answered"):
        assert reason in details
    assert evidence.cut_off() == []


def test_a_charge_that_never_gets_an_answer_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been done, so the money is given back; the customer has paid nothing."""
    charge = gateway.charge

    def charge_without_answer(key: str, order_id: str, card: str, amount: Decimal) -> gateway.Receipt:
        receipt = charge(key, order_id, card, amount)
        raise gateway.ConnectionLost(f"request {receipt.request}: connection lost")

    monkeypatch.setattr(gateway, "charge", charge_without_answer)
    evidence = carry_out([GOOD])
    assert [entry.ending for entry in evidence.entries] == ["declined"]
    assert [payment.amount for payment in evidence.payments] == [Decimal("44.70"), Decimal("-44.70")]
    assert flaws(evidence) == {}


def test_a_shop_that_gives_each_request_a_new_key_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted in the app: repeats after a lost answer charge again, and the proof fails."""
    charge, numbers = gateway.charge, count()

    def charge_afresh(key: str, order_id: str, card: str, amount: Decimal) -> gateway.Receipt:
        return charge(f"{key}#{next(numbers)}", order_id, card, amount)

    monkeypatch.setattr(gateway, "charge", charge_afresh)
    found = flaws(carry_out([row for row in ROWS if row.sku == "mug"]))
    assert "was charged 2 times" in " ".join(found[DOUBLE_CHARGE])
    assert BALANCE in found


# -- the proof, proved -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What 60 orders leave behind; every check holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_DIR", str(tmp_path_factory.mktemp("shop")))
        patch.setattr(gateway, "LATENCY", (0.0, 0.0))
        return carry_out(ROWS[:60])


def _shipped(evidence: Evidence) -> ledger.Entry:
    return next(entry for entry in evidence.entries if entry.ending == "shipped")


def _request(evidence: Evidence, **changes: Any) -> gateway.Request:
    """A further request: as the first one was, but for its number and what is given."""
    number = evidence.requests[-1].number + 1
    return attrs.evolve(evidence.requests[0], **{"number": number, "answer": None, **changes})


def _changed_run(evidence: Evidence, **changes: Any) -> Evidence:
    first, *others = evidence.runs
    return attrs.evolve(evidence, runs=(attrs.evolve(first, **changes), *others))


def lost_entry(evidence: Evidence) -> Evidence:
    lost = _shipped(evidence)
    return attrs.evolve(evidence, entries=tuple(entry for entry in evidence.entries if entry is not lost))


def lost_run(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, runs=evidence.runs[1:])


def order_that_started_nothing(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, orders=evidence.orders | {"A-1"})


def order_that_nobody_sent(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, orders=evidence.orders - {_shipped(evidence).order_id})


def order_with_two_runs(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, runs=(*evidence.runs, evidence.runs[0]))


def run_that_failed(evidence: Evidence) -> Evidence:
    return _changed_run(evidence, status="failed")


def run_that_ended_otherwise(evidence: Evidence) -> Evidence:
    return _changed_run(evidence, result="lost in the post")


def second_charge(evidence: Evidence) -> Evidence:
    again = attrs.evolve(next(p for p in evidence.payments if p.amount > 0), key="another", request=10_000)
    return attrs.evolve(evidence, payments=(*evidence.payments, again))


def lost_payment(evidence: Evidence) -> Evidence:
    lost = next(p for p in evidence.payments if p.order_id == _shipped(evidence).order_id)
    return attrs.evolve(evidence, payments=tuple(p for p in evidence.payments if p is not lost))


def wrong_entry(evidence: Evidence) -> Evidence:
    wrong = _shipped(evidence)
    entries = (attrs.evolve(entry, paid=entry.paid + (entry is wrong)) for entry in evidence.entries)
    return attrs.evolve(evidence, entries=tuple(entries))


def nothing_reserved(evidence: Evidence) -> Evidence:
    shipped = _shipped(evidence).order_id
    return attrs.evolve(evidence, reserved={o: kept for o, kept in evidence.reserved.items() if o != shipped})


def stock_not_released(evidence: Evidence) -> Evidence:
    refunded = next(entry for entry in evidence.entries if entry.ending != "shipped")
    return attrs.evolve(evidence, reserved={**evidence.reserved, refunded.order_id: ("mug", 1)})


def sold_too_much(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, reserved={**evidence.reserved, _shipped(evidence).order_id: ("anniversary-cup", 7)})


def request_after_the_outcome(evidence: Evidence) -> Evidence:
    late = _request(evidence, process=4711)
    return attrs.evolve(evidence, requests=(*evidence.requests, late), killed=frozenset({4711}))


def outcome_from_nowhere(evidence: Evidence) -> Evidence:
    """A step that made requests, whose recorded value names none of them."""
    run = next(run for run in evidence.runs if run.result == "shipped")
    forged = tuple(_forged(record) for record in run.records)
    runs = (attrs.evolve(run, records=forged) if each is run else each for each in evidence.runs)
    return attrs.evolve(evidence, runs=tuple(runs), killed=frozenset({evidence.requests[0].process}))


def _forged(record: Record) -> Record:
    if isinstance(record, StepSucceeded) and record.step == "charge":
        return attrs.evolve(record, value=Json(b"{}"))
    return record


def request_without_a_reason(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, requests=(*evidence.requests, _request(evidence, key="run/step")))


@pytest.mark.parametrize(
    ("plant", "broken"),
    [
        (lost_entry, {LOST, ENDING, BALANCE, STOCK}),
        (lost_run, {LOST, UNEXPLAINED}),
        (order_that_started_nothing, {LOST}),
        (order_that_nobody_sent, {LOST}),
        (order_with_two_runs, {LOST}),
        (run_that_failed, {ENDING}),
        (run_that_ended_otherwise, {ENDING}),
        (second_charge, {DOUBLE_CHARGE, BALANCE}),
        (lost_payment, {BALANCE}),
        (wrong_entry, {BALANCE}),
        (nothing_reserved, {STOCK}),
        (stock_not_released, {STOCK}),
        (sold_too_much, {STOCK}),
        (request_after_the_outcome, {LATE}),
        (outcome_from_nowhere, {LATE}),
        (request_without_a_reason, {UNEXPLAINED}),
    ],
)
def test_what_goes_wrong_is_found(evidence: Evidence, plant: Callable[[Evidence], Evidence], broken: set[str]) -> None:
    """The checks whose promise is broken fail, and no others."""
    assert flaws(evidence) == {}
    assert flaws(plant(evidence)).keys() == broken


def test_orders_that_somebody_has_steered_are_no_part_of_the_proof() -> None:
    """Sent, cancelled or rerun by hand: each is known, and without them all holds that held before."""
    rows = [attrs.evolve(GOOD, order_id=f"B-{n}", city="" if n else GOOD.city) for n in range(3)]
    with start_engine(shop.app) as client:
        events = client.send([Event("order/placed", row, id=row.order_id) for row in rows])
        (cancelled,), (rerun,), (untouched,) = (client.started(event) for event in events)
        client.cancel(cancelled)
        with pytest.raises(RunCancelledError):
            client.result(cancelled, timeout="60s")
        assert [client.result(run, timeout="60s") for run in (rerun, untouched)] == ["rejected"] * 2
        assert client.result(client.rerun(rerun), timeout="60s") == "rejected"
        [stray] = client.send(Event("order/placed", attrs.evolve(rows[1], order_id="B-9")))
        client.result(*client.started(stray), timeout="60s")
        placed = {row.order_id: event for row, event in zip(rows, events, strict=True)}
        touched = by_hand(client, placed)
        found = collect(histories(client), placed, killed=())
    assert touched == {"B-0", "B-1", "B-9"}
    assert flaws(found) != {}
    assert flaws(found.without(touched)) == {}
    assert [run.order_id for run in found.without(touched).runs] == ["B-2"]


def test_a_request_that_a_kill_cut_off_is_no_flaw(evidence: Evidence) -> None:
    """It is repeated under its key, and the repeat is the one that is recorded."""
    recorded = evidence.requests[-1]
    cut_off = attrs.evolve(recorded, number=0, process=4711, answer=None)
    told = attrs.evolve(evidence, requests=(cut_off, *evidence.requests), killed=frozenset({4711}))
    assert flaws(told) == {}
    assert told.cut_off() == [cut_off]
    text = "\n".join(report.summary(told, [Kill(2.5, 4711, 17)]))
    assert "kill 1    at 2.5 s, of process 4711, with 17 orders done; gateway requests cut off: 1" in text
    assert f"of {cut_off.order_id}: request 0, nothing was done; repeated as " in text


def test_the_verdict_says_what_is_wrong(evidence: Evidence) -> None:
    """A line for each promise; under one that is broken, what contradicts it."""
    good, lines = report.verdict(evidence)
    assert good
    assert [line for line in lines if line] == [f"ok        {promise}" for promise in audit.CHECKS]
    good, lines = report.verdict(second_charge(evidence))
    assert not good
    assert f"FAILED    {DOUBLE_CHARGE}" in lines
    assert "was charged 2 times, by requests" in "\n".join(lines)


def test_many_flaws_are_counted(evidence: Evidence) -> None:
    """Of a hundred lost orders some are shown."""
    _, lines = report.verdict(attrs.evolve(evidence, orders=frozenset(f"B-{n}" for n in range(100))))
    more = 100 + len(evidence.runs) - report.SHOWN
    assert f"and {more} more" in [line.strip() for line in lines]


# -- the demo --------------------------------------------------------------------------------------


def demo(*arguments: str, module: Sequence[str] = ("-m", "shop.demo")) -> subprocess.CompletedProcess[str]:
    """`make demo`, with the page on any free port."""
    command = [sys.executable, *module, *arguments, "--port", "0"]
    return subprocess.run(command, capture_output=True, text=True, env=demo_environment(), timeout=400, check=False)


def demo_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), str(ROOT)])}


def test_the_demo_kills_the_engine_and_proves_that_nothing_went_wrong(tmp_path: Path) -> None:
    """With real processes and real kills; afterwards its files are there, and it refuses to mix in others."""
    directory = tmp_path / "files"
    done = demo("--orders", "40", "--kills", "2", "--seed", "5", "--dir", str(directory))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("gateway requests cut off: ") == 2
    assert all(f"ok        {promise}" in done.stdout for promise in audit.CHECKS)
    files = {"flowgen.db", "gateway.db", "ledger.db", "warehouse.db", "engine.log"}
    assert files <= {file.name for file in directory.iterdir()}
    again = demo("--dir", str(directory))
    assert again.returncode == 2
    assert "is not empty: name a new directory" in again.stderr


@contextmanager
def kept_demo(directory: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[str], str]]]:
    """A demo that stays; and the next line that it prints with a text in it."""
    command = [sys.executable, "-m", "shop.demo", "--orders", "6", "--kills", "0", "--keep", "--port", "0"]
    command += ["--dir", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=demo_environment()) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        try:
            yield process, lambda text: next(line for line in lines if text in line)
        finally:
            process.kill()


def ask(url: str, data: object = None) -> Any:
    """What a server answers, as JSON."""
    body = None if data is None else json.dumps(data).encode()
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=240) as answer:
        return json.load(answer)


def test_the_demo_has_a_page_and_may_stay_open(tmp_path: Path) -> None:
    """The page is there from the first lines on; at the end an engine carries out what is sent. Ctrl-C ends it well."""
    with kept_demo(tmp_path / "files") as (process, line):
        url = line("watch it at").split()[3]
        with urlopen(f"{url}/", timeout=240) as page:
            assert "<title>" in page.read().decode()
        placed = {**attrs.asdict(GOOD), "order_id": "by-hand", "sku": "toaster"}
        ask(f"{url}/e/demo", {"name": "order/placed", "data": placed})
        assert "1 order was sent, cancelled or rerun on the page" in line("by hand")
        assert url in line("stays open")
        placed = {**attrs.asdict(GOOD), "order_id": "by-hand-again"}
        [event] = ask(f"{url}/e/demo", {"name": "order/placed", "data": placed})["ids"]
        [run] = ask(f"{url}/v1/events/{event}/runs")["items"]
        assert ask(f"{url}/v1/runs/{run['id']}?wait=60s")["status"] == "completed"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_the_demo_goes_on_without_a_page(tmp_path: Path) -> None:
    """Without the extra `server` it says so, and proves what it proves."""
    code = "import sys; sys.modules.update(uvicorn=None); from shop.demo import main; sys.exit(main(sys.argv[1:]))"
    done = demo("--orders", "3", "--kills", "0", module=("-c", code))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there is no page to watch: uvicorn is not installed, see the extra `server`" in done.stdout
