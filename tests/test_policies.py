"""All that a workflow says of flow control: what is accepted together, and what is refused with its reason."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowgen import App, Context, Sleep, Steps
from flowgen.errors import DefinitionError
from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Policies,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    check_policies,
)
from flowgen.flow_control.policies import CLASHES, EXAMPLES
from tests.flow_control import POLICIES

AT = "workflow fulfil (shop.py:3)"
NAMES = tuple(field.name for field in attrs.fields(Policies))

EACH: dict[str, Any] = {
    "concurrency": Concurrency(10, key="event.data.a"),
    "throttle": Throttle(3, per="1m", key="event.data.b"),
    "rate_limit": RateLimit(10, per="1h", key="event.data.c"),
    "debounce": Debounce("5m", key="event.data.d"),
    "batch": Batch(100, wait="5s", key="event.data.e"),
    "priority": Priority("120"),
    "singleton": Singleton(key="event.data.f", mode="cancel"),
    "idempotency": "event.data.g",
    "cancel_on": CancelOn("order/cancelled", match="data.h"),
    "timeouts": Timeouts(start="1h"),
    "on_failure": "notify-ops",
}
"""One of each option, each with a key of its own."""

ONE_KEY: dict[str, Any] = {
    "concurrency": Concurrency(10, key="event.data.a"),
    "throttle": Throttle(3, per="1m", key="event.data.a"),
    "rate_limit": RateLimit(10, per="1h", key="event.data.a"),
    "debounce": Debounce("5m", key="event.data.a"),
    "batch": Batch(100, wait="5s", key="event.data.a"),
    "priority": Priority("event.data.a"),
    "singleton": Singleton(key="event.data.a", mode="cancel"),
    "idempotency": "event.data.a",
    "cancel_on": CancelOn("order/cancelled", match="data.a"),
    "timeouts": Timeouts(start="1h"),
    "on_failure": "notify-ops",
}
"""The same with one key for all."""


def check(**options: Any) -> Policies:
    """The policies of a workflow that is written with these options."""
    return check_policies(AT, "shop/fulfil", **options)


def refusal(**options: Any) -> str:
    """What is said of options that are refused, after where they are."""
    with pytest.raises(DefinitionError) as caught:
        check(**options)
    message = str(caught.value)
    assert message.startswith(f"{AT}: ")
    return message.removeprefix(f"{AT}: ")


# -- pairs -----------------------------------------------------------------------------------------


def table() -> dict[frozenset[str], str]:
    """The table of all pairs in the documentation: `yes`, `no` or `key` for each."""
    page = Path(__file__).parent.parent / "docs" / "decisions" / "flow-control-pairs.md"
    lines = re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines]
    columns = rows[0][1:]
    return {frozenset([row[0], columns[n]]): cell for row in rows[2:] for n, cell in enumerate(row[1:]) if cell}


def test_the_table_has_each_pair_once() -> None:
    """Every two options that there are, and nothing else."""
    assert set(table()) == {frozenset(pair) for pair in combinations(NAMES, 2)}
    assert set(NAMES) == set(EACH) == set(ONE_KEY)


@pytest.mark.parametrize("pair", list(combinations(NAMES, 2)), ids="+".join)
def test_a_pair_is_accepted_or_refused_as_the_table_says(pair: tuple[str, str]) -> None:
    """With keys of their own, and with one key for both; a refusal names both and says why."""
    answer = table()[frozenset(pair)]
    for options, refused in [(EACH, answer == "no"), (ONE_KEY, answer in ("no", "key"))]:
        given_options = {name: options[name] for name in pair}
        if refused:
            message = refusal(**given_options)
            assert re.fullmatch(r"(\w+) and (\w+) do not go together: .{40,}", message)
            assert all(name in message.split(" do not ")[0] for name in pair)
        else:
            policies = check(**given_options)
            assert {name for name in NAMES if getattr(policies, name)} == set(pair)


def test_all_that_goes_together_may_be_combined() -> None:
    """Everything at once, but debounce or batch, and no singleton beside batch."""
    for left_out in [{"batch"}, {"debounce", "singleton"}]:
        policies = check(**{name: option for name, option in EACH.items() if name not in left_out})
        assert {name for name in NAMES if not getattr(policies, name)} == left_out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"debounce": Debounce("1s"), "batch": Batch(2, wait="1s")},
            "debounce and batch do not go together: both collect the events of a key, "
            "but debounce keeps the last one and batch all of them; remove one",
        ),
        (
            {"singleton": Singleton(), "batch": Batch(2, wait="1s")},
            "singleton and batch do not go together: a batch collects events so that none is lost, and singleton "
            "would skip or cancel all of them at once; to let one batch run at a time, and the next wait for it, "
            "use concurrency=Concurrency(1) instead",
        ),
        (
            {"idempotency": "event.data.a", "debounce": Debounce("1s", key=" event.data.a")},
            "idempotency and debounce do not go together: they have the same key, so every event after the first is a "
            "duplicate, and the run would get the first event, not the last; remove idempotency, or give it a key "
            "that tells the events of a debounce apart",
        ),
        (
            {"idempotency": "event.data.a ", "batch": Batch(2, wait="1s", key="event.data.a")},
            "idempotency and batch do not go together: they have the same key, so every event after the first is a "
            "duplicate, and no batch would have more than one; remove idempotency, or give it a key that tells the "
            "events of a batch apart",
        ),
        (
            {"idempotency": "event.data.a", "singleton": Singleton(key="event.data.a", mode="cancel")},
            "idempotency and singleton do not go together: they have the same key, so an event that should cancel the "
            "open run is a duplicate and never does; remove idempotency, or use mode='skip'",
        ),
    ],
)
def test_a_refusal_says_why_and_what_to_do(options: dict[str, Any], message: str) -> None:
    """Each of them in full."""
    assert refusal(**options) == message


def test_there_is_a_test_of_each_reason() -> None:
    """Five pairs clash; whoever adds one adds it to the test above."""
    assert len(CLASHES) == 5


def test_idempotency_goes_with_what_has_no_key_or_skips() -> None:
    """One count for all events is no key; skipping what idempotency lets through twice does no harm."""
    for option in [Debounce("1s"), Batch(2, wait="1s"), Singleton(mode="cancel"), Singleton(key="event.data.g")]:
        name = type(option).__name__.lower()
        assert getattr(check(idempotency="event.data.g", **{name: option}), name) == option


# -- one or several --------------------------------------------------------------------------------


def test_concurrency_is_one_limit_or_two() -> None:
    """One by itself, or a list of two that limit different things."""
    one, two = Concurrency(10), Concurrency(2, key="event.data.a")
    shared = Concurrency(50, scope="app")
    assert check(concurrency=one).concurrency == (one,) == check(concurrency=[one]).concurrency
    assert check(concurrency=(one, two)).concurrency == (one, two)
    assert check(concurrency=[one, shared]).concurrency == (one, shared)
    assert check(concurrency=[]).concurrency == () == check().concurrency
    assert refusal(concurrency=[one, two, shared]) == "concurrency: 3 are given; at most 2 are accepted"


def test_two_limits_of_one_thing_are_refused() -> None:
    """Both are shown."""
    assert refusal(concurrency=[Concurrency(10), Concurrency(5)]) == (
        "concurrency: Concurrency(10) and Concurrency(5) limit the same thing, so only the smaller would count; "
        "remove one, or give one of them another key or scope"
    )


def test_up_to_five_events_cancel() -> None:
    """One by itself, or a list of different ones."""
    several = [CancelOn(name) for name in "abcde"]
    assert check(cancel_on=several[0]).cancel_on == (several[0],)
    assert check(cancel_on=several).cancel_on == tuple(several)
    assert refusal(cancel_on=[*several, CancelOn("f")]) == "cancel_on: 6 are given; at most 5 are accepted"
    assert check(cancel_on=[CancelOn("a", match="data.x"), CancelOn("a", match="data.y")])


def test_the_same_cancelling_event_twice_is_refused() -> None:
    """Also if they differ in how long they hold."""
    twice = [CancelOn("a", timeout="1d"), CancelOn("b"), CancelOn("a")]
    assert refusal(cancel_on=twice) == (
        "cancel_on: CancelOn('a', timeout='1d') and CancelOn('a') cancel on the same events; remove one"
    )
    assert "cancel on the same events" in refusal(cancel_on=[twice[0], twice[0]])


# -- kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_option_of_another_kind_is_refused_with_an_example(kind: type) -> None:
    """The example is one that can be written; a class in place of its instance is named."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    example = eval(EXAMPLES[kind])
    assert type(example) is kind
    assert check(**{name: example})
    assert refusal(**{name: 5}) == f"{name}: 5 is not a {kind.__name__}; write {EXAMPLES[kind]}"
    assert refusal(**{name: kind}) == f"{name}: {kind.__name__} is not a {kind.__name__}; write {EXAMPLES[kind]}"


