"""Ops: what an app reports, as it is written by any SDK, and as we write it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.outcome import Json
from flowgen.runtime.protocol.errors import UserError
from flowgen.runtime.protocol.ops import MAX_OPS, OF_STEPS, Op, Opcode, Userland, parse_ops, to_json
from flowgen.runtime.protocol.reading import BadRequest, BadResponse, encoded
from flowgen.runtime.protocol.steps import step_hash

from .wild import TEXTS, VALUES, bent, received, refusal

CHARGE = step_hash("charge")
RAN = {
    "op": "StepRun",
    "id": CHARGE,
    "name": "charge",
    "displayName": "charge",
    "opts": {"type": "step.run", "input": [1], "parallelMode": "race"},
    "data": {"paid": True},
    "timing": {"a": 1, "b": 2},
    "userland": {"id": "charge", "index": None},
    "metadata": [],
}
FAILED = {
    "op": "StepFailed",
    "id": CHARGE,
    "error": {"name": "Error", "message": "no", "stack": "at x", "cause": {"message": "deep"}, "data": [1]},
    "flowgen": {"step": "charge"},
}


def one(document: Any) -> Op:
    (op,) = parse_ops([document])
    return op


def written(op: Op) -> Any:
    return msgspec.json.decode(msgspec.json.encode(to_json([op])))[0]


def test_an_op_of_an_sdk_is_read() -> None:
    """With what we do not know left aside."""
    op = one(RAN)
    assert (op.op, op.id, op.name, op.display_name) == (Opcode.STEP_RUN, CHARGE, "charge", "charge")
    assert bytes(op.data or b"") == b'{"paid":true}'
    assert op.userland == Userland("charge")
    assert op.step_id == "charge"
    assert op.races


def test_an_error_is_read_with_its_causes() -> None:
    """And with what it carries."""
    error = one(FAILED).error
    assert error == UserError("Error", "no", "at x", error.data if error else None, UserError("Error", "deep"))
    assert error is not None
    assert bytes(error.data or b"") == b"[1]"


@pytest.mark.parametrize("code", Opcode)
def test_capitals_do_not_matter(code: Opcode) -> None:
    """Neither in opcodes nor in the names of members."""
    for text in (code.value, code.value.lower(), code.value.upper()):
        assert one({"OP": text, "Id": CHARGE}).op is code


def test_one_alone_is_a_list_of_one() -> None:
    """Old SDKs send it so."""
    assert parse_ops(RAN) == parse_ops([RAN])


def test_none_at_all_is_none() -> None:
    """An app that has nothing to say answers an empty list."""
    assert parse_ops([]) == ()


def test_a_result_that_is_null_is_a_result() -> None:
    """It is not the same as none."""
    assert bytes(one({"op": "StepRun", "id": CHARGE, "data": None}).data or b"") == b"null"
    assert one({"op": "StepRun", "id": CHARGE}).data is None


@pytest.mark.parametrize(
    "document, place, reason",
    [
        (5, "[0]", "must be an object, not 5"),
        ({}, "[0].op", "is missing"),
        ({"op": "Jump", "id": CHARGE}, "[0].op", "'Jump' is none of the opcodes"),
        ({"op": "StepRun"}, "[0].id", "'' is no step's hash"),
        ({"op": "Sleep", "id": CHARGE.upper()}, "[0].id", "40 hex digits in small letters"),
        ({"op": "StepRun", "id": CHARGE, "opts": []}, "[0].opts", "must be an object, not []"),
        ({"op": "StepRun", "id": CHARGE, "displayName": 1}, "[0].displayName", "must be text, not 1"),
        ({"op": "StepRun", "id": CHARGE, "userland": "a"}, "[0].userland", "must be an object, not 'a'"),
        ({"op": "StepRun", "id": CHARGE, "userland": {"id": "a", "index": "1"}}, "[0].userland.index", "whole number"),
    ],
)
def test_what_is_no_op_is_refused_with_its_place(document: Any, place: str, reason: str) -> None:
    """A lying app gets to know what is wrong."""
    refused = refusal(lambda: parse_ops([document]))
    assert isinstance(refused, BadResponse)
    assert (refused.place, reason in refused.reason) == (place, True)


def test_the_place_is_that_of_the_culprit() -> None:
    """Not of the first op; and where the list stands comes first, in the class of error that was asked for."""
    refused = refusal(lambda: parse_ops([RAN, RAN, {"op": "?"}], "steps", BadRequest))
    assert isinstance(refused, BadRequest)
    assert refused.place == "steps[2].op"


def test_an_answer_has_so_many_ops_at_most() -> None:
    """A thousand, as there, beside one that says nothing of a step."""
    assert len(parse_ops([RAN] * MAX_OPS)) == MAX_OPS
    assert len(parse_ops([{"op": "None"}] + [RAN] * MAX_OPS)) == MAX_OPS + 1
    for many in ([RAN] * (MAX_OPS + 1), [{"op": "None"}] * 2 + [RAN] * MAX_OPS):
        with pytest.raises(BadResponse, match=rf"{len(many):,} ops; at most 1,000"):
            parse_ops(many)


OPS = st.builds(
    Op,
    op=st.sampled_from(Opcode),
    id=TEXTS.map(step_hash),
    name=st.none() | TEXTS,
    display_name=st.none() | TEXTS,
    opts=st.dictionaries(TEXTS, VALUES, max_size=3),
    data=st.none() | VALUES.map(encoded),
    error=st.none() | st.builds(UserError, TEXTS.filter(bool), TEXTS, TEXTS),
    userland=st.none() | st.builds(Userland, TEXTS, st.none() | st.integers(0, 9)),
    flowgen=st.none() | st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3),
)


@given(OPS)
def test_what_is_written_is_read_back(op: Op) -> None:
    """Every member of every op."""
    assert comparable(one(written(op))) == comparable(op)


def comparable(op: Op) -> tuple[Any, ...]:
    data = None if op.data is None else bytes(op.data)
    return op.op, op.id, op.name, op.display_name, dict(op.opts), data, op.error, op.userland, op.flowgen


def test_what_is_not_said_is_not_written() -> None:
    """Short answers; but an opcode and an id are always there."""
    assert written(Op(Opcode.NONE, "")) == {"op": "None", "id": ""}
    assert written(Op(Opcode.STEP_RUN, CHARGE, data=Json(b"1"))) == {"op": "StepRun", "id": CHARGE, "data": 1}


@given(bent([RAN, FAILED]) | VALUES)
def test_whatever_comes_in_only_our_error_comes_out(document: Any) -> None:
    """And what is let in can be asked everything that an op is asked."""
    refused = refusal(lambda: [(op.step_id, op.races, step_hash(op.step_id)) for op in parse_ops(received(document))])
    assert refused is None or isinstance(refused, BadResponse)


@given(bent([RAN, FAILED]))
def test_a_step_of_an_op_has_the_hash_of_the_op(document: Any) -> None:
    """Whatever the op says that its step is called."""
    refused = refusal(lambda: check_hashes(parse_ops(received(document))))
    assert refused is None or isinstance(refused, BadResponse)


def check_hashes(ops: tuple[Op, ...]) -> None:
    assert all(step_hash(op.step_id) == op.id for op in ops if op.op in OF_STEPS)
