"""The durable formats: round trips, pinned bytes, older versions, and errors that lead to the culprit."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import codec
from flowgen.codec import Exported, Upcaster
from flowgen.errors import InternalError, UndecodableError
from flowgen.events import AcceptedEvent
from flowgen.flow_control import Concurrency, Policies, Throttle
from flowgen.history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from flowgen.outcome import NULL, Failure, Json
from flowgen.runs import (
    Body,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    EventCollected,
    EventMatched,
    Freed,
    Message,
    Parent,
    RunRow,
    SignalArrived,
    SignalReplaced,
)
from flowgen.transition import Wait
from flowgen.wire import Form, Mirrors
from flowgen.workflow import Definition, ScheduleDefinition, TriggerDefinition
from tests.flow_control import POLICIES

HISTORIES = Path(__file__).parent / "histories"
AT = 1_700_000_000_000_000
VALUE = Json('{"id":7,"name":"é \\" \\u0000","big":123456789012345678901234567890,"deep":[[],{}]}'.encode())
ARGUMENTS = Json(b'[["7"],{"currency":"eur"}]')
FAILURE = Failure("ValueError", "no\nway", "Traceback…", Failure("KeyError", "'x'"))
EVENT = AcceptedEvent("e1", "order/paid", VALUE, AT, AT + 1, "cart-7", 12, "abc")

RECORDS: tuple[Record, ...] = (
    Started(AT, "code-1"),
    Requested(AT, "nap", "sleep", "d1", SleepTerms(AT + 5)),
    Requested(AT, "wait", "wait", "d2", WaitTerms("w1", "paid", AT + 5, 3), ARGUMENTS),
    Requested(AT, "wait:1", "wait", "d2", WaitTerms("w2", "paid", AT + 5, 3, "data.id", '"7"', "async.data.ok")),
    Requested(AT, "signal", "signal", "d3", SignalTerms("w3", "go", AT + 5)),
    Requested(AT, "child", "invoke", "d4", InvokeTerms("shop", "receipt", "r2")),
    Requested(AT, "child:1", "invoke", "d4", InvokeTerms("other", "receipt", "r3", AT + 5, "leave")),
    Requested(AT, "tell", "send", "d5", SendTerms(("e1", "e2"))),
    Requested(AT, "tell:1", "send", "d5", SendTerms(())),
    Requested(AT, "raise", "send_signal", "d6", SendSignalTerms("go")),
    AttemptFailed(AT, "charge", 1, FAILURE, AT + 9, "d7", ARGUMENTS),
    StepSucceeded(AT, "charge", VALUE, digest="d7", arguments=ARGUMENTS),
    StepSucceeded(AT, "all:1/left/wait", NULL, "wait", position=12),
    StepFailed(AT, "charge", FAILURE, 5, digest="d7", arguments=ARGUMENTS),
    StepFailed(AT, "child", Failure("RunFailed", ""), kind="invoke"),
    CancelAccepted(AT, "enough", AT + 60),
    CleanupExpired(AT, ""),
    CleanupExpired(AT, "race/left"),
    Retried(AT, 3, 1),
    Retried(AT, 3, 2, ("charge", "child")),
    EndCompleted(AT, VALUE),
    EndCompleted(AT, restarted_as="r9"),
    EndFailed(AT, FAILURE),
    EndFailed(AT, FAILURE, "charge"),
    EndCancelled(AT, "enough"),
    EndCancelled(AT, "enough", cleaned_up=False),
)

BODIES: tuple[Body, ...] = (
    EventMatched("w1", "wait", EVENT),
    SignalArrived("w3", "signal", VALUE),
    SignalReplaced("w3", "signal", "r2"),
    ChildCompleted("r2", "child", NULL),
    ChildFailed("r2", "child", FAILURE),
    CancelRequested("enough"),
    EventCollected(EVENT, Parent("shop", "p", "child", "r0")),
    Freed(),
)

ROW = RunRow(
    "shop", "r1", "fulfil", AT, 7, "parked", "differs", AT, AT, AT, None, "w1", 3, 9, 4, 2, 3, 1, 1, "code-1",
    Parent("shop", "p", "child", "r0"), "r2", (("wait", 3), ("wait:1", 4)),
)  # fmt: skip


# -- format v1, for ever ----------------------------------------------------------------------------


def golden(name: str) -> list[bytes]:
    return (HISTORIES / name).read_bytes().splitlines()


def test_the_bytes_of_each_record_are_pinned() -> None:
    """Format v1 is frozen: these records have these bytes, and these bytes are these records."""
    assert [codec.encode_record(record) for record in RECORDS] == golden("records.v1.jsonl")
    assert tuple(map(codec.decode_record, golden("records.v1.jsonl"))) == RECORDS


def test_the_bytes_of_each_message_are_pinned() -> None:
    """The same for what is in mailboxes."""
    messages = [Message(f"m{n}", "shop", "r1", body, n == 5) for n, body in enumerate(BODIES)]
    assert [codec.encode_message(message) for message in messages] == golden("messages.v1.jsonl")
    assert [codec.decode_message(line) for line in golden("messages.v1.jsonl")] == messages


def test_an_exported_run_is_pinned() -> None:
    """The same for an export: a header line with the run, then a record a line."""
    lines = [line.decode() for line in golden("export.v1.jsonl")]
    assert list(codec.export_lines(ROW, (EVENT,), RECORDS)) == lines
    assert codec.import_lines(lines) == Exported(ROW, (EVENT,), RECORDS)


def test_every_member_of_every_union_is_pinned() -> None:
    """A record, term or message type that the goldens do not show cannot be added."""
    assert {type(record) for record in RECORDS} == set(codec.RECORD_TAGS) == set(get_args(Record))
    terms = {type(record.terms) for record in RECORDS if isinstance(record, Requested)}
    assert terms == set(codec.TERMS_TAGS)
    assert {type(body) for body in BODIES} == set(codec.BODY_TAGS) == set(get_args(Body))


def test_tags_are_one_word_for_one_class() -> None:
    """Within a union no tag is used twice."""
    for tags in (codec.RECORD_TAGS, codec.TERMS_TAGS, codec.BODY_TAGS):
        assert len(set(tags.values())) == len(tags)


# -- round trips ------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def anything(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation as the wire classes use them."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Json:
        return _json.map(lambda value: Json(msgspec.json.encode(value)) if of_64_bits(value) else NULL)
    if annotation is int:
        return st.integers(-(2**63), 2**63 - 1)
    if annotation is Failure:
        return failures
    if annotation is Policies:
        return POLICIES
    if attrs.has(annotation):
        hints = get_type_hints(annotation)
        return st.builds(annotation, **{f.name: anything(hints[f.name]) for f in attrs.fields(annotation)})
    if origin in (Union, types.UnionType):
        return st.one_of(*map(anything, args))
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple and args[1:] == (...,):
        return st.lists(anything(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(anything, args))
    return st.from_type(annotation)


def of_64_bits(value: Any) -> bool:
    """Whether msgspec's own encoder can write the value: its integers are of 64 bits."""
    try:
        msgspec.json.encode(value)
    except OverflowError:
        return False
    return True


