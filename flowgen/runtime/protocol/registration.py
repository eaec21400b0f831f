"""What an app says of itself when it is registered: who it is, where it is, and its functions.

Two documents say the same: what an SDK sends to a server (out of band), and what it answers to the server that asks it
(in band). Both become a `RemoteApp`, or are refused whole, with the place of the culprit (`functions[2].triggers[0]`).

A function is named `app-id` on the wire; here it is the workflow `id` of `app`. Its handler of failures is a function
of its own there, named `app-id-failure`, with a trigger on the failures of that one function; here it is the
`on_failure` of the other. Triggers on other events of the engine are translated, with their expressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import msgspec

from ...commands import check_name
from ...cron import Cron
from ...duration import MINUTE, SECOND, format_duration, parse_duration
from ...errors import DefinitionError
from ...events import RUN_ENDS
from ...retry import DEFAULT_RETRIES, MAX_RETRIES
from ...triggers import OnCron, OnEvent
from ...workflow import DEFAULT_MAX_STEPS, Changes, Definition, ScheduleDefinition, TriggerDefinition
from . import events
from .calls import call_url
from .flow_options import policies_of
from .headers import is_flowgen
from .own import OwnOptions, read_own
from .reading import BadRegistration, Members, read_json, shown

MAX_FUNCTIONS: Final = 1_000
MAX_TRIGGERS: Final = 10
MAX_JITTER: Final = 5 * MINUTE
MAX_URL: Final = 2_000

_PATTERNS: Final[Mapping[str, str]] = {
    events.FAILED: RUN_ENDS["failed"],
    events.CANCELLED: RUN_ENDS["cancelled"],
    events.FINISHED: "flowgen/run.*",
}
_UNSEEN: Final = frozenset({"inngest/deferred.schedule", events.INVOKED_THERE})
"""Events that start their function directly, never as a trigger."""

_VOLATILE: Final = frozenset(
    {"featureobservations", "idempotencykey", "deployid", "deploytype", "headers", "inspection"}
)
"""Members that say nothing of the app."""

_DEPLOY: Final = re.compile(rb'deployId=[^&"#\\]*&?')
"""In the URLs of functions: it is another one each time."""

_HANDLES: Final = re.compile(r"event\.data\.function_id == '([^']*)'")


@attrs.frozen
class RemoteFunction:
    """A function of an app: the workflow `id`, `slug` on the wire, called at `url`.

    `retries` counts the tries after the first one. `own` is what a function of a flowgen app says beyond the protocol.
    An `endpoint` is called where each of its runs says.
    """

    id: str
    slug: str
    name: str
    url: str
    retries: int
    definition: Definition
    max_steps: int = DEFAULT_MAX_STEPS
    changes: Changes = "strict"
    endpoint: bool = False


@attrs.frozen
class RemoteApp:
    """An app that lives elsewhere, at `url`.

    `fingerprint` is the same for as long as the app says the same of itself.
    """

    name: str
    version: str
    sdk: str
    url: str
    framework: str
    functions: tuple[RemoteFunction, ...]
    fingerprint: str

    @property
    def is_flowgen(self) -> bool:
        """Whether it is one of ours, which reads and writes the extra members."""
        return is_flowgen(self.sdk)


def parse_registration(body: bytes) -> RemoteApp:
    """The app that a registration says, out of band or in band. Raises `BadRegistration` with the place."""
    document = read_json(body, "the registration", BadRegistration)
    said = Members(document, "", BadRegistration)
    if (said.text("deployType") or "ping").lower() == "connect":
        said.refuse("deployType", "apps that connect by WebSocket are not offered; serve the app over HTTP")
    member = "appName" if said.text("appName") or not said.has("app_id") else "app_id"
    name = said.needed_text(member)
    _check_name(said, member, name)
    url = said.needed_text("url", longest=MAX_URL)
    _check_url(said, "url", url)
    functions = list(said.each("functions"))
    if not 1 <= len(functions) <= MAX_FUNCTIONS:
        said.refuse("functions", f"has {len(functions):,}; an app has 1 to {MAX_FUNCTIONS:,}")
    sdk = _sdk(said)
    return RemoteApp(
        name=name,
        version=said.text("appVersion") or said.text("app_version") or "",
        sdk=sdk,
        url=url,
        framework=said.text("framework") or "",
        functions=_functions(functions, name, url, own=is_flowgen(sdk)),
        fingerprint=fingerprint(document),
    )


def fingerprint(document: Mapping[str, Any]) -> str:
    """What is the same for two registrations that say the same of an app."""
    lasting = {key.lower(): value for key, value in document.items() if key.lower() not in _VOLATILE}
    return sha256(_DEPLOY.sub(b"", _SORTED(lasting))).hexdigest()


def _sdk(said: Members) -> str:
    """What the app is made with, as the header says it."""
    if sdk := said.text("sdk", longest=200):
        return sdk
    author, language, version = (
        said.text(f"sdk_{part}", longest=100) or "" for part in ("author", "language", "version")
    )
    return f"{author}:v{version}" if is_flowgen(author) else f"{author}-{language}:v{version}"


def _functions(said: list[Members], app: str, url: str, *, own: bool) -> tuple[RemoteFunction, ...]:
    ids = [_id(function, app) for function in said]
    seen: set[str] = set()
    for function, id in zip(said, ids, strict=True):
        if id in seen:
            function.refuse("id", f"{shown(id)} is there twice; give one of the functions another id")
        seen.add(id)
    handlers = _handlers(said, ids, app)
    return tuple(_function(function, id, app, url, handlers, own=own) for function, id in zip(said, ids, strict=True))


def _function(said: Members, id: str, app: str, url: str, handlers: Mapping[str, str], *, own: bool) -> RemoteFunction:
    slug = said.needed_text("id")
    step = _step(said)
    place = _place_of_url(step)
    target = (place.text("url", longest=MAX_URL) if place is not None else None) or url
    if place is not None:
        if (place.text("type") or "http") != "http":
            place.refuse("type", f"{shown(place.text('type'))} is not offered; functions are called over HTTP")
        _check_url(place, "url", target)
        if _origin(target) != _origin(url):
            place.refuse("url", f"{shown(target)} is at another place than its app, {shown(url)}")
    extra = read_own(said, app, id) if own else None
    options = extra or OwnOptions(_definition(said, id, app, handlers))
    return RemoteFunction(
        id=id,
        slug=slug,
        name=said.text("name") or id,
        url=call_url(target, slug),
        retries=_retries(said, step),
        definition=options.definition,
        max_steps=options.max_steps,
        changes=options.changes,
    )


def _definition(said: Members, id: str, app: str, handlers: Mapping[str, str]) -> Definition:
    triggers, schedules = _triggers(said, id in handlers.values())
    handler = handlers.get(id)
    policies = policies_of(said, f"{app}/{id}", None if handler is None else f"{app}/{handler}")
    return Definition(id, triggers, policies, schedules)


# -- names and places ------------------------------------------------------------------------------


def _id(function: Members, app: str) -> str:
    """The workflow's id: what is after the app's name."""
    slug = function.needed_text("id")
    id = slug.removeprefix(f"{app}-") or slug
    _check_name(function, "id", id)
    return id


def _check_name(said: Members, member: str, name: str) -> None:
    try:
        check_name(name, member)
    except DefinitionError as error:
        said.refuse(member, str(error).removeprefix(f"{member}: "))


def _check_url(said: Members, member: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        said.refuse(member, f"{shown(url)} is not the URL of an app, such as http://127.0.0.1:3000/api/inngest")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _step(function: Members) -> Members | None:
    """The only step of a function's registration: where the function is called."""
    steps = function.mapping("steps")
    if len(steps) > 1:
        function.refuse("steps", f"has {len(steps)}; a function has one")
    members = function.members("steps")
    return None if members is None or not steps else members.members(next(iter(steps)))


