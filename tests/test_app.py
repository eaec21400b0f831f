"""Apps: a registry of workflows and their defaults."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import App, DefinitionError, Sleep, Steps


def first(ctx: Any) -> Steps[None]:
    yield Sleep("nap", 1)


def second(ctx: Any) -> Steps[None]:
    yield Sleep("nap", 1)


def test_workflows_are_found_by_id_in_order() -> None:
    """An app knows its workflows in the order of their definition."""
    app = App("shop")
    b, a = app.workflow(second), app.workflow(id="a")(first)
    assert list(app.workflows.items()) == [("second", b), ("a", a)]


def test_an_option_that_is_none_is_not_given() -> None:
    """None, from a configuration say, means the app's default; with options or without, the app has the workflow."""
    app = App("shop", retries=7, max_steps=50)
    nothing = app.workflow(on=None, id=None, retries=None, backoff=None, max_steps=None, timeouts=None)(first)
    plain = app.workflow(second)
    assert (nothing.id, nothing.triggers, nothing.retries, nothing.max_steps) == ("first", (), 7, 50)
    assert (plain.retries, plain.backoff, plain.policies) == (nothing.retries, nothing.backoff, nothing.policies)
    assert app.workflows == {"first": nothing, "second": plain}


def test_workflows_cannot_be_changed_from_outside() -> None:
    """The mapping is a view: only the decorator adds to it."""
    app = App("shop")
    view = app.workflows
    with pytest.raises(TypeError):
        view["x"] = 7  # type: ignore[index]
    workflow = app.workflow(first)
    assert view == {"first": workflow}


def test_two_workflows_with_one_id_are_refused() -> None:
    """The message names both places, and the first one stays."""
    app = App("shop")
    kept = app.workflow(first)
    with pytest.raises(DefinitionError) as caught:
        app.workflow(id="first")(second)
    message = str(caught.value)
    assert "App('shop') has two workflows with the id 'first'" in message
    for fn in (first, second):
        assert f"{fn.__name__} ({__file__}:{fn.__code__.co_firstlineno})" in message
    assert app.workflows == {"first": kept}


def test_apps_do_not_know_each_other() -> None:
    """There is no global registry: the same id in two apps is two workflows."""
    assert App("a").workflow(first) is not App("b").workflow(first)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"name": ""}, "name of App: '' is empty"),
        ({"name": "a/b"}, "name of App: 'a/b' holds a '/'"),
        ({"name": None}, "name of App: None is not a str"),
        ({"version": 3}, "version of App('shop'): 3 is not a str"),
        ({"retries": -1}, "retries of App('shop'): -1"),
        ({"backoff": 3}, "backoff of App('shop'): 3 is not a Backoff"),
        ({"loop": "curio"}, "loop of App('shop'): 'curio' is no event loop"),
        ({"max_steps": None}, "max_steps of App('shop'): None is not a number of steps"),
    ],
)
def test_bad_defaults_are_refused(arguments: dict[str, Any], reason: str) -> None:
    """An app's defaults are checked when it is made."""
    with pytest.raises(DefinitionError) as caught:
        App(**{"name": "shop", **arguments})
    assert reason in str(caught.value)


def test_the_repr_names_the_app() -> None:
    """An app in a message is its name."""
    assert repr(App("shop")) == "App('shop')"