failures: st.SearchStrategy[Failure] = st.recursive(
    st.builds(Failure, st.text(), st.text(), st.text()),
    lambda cause: st.builds(Failure, st.text(), st.text(), st.text(), cause),
    max_leaves=3,
)

FORMS: dict[str, tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "record": (Record, codec.encode_record, codec.decode_record),
    "message": (Message, codec.encode_message, codec.decode_message),
    "body": (Body, codec.encode_body, codec.decode_body),
    "run row": (RunRow, codec.encode_run_row, codec.decode_run_row),
    "parent": (Parent, codec.encode_parent, codec.decode_parent),
    "event": (AcceptedEvent, codec.encode_event, codec.decode_event),
    "events": (tuple[AcceptedEvent, ...], codec.encode_events, codec.decode_events),
    "wait": (Wait, codec.encode_wait, codec.decode_wait),
    "definition": (Definition, codec.encode_definition, codec.decode_definition),
}


@pytest.mark.parametrize("name", FORMS)
@given(data=st.data())
def test_everything_round_trips(name: str, data: st.DataObject) -> None:
    """What is decoded equals what was encoded, and encoding it again gives the same bytes."""
    annotation, encode, decode = FORMS[name]
    value = data.draw(anything(annotation))
    encoded = encode(value)
    assert decode(bytes(encoded)) == value
    assert encode(decode(bytes(encoded))) == encoded


