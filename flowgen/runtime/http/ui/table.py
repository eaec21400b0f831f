"""The routes of the pages. They are no part of what programs are promised, so OpenAPI does not list them."""

from __future__ import annotations

from functools import partial
from typing import Final

from .. import events
from ..access import Access
from ..routes import CURSOR_PARAMETER, Parameter, Route
from . import assets, login, views
from .render import refused

_page = partial(Route, "GET", refused=refused)

UI: Final = (
    _page(
        "/",
        views.runs_page,
        Access.READ,
        "The runs.",
        tuple(Parameter(name, "As the form of the page has it.") for name in views.FILTERS),
    ),
    _page("/runs/{id}", views.run_page, Access.READ, "One run.", (Parameter("app", "Of which app it is."),)),
    _page(
        "/events",
        views.events_page,
        Access.READ,
        "The events.",
        (Parameter("name", "Only events of this name."), CURSOR_PARAMETER),
    ),
    _page("/events/{id}", views.event_page, Access.READ, "One event."),
    _page("/workflows", views.workflows_page, Access.READ, "The workflows."),
    _page("/workflows/{app}/{id}", views.workflow_page, Access.READ, "One workflow."),
    _page("/login", login.login_page, Access.PUBLIC, "The form to log in."),
    Route("POST", "/login", login.log_in, Access.PUBLIC, "Change a token for a cookie."),
    Route("POST", "/logout", login.log_out, Access.PUBLIC, "Forget the cookie."),
    Route("POST", "/ui/send", events.send_events, Access.OPERATE, "Accept events from a page."),
    Route("GET", "/static/{name}", assets.send_asset, Access.PUBLIC, "The script, the stylesheet, the icon."),
)
