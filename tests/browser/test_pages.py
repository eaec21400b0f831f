"""What a person does with the pages: watch, send, start, cancel, rerun, search; with the mouse and with keys."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from flowgen import App, Event, NonRetriableError, OnCron, OnEvent, Run, Sleep, WaitFor, event_type
from flowgen.runtime.http import Settings
from tests.browser.serving import PATIENCE, Site, site_of


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: float


class Shop:
    """An app, and how often its steps were executed."""

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.app = App("shop", retries=0)

        def load(order_id: str) -> dict[str, Any]:
            self.executed.append("load")
            return {"id": order_id, "price": 20}

        def charge(order: dict[str, Any]) -> int:
            self.executed.append("charge")
            return int(order["price"]) * 2

        def explode(what: str) -> None:
            self.executed.append("explode")
            raise NonRetriableError(f"{what} exploded")

        @self.app.workflow(on=OnEvent(OrderPlaced))
        def fulfil(ctx: Any) -> Any:
            """Carry an order out."""
            order = yield Run("load", load, ctx.event.data.order_id)
            paid = yield Run("charge", charge, order)
            if ctx.event.data.total > 100:
                yield WaitFor("approval", "order/approved", timeout="7d")
            return {"paid": paid}

        @self.app.workflow(on=OnEvent("thing/broken"))
        def break_down(ctx: Any) -> Any:
            yield Run("explode", explode, ctx.event.data["what"])

        @self.app.workflow(on=OnCron("0 0 1 1 *"))
        def yearly(ctx: Any) -> Any:
            yield Sleep("nap", "1h")


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def site(shop: Shop) -> Iterator[Site]:
    with site_of(shop.app) as made:
        yield made


def place(site: Site, order: str, total: float = 1.0) -> str:
    """Send an order; gives its run."""
    (event,) = site.ask(site.engine.send, OrderPlaced(order, total))
    (run,) = site.ask(site.engine.started, event)
    return run


def rows(page: Any) -> Any:
    return page.locator("#runs tbody tr")


def told(page: Any, selector: str, text: str) -> None:
    """Wait until an element says so."""
    page.locator(selector, has_text=re.compile(text)).first.wait_for()


def test_runs_are_seen_to_move(page: Any, site: Site) -> None:
    """A run comes up in the list by itself, waiting, and is completed there once its event has come."""
    page.goto(site.url)
    page.get_by_text("Nothing has run yet").wait_for()
    page.locator(".live:not(.off)").wait_for()
    run = place(site, "o-1", 500)
    told(page, "#runs tbody tr .status", "waiting")
    site.ask(site.engine.send, Event("order/approved", {}))
    told(page, "#runs tbody tr .status", "completed")
    assert rows(page).count() == 1
    page.get_by_role("link", name=run[-10:]).click()
    page.wait_for_url(f"**/runs/{run}")


def test_a_run_is_seen_to_move_on_its_own_page(page: Any, site: Site) -> None:
    """Its steps, its output, and what people have opened stays open."""
    run = place(site, "o-1", 500)
    page.goto(f"{site.url}/runs/{run}")
    told(page, ".why", "Waiting at step 'approval'")
    page.locator("summary.wf-row", has_text="charge").click()
    page.get_by_role("region", name="Result of charge").get_by_text("40").wait_for()
    page.locator(".live:not(.off)").wait_for()
    site.ask(site.engine.send, Event("order/approved", {}))
    told(page, ".title .status", "completed")
    page.get_by_role("region", name="Output").get_by_text('"paid"').wait_for()
    assert page.get_by_role("region", name="Result of charge").is_visible()
    assert "completed" in page.title()
    page.locator("summary.wf-row", has_text="approval").click()
    page.locator("details", has_text="approval").get_by_role("button", name="Rerun from here").click()
    dialog = page.get_by_role("dialog", name="Run it again")
    assert dialog.get_by_label("From").input_value() == "approval"
    assert dialog.locator("[data-result]:visible").all_inner_texts() == ["load", "charge"]


def test_what_happens_before_the_page_listens_is_seen(page: Any, site: Site) -> None:
    """Between the reading of a page and the beginning of its stream: nobody would tell of it afterwards."""

    def listen(route: Any) -> None:
        run = place(site, "o-1")
        site.ask(site.engine.result, run)
        route.continue_()

    page.route("**/v1/stream", listen, times=1)
    page.goto(site.url)
    told(page, "#runs tbody tr .status", "completed")


def grown(found: Any, number: int, patience: float) -> bool:
    """Whether so many are found before `patience` seconds of this machine have gone by; the page's clock may stand."""
    end = time.monotonic() + patience
    while found.count() != number and time.monotonic() < end:
        time.sleep(0.02)
    return bool(found.count() == number)