@given(anything(Record))
def test_equal_records_have_equal_bytes(record: Record) -> None:
    """Bytes depend on what a record says, not on which objects say it."""
    fields = {f.name: getattr(record, f.name) for f in attrs.fields(type(record))}
    again = {name: other_object(value) for name, value in fields.items()}
    assert codec.encode_record(type(record)(**again)) == codec.encode_record(record)


def other_object(value: Any) -> Any:
    """An equal value that is another object, where Python allows that."""
    if isinstance(value, str):
        return "".join(list(value))
    if isinstance(value, Json):
        return Json(bytes(value))
    if isinstance(value, tuple):
        return (*value,)
    return value


def test_json_inside_is_kept_to_the_byte() -> None:
    """A value is not re-encoded: spaces, order, big numbers and escapes stay."""
    odd = Json(b'{ "b" : 1.0, "a" : 123456789012345678901234567890, "\\u00e9": 1e400 }')
    record = codec.decode_record(codec.encode_record(StepSucceeded(AT, "s", odd)))
    assert isinstance(record, StepSucceeded)
    assert bytes(record.value) == bytes(odd)


def test_an_optional_value_may_be_null() -> None:
    """A scope that is null is not a scope that is absent."""
    wait = Wait("w1", "shop", "r1", "step", "paid", 0, AT)
    null = attrs.evolve(wait, scope=Json(b"null"))
    assert codec.decode_wait(codec.encode_wait(wait)).scope is None
    assert codec.decode_wait(codec.encode_wait(null)) == null


def test_defaults_are_left_out() -> None:
    """A definition without a condition, a record without a position: nothing is written for what is not there."""
    definition = Definition("fulfil", (TriggerDefinition("order/*"),))
    assert bytes(codec.encode_definition(definition)) == b'{"id":"fulfil","triggers":[{"pattern":"order/*"}]}'
    assert b"position" not in codec.encode_record(StepSucceeded(AT, "s", VALUE))


def test_a_definition_has_its_policies_and_schedules() -> None:
    """Options are written with what is not their default, in microseconds, and read back as they were."""
    policies = Policies(concurrency=(Concurrency(10, key="event.data.a"),), throttle=Throttle(3, per="1m"))
    definition = Definition("f", (), policies, (ScheduleDefinition("0 9 * * MON", 5),))
    assert bytes(codec.encode_definition(definition)) == (
        b'{"id":"f",'
        b'"policies":{"concurrency":[{"limit":10,"scope":"workflow","key":"event.data.a"}],'
        b'"throttle":{"limit":3,"per":60000000}},'
        b'"schedules":[{"text":"0 9 * * MON","catch_up":"last","jitter":5}]}'
    )
    assert codec.decode_definition(codec.encode_definition(definition)) == definition


def test_a_definition_from_before_flow_control_is_read() -> None:
    """A registration that an older flowgen has written says nothing of policies and schedules."""
    old = b'{"id":"fulfil","triggers":[{"pattern":"order/*","where":"event.data.a > 1"}]}'
    assert codec.decode_definition(old) == Definition(
        "fulfil", (TriggerDefinition("order/*", "event.data.a > 1"),), Policies(), ()
    )
    assert bytes(codec.encode_definition(codec.decode_definition(old))) == old


@given(POLICIES)
def test_equal_definitions_have_equal_bytes(policies: Policies) -> None:
    """Also where an option has its default value as another object, or all options have."""
    again = attrs.evolve(policies, concurrency=(*list(policies.concurrency),), cancel_on=(*list(policies.cancel_on),))
    assert codec.encode_definition(Definition("f", (), again)) == codec.encode_definition(Definition("f", (), policies))


def test_a_record_as_a_dict_is_what_is_stored() -> None:
    """`record_to_dict` shows the stored document, values decoded."""
    told = codec.record_to_dict(StepSucceeded(5, "s", Json(b'{"a":[1]}'), "wait", position=3))
    expected = {"type": "succeeded", "at": 5, "step": "s", "value": {"a": [1]}, "kind": "wait", "arguments": None}
    assert told == {**expected, "position": 3}