def _place_of_url(step: Members | None) -> Members | None:
    return None if step is None else step.members("runtime")


def _retries(function: Members, step: Members | None) -> int:
    """How often a function is tried again. What is called attempts there does not count the first one."""
    for owner in (step, function):
        if owner is None or owner.any("retries") is None:
            continue
        retries = owner.members("retries")
        assert retries is not None
        attempts = retries.number("attempts")
        if attempts is not None:
            if attempts < 0:
                retries.refuse("attempts", f"{attempts} is below 0")
            return min(attempts, MAX_RETRIES)
    return DEFAULT_RETRIES


# -- triggers --------------------------------------------------------------------------------------


def _handlers(functions: list[Members], ids: list[str], app: str) -> dict[str, str]:
    """Which function handles the failures of which: by the id of the one that fails."""
    by_slug = {function.needed_text("id"): id for function, id in zip(functions, ids, strict=True)}
    handlers: dict[str, str] = {}
    for function, id in zip(functions, ids, strict=True):
        triggers = list(function.each("triggers"))
        if len(triggers) != 1 or triggers[0].text("event") != events.FAILED:
            continue
        form = _HANDLES.fullmatch((triggers[0].text("expression") or "").strip())
        failing = by_slug.get(form[1]) if form is not None else None
        if failing is not None and failing != id:
            handlers.setdefault(failing, id)
    return handlers