def test_the_end_of_a_short_run_is_seen_at_once(page: Any, site: Site) -> None:
    """Its beginning was read just before, and that took long; but a page that has rested may read on.

    So may one whose clock was set forward while it read, as that of a machine which slept.
    """
    busy: list[Any] = []

    def read(route: Any) -> None:
        if not busy:  # two who move the clock at once would wait for each other
            busy.append(route)
            page.clock.run_for(40)
            busy.clear()
        route.continue_()

    page.clock.install()
    page.goto(site.url)
    page.clock.pause_at(page.evaluate("Date.now()") + 60_000)
    page.locator(".live:not(.off)").wait_for()
    page.clock.run_for(30_000)
    page.route(site.url + "/", read)
    failed = page.locator("#runs [data-status=failed]")
    for number in range(1, 4):
        site.ask(site.engine.send, Event("thing/broken", {"what": "lamp"}))
        for patience in (0.5, 1, 2, 4, 15):  # without what was saved, the next reading is 400 ms of the page away
            if grown(failed, number, patience):
                break
            page.clock.run_for(20)
        assert failed.count() == number


def test_an_event_is_sent_from_the_page(page: Any, site: Site) -> None:
    """The form begins with the fields of the event's class; what is no JSON is refused in place; then the event's page
    shows the run that it started."""
    page.goto(site.url)
    page.keyboard.press("s")
    dialog = page.get_by_role("dialog", name="Send an event")
    data = dialog.get_by_role("textbox", name="Data", exact=True)
    assert dialog.get_by_role("combobox", name="Name").input_value() == "order/placed"
    assert '"order_id": ""' in data.input_value()
    assert "total: float" in dialog.inner_text()
    data.fill('{"order_id": ')
    dialog.get_by_role("button", name="Send").click()
    told(page, "#send .form-error", "is not JSON")
    data.fill('{"order_id": "o-7", "total": 3}')
    dialog.get_by_role("button", name="Send").click()
    page.wait_for_url("**/events/*")
    told(page, "#event .status", "completed")
    page.get_by_role("region", name="Data").get_by_text('"o-7"').wait_for()


def test_what_the_server_refuses_is_said_in_place(page: Any, site: Site) -> None:
    """With the server's words."""
    page.goto(site.url)
    page.get_by_role("button", name="Send event").first.click()
    dialog = page.get_by_role("dialog", name="Send an event")
    dialog.get_by_role("combobox", name="Name").fill("flowgen/mine")
    dialog.get_by_role("textbox", name="Data", exact=True).fill("{}")
    dialog.get_by_role("button", name="Send").click()
    told(page, "#send .form-error", "reserved for flowgen's own events")


def test_an_event_is_sent_again(page: Any, site: Site) -> None:
    """With its data, to be edited; as a new event, which starts a new run."""
    (event,) = site.ask(site.engine.send, OrderPlaced("o-1", 1))
    page.goto(f"{site.url}/events/{event}")
    page.get_by_role("button", name="Send again").click()
    dialog = page.get_by_role("dialog", name="Send it again")
    assert '"o-1"' in dialog.get_by_role("textbox", name="Data", exact=True).input_value()
    dialog.get_by_role("button", name="Send").click()
    page.wait_for_url(lambda url: "/events/" in url and not url.endswith(event))
    assert len(site.ask(site.engine.runs).items) == 2


