"""Pages that show what strangers wrote: nothing of it is executed; and other sites can neither read nor act."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from flowgen import All, App, Event, OnEvent, Run, RunFailed, StepError, WaitFor
from flowgen.runtime.http import Settings
from tests.browser.payloads import PAYLOADS
from tests.browser.serving import Site, site_of

FOREIGN = (
    "script:not([src])",
    "img",
    "iframe",
    "object",
    "embed",
    "base",
    "video",
    "audio",
    "style",
    "marquee",
    "math",
)
"""What our own pages never contain, so that it must have come from a payload."""

CHUNK = 20
WATCH = """
  window.breaches = []
  addEventListener('securitypolicyviolation', (event) => window.breaches.push(event.violatedDirective + event.sample))
  addEventListener('error', (event) => window.breaches.push(String(event.message)))
"""

ALIENS = "(foreign) => [...document.querySelectorAll(foreign)].map((element) => element.outerHTML)"
LINKS = """[...document.querySelectorAll('[href], [action]')]
  .flatMap((element) => [element.getAttribute('href') ?? '', element.getAttribute('action') ?? ''])
  .filter((link) => /^\\s*(javascript|data|\\/\\/)/i.test(link))"""
HANDLERS = """[...document.querySelectorAll('*')]
  .flatMap((element) => [...element.attributes].map((attribute) => attribute.name))
  .filter((name) => /^on|^style$/.test(name))"""


def as_name(payload: str) -> str:
    """A payload as near as the name of a step or a workflow can come to it."""
    return payload.replace("/", "∕")


def hostile_app() -> App:
    """Workflows that are called, do, return and raise what strangers write."""
    app = App("<script>alert('app')<\u2215script>", retries=0)

    def echo(value: Any) -> Any:
        return value

    def explode(text: str) -> None:
        raise ValueError(text)

    @app.workflow(on=OnEvent("hostile/good"), id="<img src=x onerror=alert(1)>")
    def good(ctx: Any) -> Any:
        texts = ctx.event.data["texts"]
        for text in texts:
            yield Run(as_name(text), echo, {text: text})
        return {text: [text] for text in texts}

    @app.workflow(on=OnEvent("hostile/bad"))
    def bad(ctx: Any) -> Any:
        """</p><script>alert('doc')</script>"""
        texts = ctx.event.data["texts"]
        for text in texts:
            with suppress(StepError):
                yield Run(as_name(text), explode, text)
        raise ValueError("\n".join(texts))

    @app.workflow(on=OnEvent("hostile/waits"))
    def waits(ctx: Any) -> Any:
        yield All(*(WaitFor(as_name(text), text, timeout="1h") for text in ctx.event.data["texts"]))

    return app


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(hostile_app()) as made:
        yield made


def test_there_are_a_hundred_payloads() -> None:
    """All of them different."""
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 100


def check(page: Any, url: str) -> str:
    """Look at a page, open what can be opened, and see that it holds nothing but our own; gives its text."""
    page.goto(url)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate("for (const each of document.querySelectorAll('dialog')) each.show()")
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    assert page.evaluate("window.breaches") == []
    assert page.broken == []
    assert page.evaluate(ALIENS, ",".join(FOREIGN)) == []
    assert page.evaluate(HANDLERS) == []
    assert page.evaluate(LINKS) == []
    return str(page.evaluate("document.body.textContent"))


@pytest.mark.parametrize("kind", ["good", "bad", "waits"])
def test_no_payload_is_executed_on_any_page(page: Any, site: Site, kind: str) -> None:
    """As the name, the id and the data of an event, the name, the arguments and the result of a step, the message of
    an error, and in what a run waits for: on lists, on the pages of runs and events, and in forms that edit them."""
    page.add_init_script(WATCH)
    for begin in range(0, len(PAYLOADS), CHUNK):
        texts = PAYLOADS[begin : begin + CHUNK]
        named = [Event(text, {text: text}, id=text) for text in texts]
        ids = site.ask(site.engine.send, [Event(f"hostile/{kind}", {"texts": texts}), *named])
        (run,) = site.ask(site.engine.started, ids[0])
        if kind != "waits":
            with pytest.raises(RunFailed) if kind == "bad" else nullcontext():
                site.ask(partial(site.engine.result, run, timeout="60s"))
        shown = check(page, f"{site.url}/runs/{run}")
        assert sum(text in shown for text in texts) >= len(texts) / 2, "payloads are shown as the text that they are"
        check(page, f"{site.url}/events/{ids[1 + begin % CHUNK]}")
        check(page, f"{site.url}/events")
        check(page, site.url)
    check(page, f"{site.url}/workflows")


def test_no_payload_in_an_address_is_executed(page: Any, site: Site) -> None:
    """In filters, in searches, in ids that do not exist: what is refused is shown as text, too."""
    page.add_init_script(WATCH)
    for payload in PAYLOADS[::10]:
        said = quote(payload, safe="")
        for path in (f"/?q={said}&workflow={said}&where={said}", f"/?status={said}", f"/events?name={said}"):
            check(page, site.url + path)
        check(page, f"{site.url}/runs/{quote(payload.replace('/', ''), safe='')}")


def test_a_payload_that_comes_live_is_not_executed(page: Any, site: Site) -> None:
    """It reaches the list while it is open."""
    page.add_init_script(WATCH)
    page.goto(site.url)
    page.locator(".live:not(.off)").wait_for()
    for number, payload in enumerate(PAYLOADS[:30]):
        site.ask(site.engine.send, Event("hostile/good", {"texts": [payload], "n": f"live-{number}"}))
    page.locator("#runs", has_text="live-29").wait_for()
    assert page.evaluate("window.breaches") == []
    assert page.evaluate("(foreign) => document.querySelectorAll(foreign).length", ",".join(FOREIGN)) == 0


# -- other sites -----------------------------------------------------------------------------------

ATTACK = b"""<!doctype html><meta charset="utf-8"><title>evil</title><body><script>
window.got = []
window.attack = async (target, run) => {
  const tried = [
    fetch(`${target}/v1/runs`, { credentials: 'include' }),
    fetch(`${target}/v1/runs`, { mode: 'no-cors', credentials: 'include' }),
    fetch(`${target}/`, { credentials: 'include' }),
    fetch(`${target}/v1/runs/${run}/cancel`, { method: 'POST', mode: 'no-cors', credentials: 'include' }),
    fetch(`${target}/v1/runs/${run}/cancel`, { method: 'POST', body: '{}', credentials: 'include',
      headers: { 'content-type': 'application/json' } }),
    fetch(`${target}/v1/runs/${run}`, { method: 'DELETE', credentials: 'include' }),
    fetch(`${target}/ui/send`, { method: 'POST', mode: 'no-cors', body: '{"name": "evil", "data": {}}' }),
    fetch(`${target}/e/dev`, { method: 'POST', mode: 'no-cors', body: '{"name": "evil", "data": {}}' }),
    fetch(`${target}/e/dev`, { method: 'POST', body: '{"name": "evil", "data": {}}',
      headers: { 'content-type': 'application/json' } }),
    fetch(`${target}/logout`, { method: 'POST', mode: 'no-cors', credentials: 'include' }),
  ]
  for (const each of await Promise.allSettled(tried)) {
    if (each.status === 'fulfilled' && each.value.type !== 'opaque') window.got.push(await each.value.text())
  }
  const stream = new EventSource(`${target}/v1/stream`, { withCredentials: true })
  await new Promise((resolve) => {
    stream.onerror = resolve
    stream.onopen = () => resolve(window.got.push('stream'))
  })
  stream.close()
  for (const [kind, path] of [['img', '/static/icon.svg'], ['script', '/v1/runs'], ['script', '/static/flowgen.js']]) {
    const element = document.createElement(kind)
    element.src = target + path
    const loaded = new Promise((resolve) => {
      element.onload = () => resolve(true)
      element.onerror = () => resolve(false)
    })
    document.body.append(element)
    if (await loaded) window.got.push(`${kind} ${path}`)
  }
  const frame = document.createElement('iframe')
  frame.src = target
  frame.name = 'stolen'
  const shown = new Promise((resolve) => { frame.onload = resolve })
  document.body.append(frame)
  await shown
  try { window.got.push(frame.contentWindow.document.body.textContent) } catch {}
  for (const path of ['/e/dev', `/v1/runs/${run}/cancel`, '/login']) {
    const form = document.createElement('form')
    form.method = 'post'; form.enctype = 'text/plain'; form.action = target + path; form.target = 'sink'
    form.innerHTML = '<input name=\\'{"name":"evil","data":{},"x":"\\' value=\\'"}\\'>'
    const sink = document.createElement('iframe')
    sink.name = 'sink'
    document.body.append(sink, form)
    const sent = new Promise((resolve) => { sink.onload = resolve })
    form.submit()
    await sent
    sink.remove()
  }
  return window.got
}
</script></body>"""


class _Evil(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(ATTACK)

    def log_message(self, *arguments: Any) -> None:
        """Nobody reads it."""


@contextmanager
def evil() -> Iterator[int]:
    """The server of a stranger; gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Evil)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def cookie(site: Site, token: str) -> dict[str, Any]:
    """What the login sets."""
    return {"name": "flowgen_token", "value": token, "url": site.url, "sameSite": "Strict", "httpOnly": True}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("token", [None, "a-token-of-tests"])
