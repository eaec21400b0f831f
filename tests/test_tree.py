"""The nouns of a run in flight: what a step knows of itself."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import Run, Sleep
from flowgen.history import InvokeTerms, SendTerms, SignalTerms, SleepTerms, WaitTerms
from flowgen.outcome import Json
from flowgen.tree import Fiber, Group, Step
from flowgen.values import decode, digest
from tests.bodies import act


def body() -> Any:
    yield


def step(**more: Any) -> Step:
    command = Run("a", act, 1)
    return Step("a", "a", command, "run", command.arguments(), decode, Fiber(body(), ""), **more)


@pytest.mark.parametrize(
    "terms, deadline",
    [
        (SleepTerms(5), 5),
        (WaitTerms("w", "a/b", 6, 0), 6),
        (SignalTerms("w", "s", 7), 7),
        (InvokeTerms("shop", "child", "c", 8), 8),
        (InvokeTerms("shop", "child", "c"), None),
        (SendTerms(()), None),
    ],
)
def test_the_deadline_of_a_request_is_in_its_terms(terms: Any, deadline: int | None) -> None:
    """Whatever it is called there; an invoke without a timeout has none."""
    assert step(terms=terms).deadline == deadline


def test_the_deadline_of_a_run_step_is_its_next_attempt() -> None:
    """None until an attempt has failed."""
    assert step().deadline is None
    assert step(failures=1, retry_at=9).deadline == 9


def test_the_digest_is_of_kind_and_arguments() -> None:
    """And is made once."""
    made = step()
    assert made.digest == digest("run", Json(b"[[1],{}]"))
    assert made.digest is made.digest
    other = Step("a", "a", Sleep("a", 1), "sleep", Json(b"[[1],{}]"), decode, Fiber(body(), ""))
    assert other.digest != made.digest


def test_nodes_are_compared_by_identity() -> None:
    """Two open steps that look the same are two."""
    assert step() != step()
    fiber = Fiber(body(), "")
    assert Fiber(fiber.generator, "") != fiber
    assert Group(None, fiber, "all", fiber) != Group(None, fiber, "all", fiber)
