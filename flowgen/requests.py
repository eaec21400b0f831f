"""Answering what a body asks of the world: requests of sleeps, waits, signals, invokes and sends.

Each becomes a `Requested` record with absolute terms and whatever has to change in the store with it: an
open wait, a key, a child run, events. What cannot be is answered at once, as the step's failure. What has
to be known first is put as a question; then the step stays unanswered, and is tried again.

Knows no `Run` steps: their bodies need no request.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .acceptance import accept
from .admission import Gate, Start
from .commands import Invoke, SendEvent, SendSignal, Sleep, SleepUntil, WaitFor, WaitForSignal
from .duration import MAX_DURATION, moment
from .effects import direct_event
from .errors import EventConflict, InvalidInput, UnserializableError
from .events import accept_event, event_document
from .expression import match_key, parse_path, value_at
from .facts import Questions
from .history import InvokeTerms, SendSignalTerms, SendTerms, SignalTerms, SleepTerms, Terms, WaitTerms
from .ids import derived_id
from .outcome import NULL, Failure, Json, failure_of
from .pen import Pen
from .runs import Message, Parent, SignalReplaced
from .signals import Waiter, decode_waiter, deliver_signal, hold, signal_key
from .transition import DropKey, Key, Wait
from .tree import Step
from .values import encode
from .waits import where_expression

_ENCODE = msgspec.json.Encoder()
_UNKNOWN = object()


class Requests:
    """Answers with one pen."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen

    def answer(self, step: Step, questions: Questions) -> bool:
        """Request what a step asks for; False if something must be known first."""
        command = step.command
        if step.terms is not None:
            return self._time_out_signal(step, questions)
        match command:
            case Sleep():
                return self._request(step, SleepTerms(self._pen.at + command.duration))
            case SleepUntil():
                if command.until > self._pen.at + MAX_DURATION:
                    message = f"SleepUntil({step.name!r}): {moment(command.until)} is more than 366 days ahead"
                    return self._refuse(step, SleepTerms(command.until), Failure("DefinitionError", message))
                return self._request(step, SleepTerms(command.until))
            case WaitFor():
                return self._wait_for(step, command, questions)
            case WaitForSignal():
                return self._wait_for_signal(step, command, questions)
            case Invoke():
                return self._invoke(step, command, questions)
            case SendEvent():
                return self._send(step, command, questions)
            case _:
                return self._send_signal(step, command, questions)

    def _request(self, step: Step, terms: Terms) -> bool:
        self._pen.request(step, terms)
        return True

    def _refuse(self, step: Step, terms: Terms, failure: Failure) -> bool:
        """A request that fails at once: its request and its outcome stand side by side."""
        self._request(step, terms)
        self._pen.fail(step, failure)
        return True

    def _wait_for(self, step: Step, command: WaitFor[Any], questions: Questions) -> bool:
        after = self._after(step, command, questions)
        if after is None:
            return False
        trigger = event_document(self._pen.owned.events[-1])
        path = value = None
        if command.match is not None:
            path = command.match
            wanted = value_at(trigger, parse_path(path, "match"))
            if wanted is None:
                return self._refuse_match(step, command, after)
            value = match_key(wanted)
        scope = None
        if command.where is not None:
            scope = Json(_ENCODE.encode(where_expression(command.where).scope("event", trigger)))
        row = self._pen.owned.row
        wait_id = derived_id(row.id, "wait", self._pen.interpreter.life, step.id)
        expires_at = self._pen.at + command.timeout
        self._request(step, WaitTerms(wait_id, command.event, expires_at, after, path, value, command.where))
        self._pen.effect.open_waits.append(
            Wait(wait_id, row.app, row.id, step.id, command.event, after, expires_at, path, value, command.where, scope)
        )
        self._pen.owned.unlooked[step.id] = step
        return True

    def _refuse_match(self, step: Step, command: WaitFor[Any], after: int) -> bool:
        """Nothing equals nothing: every event that lacks the value would match, so the wait is a mistake."""
        message = f"match={command.match!r}: the event that started this run has no value there to match with"
        terms = WaitTerms("", command.event, self._pen.at, after, command.match)
        return self._refuse(step, terms, Failure("DefinitionError", message))

    def _after(self, step: Step, command: WaitFor[Any], questions: Questions) -> int | None:
        """The position after which a wait sees events (semantics: Steps); None: not known yet."""
        trigger = self._pen.owned.events[-1].position or 0
        since = command.since
        if since is None:
            previous = self._pen.interpreter.looks_after(step)
            return trigger if previous is None else previous
        if since == "start":
            return trigger
        before = None if since == "now" else since
        known = self._pen.facts.positions.get(before)
        if known is None:
            questions.positions.add(before)
        return known

    def _wait_for_signal(self, step: Step, command: WaitForSignal, questions: Questions) -> bool:
        row, name = self._pen.owned.row, signal_key(command.signal)
        held = self._known_key(row.app, name, questions)
        if held is _UNKNOWN:
            return False
        wait_id = derived_id(row.id, "wait", self._pen.interpreter.life, step.id)
        terms = SignalTerms(wait_id, command.signal, self._pen.at + command.timeout)
        waiter = Waiter(row.id, step.id, wait_id)
        if (other := self._waiter(held)) is not None:
            if command.on_conflict == "fail":
                message = f"run {other.run} waits for signal {command.signal!r} already"
                return self._refuse(step, terms, Failure("SignalConflict", message))
            body = SignalReplaced(other.wait, other.step, row.id)
            self._pen.effect.messages.append(Message(derived_id(wait_id, "replaces"), row.app, other.run, body))
        version = held.version if isinstance(held, Key) else 0
        self._pen.take_key(hold(row.app, command.signal, waiter, version))
        return self._request(step, terms)

    def _time_out_signal(self, step: Step, questions: Questions) -> bool:
        """Time is up for a signal: unless it is in the mailbox already, which the key tells."""
        terms = step.terms
        assert isinstance(terms, SignalTerms)
        row, name = self._pen.owned.row, signal_key(terms.signal)
        held = self._known_key(row.app, name, questions)
        if held is _UNKNOWN:
            return False
        if isinstance(held, Key) and held.holder == terms.wait:
            if decode_waiter(held).delivered:
                return True
            self._pen.effect.drop.append(DropKey(row.app, name, terms.wait, held.version))
        self._pen.succeed(step, NULL)
        return True

    def _send_signal(self, step: Step, command: SendSignal, questions: Questions) -> bool:
        row, name = self._pen.owned.row, signal_key(command.signal)
        held = self._known_key(row.app, name, questions)
        if held is _UNKNOWN:
            return False
        terms = SendSignalTerms(command.signal)
        waiter = self._waiter(held)
        if not isinstance(held, Key) or waiter is None:
            return self._refuse(step, terms, Failure("NoWaiter", f"nobody waits for signal {command.signal!r}"))
        data = encode(command.data, f"the data of signal {command.signal!r}")
        take, message = deliver_signal(
            row.app, held, waiter, data, derived_id(row.id, self._pen.interpreter.life, step.id)
        )
        self._pen.take_key(take)
        self._pen.effect.messages.append(message)
        self._request(step, terms)
        self._pen.succeed(step, NULL)
        return True

    def _waiter(self, held: Key | object | None) -> Waiter | None:
        """Who waits under the key of a signal: nobody once it was delivered, or is let go of in this transition."""
        if not isinstance(held, Key):
            return None
        if self._pen.effects is not None and any(held.holder == drop.holder for drop in self._pen.effects.drop):
            return None
        waiter = decode_waiter(held)
        return None if waiter.delivered else waiter

    def _send(self, step: Step, command: SendEvent, questions: Questions) -> bool:
        row = self._pen.owned.row
        try:
            events = [
                accept_event(event, derived_id(row.id, self._pen.interpreter.life, step.id, number), self._pen.at)
                for number, event in enumerate(command.events)
            ]
            acceptance = accept(events, self._pen.facts, self._pen.at)
        except (EventConflict, InvalidInput, UnserializableError) as error:
            return self._refuse(step, SendTerms(()), failure_of(error))
        if isinstance(acceptance, Questions):
            questions.add(acceptance)
            return False
        self._pen.effect.accept.extend(acceptance.accept)
        self._pen.let_in(acceptance.gate)
        for take in acceptance.take:
            self._pen.take_key(take)
        self._request(step, SendTerms(acceptance.ids))
        self._pen.succeed(step, Json(_ENCODE.encode(acceptance.ids)))
        return True

    def _invoke(self, step: Step, command: Invoke[Any], questions: Questions) -> bool:
        row = self._pen.owned.row
        app, _, workflow = command.workflow.rpartition("/")
        app = app or row.app
        child = derived_id(row.id, self._pen.interpreter.life, step.id)
        expires_at = self._pen.at + command.timeout if command.timeout is not None else None
        terms = InvokeTerms(app, workflow, child, expires_at, command.on_cancel)
        route = self._pen.facts.table.find(app, workflow)
        if route is None:
            message = f"no workflow {workflow!r} is registered in app {app!r}"
            return self._refuse(step, terms, Failure("NotFound", message))
        data = encode(command.data if command.data is not None else {}, f"the data of invoke {step.id!r}")
        gate = Gate(self._pen.facts, self._pen.at)
        event = direct_event(child, data, self._pen.at, cause=self._pen.owned.events[-1])
        admitted = gate.admit(Start(route, event, child, Parent(row.app, row.id, step.id, child)))
        if gate.questions:
            questions.add(gate.questions)
            return False
        self._pen.let_in(gate)
        if admitted.skipped is not None:
            return self._refuse(step, terms, Failure("RunSkipped", f"run {child} was skipped: {admitted.skipped}"))
        return self._request(step, terms)

    def _known_key(self, app: str, name: str, questions: Questions) -> Key | object | None:
        if (app, name) not in self._pen.facts.keys:
            questions.keys.add((app, name))
            return _UNKNOWN
        return self._pen.facts.keys[app, name]