def test_another_origin_can_neither_read_nor_act(chromium: Any, host: str, token: str | None) -> None:
    """Another port of the same host is another origin, though of the same site: cookies do reach us from there. No
    answer is readable, no event is accepted, no run is cancelled, nobody is logged out; no frame shows a page."""
    settings = Settings(auth_tokens=(token,) if token else ())
    with site_of(hostile_app(), settings) as site, evil() as port:
        (event,) = site.ask(site.engine.send, Event("hostile/waits", {"texts": ["x"]}))
        (run,) = site.ask(site.engine.started, event)
        context = chromium.new_context()
        page = context.new_page()
        if token:
            context.add_cookies([cookie(site, token)])
            page.goto(site.url)
            page.get_by_role("link", name=run[-10:]).wait_for()
        page.goto(f"http://{host}:{port}/")
        assert page.evaluate("([target, run]) => window.attack(target, run)", [site.url, run]) == []
        assert not any("flowgen" in frame.title() for frame in page.frames if frame.name == "stolen")
        assert site.ask(site.engine.run, run).status == "waiting"
        assert len(site.ask(site.engine.events).items) == 1
        assert len(context.cookies()) == (1 if token else 0)
        context.close()


LISTEN = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url)
  socket.onopen = () => { socket.onopen = null; document.title = 'listening' }
  socket.onmessage = (event) => resolve(JSON.parse(event.data).data)
  socket.onerror = () => resolve('refused')
})"""


def test_another_port_may_listen_with_a_token(chromium: Any) -> None:
    """As pages of apps beside the server do (`useRealtime`); without one it hears nothing."""
    with site_of([], Settings(dev=True)) as site, evil() as port, httpx.Client(base_url=site.url) as client:
        asked = client.post("/v1/realtime/token", json=[{"channel": "c", "name": "t", "kind": "run"}])
        listen = site.url.replace("http", "ws") + "/v1/realtime/connect?token="
        page = chromium.new_page()
        page.goto(f"http://localhost:{port}/")
        assert page.evaluate(LISTEN, listen) == "refused"
        page.evaluate(f"([url]) => {{ window.heard = ({LISTEN})(url) }}", [listen + asked.json()["jwt"]])
        page.wait_for_function("document.title == 'listening'")
        client.post("/v1/realtime/publish", params={"channel": "c", "topic": "t"}, json={"percent": 50})
        assert page.evaluate("window.heard") == {"percent": 50}
        page.close()


def test_a_link_from_elsewhere_leads_to_the_page(chromium: Any) -> None:
    """Following a link is no attack: with a token, the page asks again for itself, and is there."""
    token = "a-token-of-tests"
    with site_of(hostile_app(), Settings(auth_tokens=(token,))) as site, evil() as port:
        context = chromium.new_context()
        context.add_cookies([cookie(site, token)])
        page = context.new_page()
        page.goto(f"http://localhost:{port}/")
        follow = "(url) => { const a = document.createElement('a'); a.href = url; document.body.append(a); a.click() }"
        page.evaluate(follow, f"{site.url}/workflows")
        page.get_by_role("link", name="waits").wait_for()
        context.close()