# -- what does not fit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, told",
    [
        (b'{"type":"stretched","at":1}', "Invalid value 'stretched' - at `$.type`"),
        (b'{"type":"started","at":"1","digest":""}', "Expected `int`, got `str` - at `$.at`"),
        (b'{"type":"started","at":1}', "missing required field `digest`"),
        (b'{"type":"started","at":1,"digest":"","mood":1}', "unknown field `mood`"),
        (b'{"at":1,"digest":""}', "missing required field `type`"),
        (
            b'{"type":"requested","at":1,"step":"s","kind":"sleep","digest":"","arguments":null,'
            b'"terms":{"type":"sleep","due_at":null}}',
            "Expected `int`, got `null` - at `$.terms.due_at`",
        ),
        (
            b'{"type":"requested","at":1,"step":"s","kind":"sleep","digest":"","arguments":null,"terms":{"type":"nap"}}',
            "Invalid value 'nap' - at `$.terms.type`",
        ),
        (b'{"type":"succeeded","at":1,"step":"s","value":1,"kind":"stroll","digest":"","arguments":null}', "$.kind"),
        (b'{"type":"started",', "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"type":"started","at":1,"digest":"\xff"}', "can't decode byte 0xff"),
        (b"[]", "Expected `object`, got `array`"),
        (b"", "truncated"),
        (b'{"type":"succeeded","at":1,"step":"s","value":' + b"[" * 100_000, "cannot be read"),
    ],
)
def test_what_is_no_record_says_where_and_why(data: bytes, told: str) -> None:
    """An error names the document, the path, what was expected and what is there, and shows the data."""
    with pytest.raises(UndecodableError) as caught:
        codec.decode_record(data)
    assert "a history record cannot be read" in str(caught.value)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1_000


@given(st.binary(max_size=40))
def test_garbage_is_an_undecodable_error(garbage: bytes) -> None:
    """Whatever bytes there are, they are a record or an `UndecodableError`."""
    try:
        codec.decode_record(garbage)
    except UndecodableError:
        return


@given(st.sampled_from(RECORDS), st.data())
def test_a_damaged_record_is_a_record_or_an_error(record: Record, data: st.DataObject) -> None:
    """Damage that leaves JSON of the right shape is the checksum's to find; nothing else escapes."""
    encoded = bytearray(codec.encode_record(record))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        codec.decode_record(bytes(encoded))
    except UndecodableError:
        return


def test_a_class_without_a_form_is_our_mistake() -> None:
    """Encoding what is no record is an internal error that says so."""
    with pytest.raises(InternalError, match="no JSON form for Parent"):
        codec.encode_record(Parent("a", "r", "s", "c"))  # type: ignore[arg-type]