@pytest.mark.parametrize("name", ["concurrency", "cancel_on"])
def test_a_list_holds_options_only(name: str) -> None:
    """None in it is no option."""
    assert refusal(**{name: [None]}).startswith(f"{name}: None is not a ")


def test_idempotency_is_a_key() -> None:
    """An expression over `event`, compiled where it is written, without space around it."""
    assert check(idempotency=" event.data.cart_id").idempotency == "event.data.cart_id"
    assert refusal(idempotency="event.data.").startswith("idempotency: 'event.data.': line 1, column 12: ")
    assert refusal(idempotency="event.cart").endswith("write event.data.cart")
    assert refusal(idempotency=True).startswith("idempotency: True is no expression")


def test_a_failure_is_handled_by_another_workflow() -> None:
    """A workflow, its id, or the id of one in another app; it is kept with its app."""
    app = App("ops")

    @app.workflow
    def notify(ctx: Context[dict[str, Any]]) -> Steps[None]:
        yield Sleep("a", 1)

    assert check(on_failure=notify).on_failure == "ops/notify"
    assert check(on_failure="notify").on_failure == "shop/notify"
    assert check(on_failure="ops/notify").on_failure == "ops/notify"
    assert check(on_failure="ops/fulfil").on_failure == "ops/fulfil"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fulfil", "on_failure: a workflow that handles its own failures would never end; name another one"),
        ("shop/fulfil", "on_failure: a workflow that handles its own failures would never end; name another one"),
        ("", "on_failure: '' is not the id of a workflow; write it 'id' or 'app/id'"),
        ("a/b/c", "on_failure: 'a/b/c' is not the id of a workflow; write it 'id' or 'app/id'"),
        ("a/", "on_failure: 'a/' is not the id of a workflow; write it 'id' or 'app/id'"),
        ("a\n", r"on_failure: 'a\n' is not the id of a workflow; write it 'id' or 'app/id'"),
        (
            print,
            "on_failure: print is neither a workflow nor the id of one; "
            "decorate the function with @app.workflow, or write its id",
        ),
        (
            5,
            "on_failure: 5 is neither a workflow nor the id of one; "
            "decorate the function with @app.workflow, or write its id",
        ),
    ],
)
def test_what_handles_no_failures_is_refused(value: Any, message: str) -> None:
    """Itself, what is no name, and what is no workflow."""
    assert refusal(on_failure=value) == message


# -- properties ------------------------------------------------------------------------------------


def test_no_option_is_no_policy() -> None:
    """The default of each is that there is none."""
    assert check() == Policies() == check(**dict.fromkeys(NAMES))


def written(policies: Policies) -> dict[str, Any]:
    """The options with which policies are written."""
    return {name: getattr(policies, name) for name in NAMES}


@given(POLICIES)
def test_what_is_accepted_is_kept_as_it_was_written(policies: Policies) -> None:
    """Checking again what was accepted changes nothing."""
    try:
        checked = check(**written(policies))
    except DefinitionError:
        assume(False)
    assert checked == policies
    assert check(**written(checked)) == checked


@given(POLICIES, st.sampled_from(NAMES))
def test_removing_an_option_never_makes_a_clash(policies: Policies, name: str) -> None:
    """What is accepted is accepted with less, so that options can be taken away one by one."""
    try:
        check(**written(policies))
    except DefinitionError:
        assume(False)
    check(**{**written(policies), name: None})