def test_a_run_is_cancelled(page: Any, site: Site) -> None:
    """After a second click, because there is no way back."""
    run = place(site, "o-1", 500)
    page.goto(f"{site.url}/runs/{run}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert site.ask(site.engine.run, run).status == "waiting"
    page.get_by_role("button", name="Cancel this run?").click()
    told(page, ".title .status", "cancelled")
    assert page.get_by_role("button", name="Cancel").count() == 0
    assert site.ask(site.engine.run, run).status == "cancelled"


def test_a_failed_run_shows_its_error_and_is_retried(page: Any, site: Site, shop: Shop) -> None:
    """The trace is there; and the step is executed once more."""
    (event,) = site.ask(site.engine.send, Event("thing/broken", {"what": "lamp"}))
    (run,) = site.ask(site.engine.started, event)
    page.goto(f"{site.url}/runs/{run}")
    told(page, ".failure", "lamp exploded")
    assert "in explode" in page.locator(".trace").all_text_contents()[-1]
    page.get_by_role("button", name="Retry").click()
    page.wait_for_function("() => document.querySelector('#history')?.textContent.includes('retried')")
    assert shop.executed == ["explode", "explode"]


def test_a_run_is_rerun_from_a_step_with_an_edited_result(page: Any, site: Site, shop: Shop) -> None:
    """Only what came before the step can be edited, only what comes from there on is executed."""
    run = place(site, "o-1")
    page.goto(f"{site.url}/runs/{run}")
    told(page, ".title .status", "completed")
    page.locator("summary.wf-row", has_text="charge").first.click()
    page.get_by_role("button", name="Rerun from here").click()
    dialog = page.get_by_role("dialog", name="Run it again")
    assert dialog.get_by_label("From").input_value() == "charge"
    assert dialog.locator("[data-result]:visible").all_inner_texts() == ["load"]
    dialog.locator("[data-result=load] summary").click()
    dialog.get_by_label("Result of load").fill('{"id": "o-1", "price": 50}')
    shop.executed.clear()
    dialog.get_by_role("button", name="Rerun").click()
    page.wait_for_url(lambda url: "/runs/" in url and not url.endswith(run))
    page.get_by_role("region", name="Output").get_by_text("100").wait_for()
    assert shop.executed == ["charge"]


def test_a_run_is_rerun_with_an_edited_event(page: Any, site: Site) -> None:
    """From the beginning, with other data."""
    run = place(site, "o-1")
    page.goto(f"{site.url}/runs/{run}")
    told(page, ".title .status", "completed")
    page.get_by_role("button", name="Rerun…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Run it again")
    dialog.get_by_text("Edit the event").click()
    dialog.get_by_label("Data of the event").fill('{"order_id": "o-2", "total": 900}')
    dialog.get_by_role("button", name="Rerun").click()
    page.wait_for_url(lambda url: "/runs/" in url and not url.endswith(run))
    told(page, ".title .status", "waiting")
    page.locator("section", has_text="Input").get_by_text('"o-2"').first.wait_for()


def test_a_workflow_is_paused_resumed_and_started(page: Any, site: Site) -> None:
    """Its page says what it is, when it ticks next, and what it does then."""
    page.goto(f"{site.url}/workflows")
    page.get_by_role("link", name="yearly").click()
    page.get_by_text("Next ticks").wait_for()
    page.get_by_role("button", name="Pause").click()
    told(page, ".title .tag", "paused")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.goto(f"{site.url}/workflows/shop/fulfil")
    page.get_by_role("button", name="Start a run").click()
    dialog = page.get_by_role("dialog", name="Start a run of fulfil")
    dialog.get_by_role("textbox", name="Data", exact=True).fill('{"order_id": "direct", "total": 1}')
    dialog.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*")
    told(page, ".title .status", "completed")
    told(page, ".facts", "started directly")


def test_runs_are_searched_and_filtered(page: Any, site: Site) -> None:
    """By state, workflow, words and a condition; the address says which, so it can be passed on."""
    one, two = place(site, "o-apple"), place(site, "o-pear", 500)
    site.ask(site.engine.send, Event("thing/broken", {"what": "lamp"}))
    page.goto(site.url)
    page.get_by_label("Status").select_option("waiting")
    page.wait_for_url("**/?status=waiting")
    assert [row.get_attribute("data-key") for row in rows(page).all()] == [f"shop/{two}"]
    page.goto(site.url)
    page.get_by_label("Search runs").fill("APPLE")
    page.get_by_label("Search runs").press("Enter")
    page.wait_for_url("**/?q=APPLE")
    assert [row.get_attribute("data-key") for row in rows(page).all()] == [f"shop/{one}"]
    page.goto(f"{site.url}/?where=event.data.total%20%3E%20100")
    assert [row.get_attribute("data-key") for row in rows(page).all()] == [f"shop/{two}"]
    page.goto(f"{site.url}/?where=event.data.total%20%3E%3E")
    told(page, ".form-error", "where")


def test_the_older_runs_are_a_page_further(page: Any, site: Site) -> None:
    """Sixty runs are two pages, none twice."""
    site.ask(site.engine.send, [OrderPlaced(f"o-{n}", 1) for n in range(60)])
    page.goto(site.url)
    first = {row.get_attribute("data-key") for row in rows(page).all()}
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**/?cursor=*")
    second = {row.get_attribute("data-key") for row in rows(page).all()}
    assert (len(first), len(second), len(first | second)) == (50, 10, 60)


def test_everything_can_be_reached_by_keys(page: Any, site: Site) -> None:
    """j and k choose, Enter opens, u goes up, g leads to pages, / searches, ? helps, Esc closes."""
    older, newer = place(site, "o-1"), place(site, "o-2")
    page.goto(site.url)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{older}")
    page.keyboard.press("u")
    page.wait_for_url(f"{site.url}/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{newer}")
    for key, path in [("e", "events"), ("w", "workflows"), ("r", "")]:
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"{site.url}/{path}")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("gegj")
    assert page.get_by_label("Search runs").input_value() == "gegj"