# -- checksums --------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_changes_the_checksum(body: bytes, data: st.DataObject) -> None:
    """Every single flipped bit is found."""
    flipped = bytearray(body)
    flipped[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert codec.checksum("r1", 3, bytes(flipped)) != codec.checksum("r1", 3, body)


def test_a_record_that_strayed_changes_the_checksum() -> None:
    """The same bytes at another position, or of another run, have another checksum."""
    sums = {codec.checksum(run, position, b"{}") for run in ("r1", "r2", 1, 12, "1 2") for position in (0, 1, 2, 12)}
    assert len(sums) == 20


@attrs.define
class Checked:
    """Unfrozen, with a rule that its annotation does not tell."""

    small: int = attrs.field(validator=attrs.validators.lt(10))
    other: str = ""


def test_classes_that_check_their_fields_do_so_when_they_are_read() -> None:
    """Only what a class without rules is made of is filled in without calling the class."""
    form: Form[Checked] = Form(Mirrors({}, {}), Checked, "a checked value")
    assert form.decode(b'{"small":9,"other":"x"}') == Checked(9, "x")
    with pytest.raises(ValueError, match="must be < 10"):
        form.decode(b'{"small":10}')


@given(run=st.integers(0) | st.text("abc 019", max_size=30), positions=st.lists(st.integers(0, 2**62), max_size=4))
def test_sealed_records_are_checked(run: int | str, positions: list[int]) -> None:
    """Each is read if it has the checksum that `checksum` makes, and is an error with its position if not."""
    record = RECORDS[0]
    body = codec.encode_record(record)
    rows = [(position, codec.checksum(run, position, body), body) for position in positions]
    assert list(codec.decode_sealed(run, rows, LookupError)) == [record] * len(rows)
    for position, seal, _ in rows:
        with pytest.raises(LookupError, match=f"^{position}$"):
            list(codec.decode_sealed(run, [(position, seal ^ 1, body)], LookupError))


def test_the_checksum_is_pinned() -> None:
    """It is stored with every record, so it never changes."""
    assert codec.checksum("01ARZ3NDEKTSV4RRFFQ69G5FAV", 17, codec.encode_record(RECORDS[0])) == 202252995


# -- older and newer formats ------------------------------------------------------------------------


def _renamed(document: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in document.items()}


V0 = {
    0: Upcaster(
        record=lambda document: _renamed(document, kind="type", time="at"),
        run=lambda document: _renamed(document, name="workflow"),
        event=lambda document: {"accepted_at": document["ts"], **document},
    )
}


def test_an_export_of_an_older_format_is_lifted() -> None:
    """Run, events and records of an export are lifted, each in its way."""
    lines = [
        '{"type":"flowgen-history","version":0,"run":{"app":"a","id":"r","name":"w","created_at":1,"seed":2,'
        '"stored":"open"},"events":[{"id":"e","name":"n","data":{},"ts":3}]}',
        '{"kind":"started","time":5,"digest":"d"}',
    ]
    exported = codec.import_lines(lines, V0)
    assert exported == Exported(
        RunRow("a", "r", "w", 1, 2), (AcceptedEvent("e", "n", Json(b"{}"), 3, 3),), (Started(5, "d"),)
    )
    with pytest.raises(UndecodableError, match="format 0 cannot be read: no upcaster from format 0 on"):
        codec.import_lines(lines)
    with pytest.raises(UndecodableError, match="line 2: a document of an older format is not JSON"):
        codec.import_lines([lines[0], "{"], V0)


def test_an_export_of_a_newer_format_is_refused() -> None:
    """It says which version it is, which ones we read, and what to do; it does not guess."""
    with pytest.raises(UndecodableError, match=r"format 2, but .* up to 1: upgrade flowgen"):
        codec.import_lines(['{"type":"flowgen-history","version":2}'])


# -- export and import ------------------------------------------------------------------------------


def test_an_import_does_not_mind_empty_lines() -> None:
    """Files end with a line end, and people add empty lines."""
    lines = [line + "\n" for line in codec.export_lines(ROW, (), RECORDS[:2])]
    assert codec.import_lines(["\n", *lines, "\n"]) == Exported(ROW, (), RECORDS[:2])


@pytest.mark.parametrize(
    "lines, told",
    [
        ([], "line 1: not the header"),
        (["", "nonsense"], "line 2: not the header"),
        (['{"type":"other","version":1}'], "line 1: not the header"),
        (['{"type":"flowgen-history","version":7}'], "line 1: written in format 7"),
        (['{"type":"flowgen-history","version":1,"run":{},"events":[]}'], "line 1: a run's row cannot be read"),
        ([*codec.export_lines(ROW, (), RECORDS[:1]), "", '{"type":"x"}'], "line 4: a history record cannot be read"),
    ],
)
def test_a_bad_export_names_the_line(lines: list[str], told: str) -> None:
    """Whoever edits an export is told which line is wrong."""
    with pytest.raises(UndecodableError, match=told):
        codec.import_lines(lines)


# -- for people -------------------------------------------------------------------------------------


def test_each_record_has_one_line_for_people() -> None:
    """One line, not too long, that begins with what happened; the step and the gist are in it."""
    lines = [codec.describe(record) for record in RECORDS]
    assert all("\n" not in line and len(line) < 250 for line in lines)
    assert len(set(lines)) == len(lines) - 1, "only the cancelled run's clean-up is not told"
    assert codec.describe(StepSucceeded(AT, "charge", Json(b'{"id":7}'))) == 'StepSucceeded charge → {"id":7}'
    assert codec.describe(RECORDS[10]) == "AttemptFailed charge attempt 1 → ValueError: no way"
    assert codec.describe(RECORDS[17]) == "CleanupExpired race/left"
    assert codec.describe(RECORDS[19]) == "Retried life 2, again: charge, child"


def test_a_long_value_is_shortened() -> None:
    """A line for people does not hold a megabyte."""
    assert len(codec.describe(EndCompleted(AT, Json(b'"' + b"x" * 1_000_000 + b'"')))) < 150
