"""Takes the pictures of the tour: `python -m tests.browser.pictures` in the root of the project.

It serves an app of its own, does in it what the tour tells, and writes `docs/images/ui-*.png`. Run it when
pages look different; `pngquant` makes the pictures a third as large.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import trio
from playwright.sync_api import sync_playwright

from flowgen import (
    All,
    App,
    Backoff,
    CancelOn,
    Concurrency,
    Context,
    Event,
    Invoke,
    NonRetriableError,
    OnCron,
    OnEvent,
    Race,
    Run,
    SendEvent,
    Singleton,
    Sleep,
    Steps,
    WaitFor,
    event_type,
)
from flowgen.runtime import Engine
from tests.browser.serving import Site, chromium_path, site_of

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE: Any = {"width": 1160, "height": 720}

app = App("shop", retries=3, backoff=Backoff.fixed("600ms"))
tried: dict[str, int] = {}


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    """An order, as the form sends it."""

    order_id: str
    customer: str
    total: float
    items: list[str]


async def load_order(order_id: str) -> dict[str, Any]:
    await trio.sleep(0.12)
    return {"id": order_id, "items": ["lamp", "desk"], "total": 129.5, "gift": False}


async def charge(order: dict[str, Any], currency: str = "eur") -> dict[str, Any]:
    await trio.sleep(0.35)
    tried[order["id"]] = tried.get(order["id"], 0) + 1
    if order["id"].endswith("2") and tried[order["id"]] < 3:
        raise ConnectionError("payment gateway: 503 Service Unavailable")
    return {"receipt": f"r-{order['id']}", "amount": order["total"], "currency": currency}


async def work(seconds: float, result: Any = None) -> Any:
    await trio.sleep(seconds)
    return result


async def ask_carrier(country: str) -> float:
    await trio.sleep(0.2)
    raise NonRetriableError(f"no carrier goes to {country}")


@app.workflow
def make_invoice(ctx: Context) -> Steps[str]:
    """Write an invoice, and file it."""
    number = yield Run("typeset", work, 0.5, "2026-0042")
    return str(number)


@app.workflow(
    on=OnEvent(OrderPlaced),
    concurrency=Concurrency(5, key="event.data.customer"),
    cancel_on=CancelOn("order/cancelled", match="data.order_id"),
)
def fulfil_order(ctx: Context[OrderPlaced]) -> Steps[Any]:
    """Carry an order out: charge, wait for approval, pack and ship."""
    order: Any = yield Run("load order", load_order, ctx.event.data.order_id)
    paid: Any = yield Run("charge", charge, order)
    yield Sleep("let it settle", "1s")
    if ctx.event.data.total > 500:
        yield WaitFor("approval", "order/approved", match="data.order_id", timeout="7d")

    def shipping() -> Any:
        label = yield Run("label", work, 0.4, "DE-1042")
        yield Sleep("dry", "500ms")
        return label

    invoice = Invoke("invoice", make_invoice, {"order": order["id"]})
    yield All({"shipping": shipping(), "pack": Run("pack", work, 0.9, 1250), "invoice": invoice})
    yield SendEvent("tell", Event("order/shipped", {"order_id": order["id"]}))
    yield Run("mail", work, 0.1)
    return {"shipped": True, "receipt": paid["receipt"]}


@app.workflow(on=OnEvent("order/shipped"))
def follow_up(ctx: Context) -> Steps[str]:
    """Ask how it was, two weeks later."""
    yield Run("load order", load_order, ctx.event.data["order_id"])
    won: Any = yield Race(
        review=WaitFor("review", "review/written", match="data.order_id", timeout="20d"), late=Sleep("two weeks", "14d")
    )
    return str(won.name)


@app.workflow(on=OnEvent("quote/asked"))
def quote_shipping(ctx: Context) -> Steps[None]:
    """Ask carriers what a parcel costs."""
    yield Run("weigh", work, 0.2)
    yield Run("ask carrier", ask_carrier, ctx.event.data["country"])


@app.workflow(on=OnCron("TZ=Europe/Berlin 0 9 * * mon", jitter="5m"), singleton=Singleton(mode="skip"))
def weekly_report(ctx: Context) -> Steps[Any]:
    """Sum up what was sold."""
    return (yield Run("sum up", work, 0.9))


async def happen(engine: Engine) -> str:
    """A day in the shop; gives the run of the order that is shown."""
    shown = ""
    people = [("ada", 129.5), ("grace", 420), ("linus", 88), ("barbara", 64), ("edsger", 999), ("alan", 23)]
    for number, (customer, total) in enumerate(people):
        (event,) = await engine.send(OrderPlaced(f"o-{1041 + number}", customer, total, ["lamp", "desk"]))
        if number == 1:
            (shown,) = await engine.started(event)
    await engine.send(Event("quote/asked", {"country": "Antarctica"}))
    await engine.result(shown, timeout="60s")
    return shown


def take(page: Any, site: Site, shown: str, suffix: str) -> None:
    def picture(name: str, path: str) -> None:
        page.goto(site.url + path)
        page.wait_for_timeout(700)
        page.screenshot(path=IMAGES / f"ui-{name}{suffix}.png")

    picture("runs", "/")
    picture("run", f"/runs/{shown}")
    if suffix:
        return
    page.locator("summary.wf-row", has_text="charge").first.click()
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / "ui-step.png")
    page.get_by_role("button", name="Rerun…", exact=True).click()
    page.locator("#rerun select").select_option("let it settle")
    page.locator("#rerun [data-result=charge] summary").click()
    page.screenshot(path=IMAGES / "ui-rerun.png")
    waiting = site.ask(lambda: site.engine.runs(workflow="follow-up", status="waiting")).items[0].id
    picture("waiting", f"/runs/{waiting}")
    failed = site.ask(lambda: site.engine.runs(status="failed")).items[0].id
    picture("failed", f"/runs/{failed}")
    picture("workflow", "/workflows/shop/weekly-report")
    page.goto(site.url)
    page.keyboard.press("s")
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / "ui-send.png")


def main() -> None:
    """Serve, let things happen, take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with site_of(app) as site, sync_playwright() as playwright:
        shown = site.ask(happen, site.engine)
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        for scheme, suffix in (("light", ""), ("dark", "-dark")):
            context = browser.new_context(viewport=SIZE, color_scheme=scheme)
            take(context.new_page(), site, shown, suffix)
        browser.close()


if __name__ == "__main__":
    main()
