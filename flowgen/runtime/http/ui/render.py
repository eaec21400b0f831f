"""Templates, and how a refusal looks to a person.

Everything that a template shows goes through `visible` and is then escaped; a name that is not there is an error, not
nothing. Paths are made with the place where the server is mounted in front.
"""

from __future__ import annotations

from collections.abc import Container
from functools import cache, partial
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..problems import Problem
from ..routes import Call
from . import text
from .hints import hints_of

_TITLES: Final = {401: "Log in", 404: "Not here", 421: "Unknown host", 503: "Not just now"}


def page(call: Call, template: str, status: int = 200, **values: Any) -> Response:
    """A page. `values` are what its template shows, besides what all pages have."""
    return HTMLResponse(_environment().get_template(template).render(**_common(call), **values), status)


def refused(call: Call, problem: Problem) -> Response:
    """The page that says why there is no page; instead of a 401, the form to log in."""
    if problem.status == 401:
        response = page(call, "login.html", 401, needs_token=True)
    else:
        title = _TITLES.get(problem.status, "This did not work")
        response = page(call, "problem.html", problem.status, title=title, problem=problem)
    response.headers.update(problem.headers)
    return response


def _common(call: Call) -> dict[str, Any]:
    service = call.service
    root = root_of(call.request)
    only = service.apps if len(service.apps) == 1 else {}
    return {
        "root": root,
        "base": str(call.request.base_url).rstrip("/"),
        "logged_in": bool(service.settings.auth_tokens),
        "hints": hints_of(service.apps.values()),
        "run_path": partial(_run_path, root, only),
        "run_query": partial(_run_query, only),
    }


def _run_path(root: str, apps: Container[str], app: str, id: str) -> str:
    """The page of a run."""
    return f"{root}/runs/{_path(id)}{_run_query(apps, app)}"


def _run_query(apps: Container[str], app: str) -> str:
    """What says of which app a run is, unless it is of the only one here."""
    return "" if app in apps else f"?app={_path(app)}"


def root_of(request: Request) -> str:
    """The path at which the server is mounted, quoted, without a slash at its end."""
    return quote(str(request.scope.get("root_path", "")).rstrip("/"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(path=_path, brief=text.brief, json=text.shown_json, compact=text.compact)
    return environment


def _finalized(value: Any) -> Any:
    return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _path(part: str) -> str:
    """A part of a path."""
    return quote(part, safe="")