def _triggers(function: Members, handles: bool) -> tuple[tuple[TriggerDefinition, ...], tuple[ScheduleDefinition, ...]]:
    said = list(function.each("triggers"))
    if len(said) > MAX_TRIGGERS:
        function.refuse("triggers", f"has {len(said)}; at most {MAX_TRIGGERS} are accepted")
    if handles:
        return (), ()
    triggers: list[TriggerDefinition] = []
    schedules: list[ScheduleDefinition] = []
    for trigger in said:
        if trigger.text("cron"):
            schedule = _schedule(trigger)
            if schedule.text in [other.text for other in schedules]:
                trigger.refuse("cron", f"{shown(schedule.text)} is there twice; remove one")
            schedules.append(schedule)
            continue
        made = _trigger(trigger)
        if made in triggers:
            trigger.refuse("event", f"{shown(trigger.text('event'))} is there twice; remove one")
        if made is not None:
            triggers.append(made)
    return tuple(triggers), tuple(schedules)


def _trigger(trigger: Members) -> TriggerDefinition | None:
    event = trigger.needed_text("event")
    if event in _UNSEEN:
        return None
    where = trigger.text("expression") or None
    pattern = _PATTERNS.get(event, event)
    if pattern == event and event.startswith(events.RESERVED_PREFIX):
        trigger.refuse("event", f"{shown(event)} is none of the engine's own events that start functions here")
    if pattern != event and where is not None:
        where = ours(where)
    try:
        made = OnEvent(pattern, where)
    except DefinitionError as error:
        trigger.refuse("expression" if "where of" in str(error) else "event", str(error))
    return TriggerDefinition(made.name, made.where)


_LITERAL: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_RENAMED: Final = (
    (re.compile(r"\bevent\.data\.function_id\b"), '(event.data.app + "-" + event.data.workflow_id)'),
    (re.compile(r"\bevent\.data\.error\.name\b"), "event.data.error.type"),
    (re.compile(r"\bevent\.data\.error\.stack\b"), "event.data.error.trace"),
)


def ours(expression: str) -> str:
    """An expression over the end of a run, with the members of our event in place of theirs."""
    parts = _LITERAL.split(expression)
    for index in range(0, len(parts), 2):
        for pattern, replacement in _RENAMED:
            parts[index] = pattern.sub(replacement, parts[index])
    return "".join(parts)


def _schedule(trigger: Members) -> ScheduleDefinition:
    """A schedule. Ticks that passed while nobody was there start nothing, as there."""
    text = trigger.needed_text("cron", longest=255).replace("CRON_TZ=", "TZ=", 1)
    jitter = trigger.text("jitter")
    try:
        Cron(text)
    except DefinitionError as error:
        trigger.refuse("cron", str(error))
    try:
        late = parse_duration(jitter, "jitter") if jitter else 0
        if late and not SECOND <= late <= MAX_JITTER:
            trigger.refuse("jitter", f"{shown(jitter)} is not from 1s to {format_duration(MAX_JITTER)}")
        made = OnCron(text, jitter or 0, "none")
    except DefinitionError as error:
        trigger.refuse("jitter", str(error))
    return ScheduleDefinition(made.schedule, made.jitter, made.catch_up)


_SORTED: Final = msgspec.json.Encoder(order="deterministic").encode