def test_pages_can_be_read_without_scripts(chromium: Any, site: Site) -> None:
    """Lists, runs and filters; what needs a script is not offered."""
    run = place(site, "o-1")
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(site.url)
    page.get_by_role("link", name=run[-10:]).click()
    page.get_by_role("heading", name="fulfil").wait_for()
    page.locator("summary.wf-row", has_text="charge").click()
    page.get_by_role("region", name="Result of charge").wait_for()
    assert page.get_by_role("button", name="Rerun").count() == 0
    context.close()


TOKEN = "a-token-of-tests"


def test_who_has_a_token_logs_in_and_out(page: Any, shop: Shop) -> None:
    """The form stands where the page would be; the cookie is out of reach of scripts; afterwards the form is back."""
    with site_of(shop.app, Settings(auth_tokens=(TOKEN,))) as site:
        page.goto(f"{site.url}/workflows")
        page.get_by_label("Token").fill("wrong-token")
        page.get_by_role("button", name="Log in").click()
        told(page, ".form-error", "not one of this server's")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="fulfil").wait_for()
        assert page.url == f"{site.url}/workflows"
        assert page.evaluate("document.cookie") == ""
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.goto(site.url)
        page.locator(".live:not(.off)").wait_for()
        place(site, "o-1")
        told(page, "#runs tbody tr .status", "completed")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(site.url)
        page.get_by_label("Token").wait_for()
        assert page.context.cookies() == []
