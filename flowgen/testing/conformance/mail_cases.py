"""Mailboxes: each message once, none lost, and no message steals a lease."""

from __future__ import annotations

from ...runs import CancelRequested, Message
from ...runtime.store import Conflict, Lease, RunEnded
from ...transition import Transition
from .case import Collection
from .world import APP, LEASE, MINUTE, SECOND, World, cancelled, completed, done, failed, result, started

case = Collection()


@case
async def messages_are_numbered_and_in_order(world: World) -> None:
    """A mailbox gives its unread messages in the order in which they came, numbered from 1."""
    await world.create()
    for id in ("m2", "m1", "m3"):
        await world.tell("r1", id)
    loaded = await world.store.load(APP, "r1")
    got = [(mail.number, mail.message.id) for mail in loaded.mail]
    world.expect("mail", got, [(1, "m2"), (2, "m1"), (3, "m3")])
    world.expect("the row's count", loaded.row.mail, 3)


@case
async def a_message_is_read_back_as_it_was_put(world: World) -> None:
    """All of a message survives: its body with the event inside, and that it needed an open run."""
    await world.create()
    message = Message("m1", APP, "r1", CancelRequested("enough of \u00e9"), must_be_open=True)
    await world.store.commit(Transition("t", messages=(message,)))
    loaded = await world.store.load(APP, "r1")
    world.expect("the message", [mail.message for mail in loaded.mail], [message])


@case
async def a_message_is_put_once(world: World) -> None:
    """However often a message id is delivered, it is one message: by other transitions, too."""
    await world.create()
    await world.tell("r1", "m1")
    again = (Message("m1", APP, "r1", result()), Message("m1", APP, "r1", result()))
    await world.unchanged(world.store.commit(Transition("another", messages=again)))
    await world.tell("r1", "m2")
    world.expect("mail", await world.mail(await world.row()), ["m1", "m2"])


@case
async def a_drained_message_is_not_put_again(world: World) -> None:
    """Message ids are remembered while the run is open, after the message was drained, too."""
    row = await world.own()
    await world.tell("r1", "m1")
    await world.write(row, started(), drained=1)
    await world.unchanged(world.tell("r1", "m1"))
    await world.write(row, done(), release=True, due_at=None)
    await world.unchanged(world.tell("r1", "m1"))


@case
async def one_id_in_two_mailboxes_is_two_messages(world: World) -> None:
    """Message ids are each mailbox's own."""
    await world.create("r1")
    await world.create("r2")
    await world.create("r1", app="other")
    for app, run in ((APP, "r1"), (APP, "r2"), ("other", "r1")):
        await world.store.commit(Transition(f"{app}/{run}", messages=(Message("m1", app, run, result()),)))
    for app, run in ((APP, "r1"), (APP, "r2"), ("other", "r1")):
        world.expect(f"mail of {app}/{run}", await world.mail(await world.row(run, app=app)), ["m1"])


@case
async def draining_removes_messages(world: World) -> None:
    """A progress that drains up to a number leaves what came after; draining never goes back."""
    row = await world.own()
    for id in ("m1", "m2", "m3"):
        await world.tell("r1", id)
    await world.write(row, started(), drained=2)
    world.expect("mail", await world.mail(row), ["m3"])
    await world.write(row, done(), drained=1)
    kept = await world.fresh(row)
    world.expect("mail and drained", (await world.mail(row), kept.mail, kept.drained), (["m3"], 3, 2))


@case
async def a_message_wakes_a_waiting_run(world: World) -> None:
    """A message makes a run due that nobody owns: a later due time, or none, becomes now."""
    world.needs_clock()
    await world.create("r1", due_at=None)
    await world.create("r2", due_at=await world.now() + MINUTE)
    world.expect("nothing is due", await world.claimed(), [])
    await world.tell("r1", "m1")
    await world.tell("r2", "m2")
    for run in ("r1", "r2"):
        world.expect(f"{run} is due now", (await world.fresh(await world.row(run))).due_at, await world.now())
    world.expect("both are claimed", await world.claimed(), ["r1", "r2"])


@case
async def a_message_does_not_delay_a_due_run(world: World) -> None:
    """A run that has been due for long keeps its place when mail comes."""
    row = await world.create("r1", due_at=await world.now() - MINUTE)
    await world.tell("r1", "m1")
    world.expect("due_at", (await world.fresh(row)).due_at, row.due_at)


@case
async def a_message_does_not_touch_a_lease(world: World) -> None:
    """While a run is owned its due time is the lease's end, whatever arrives; the owner sees the count."""
    row = await world.own()
    await world.tell("r1", "m1")
    await world.cancel("r1")
    kept = await world.fresh(row)
    world.expect("due_at, owner, fence", (kept.due_at, kept.owner, kept.fence), (row.due_at, "w1", 1))
    world.expect("nobody else gets it", await world.claimed("w2"), [])
    world.expect("commit tells", (await world.write(row, started())).mail, 2)
    extended = await world.store.extend("w1", [Lease(APP, "r1", 1)], LEASE)
    world.expect("extend tells", extended.mail, (2,))


@case
async def a_release_with_unread_mail_is_due_now(world: World) -> None:
    """A run given back with mail that its records do not account for is due at once."""
    world.needs_clock()
    row = await world.own()
    await world.tell("r1", "m1")
    await world.tell("r1", "m2")
    await world.write(row, started(), drained=1, release=True, due_at=await world.now() + MINUTE)
    world.expect("due_at", (await world.fresh(row)).due_at, await world.now())
    world.expect("it is claimed again", await world.claimed("w2"), ["r1"])


@case
async def a_release_with_all_mail_drained_is_due_as_said(world: World) -> None:
    """A run given back with its mail drained is due when its owner says, or never."""
    row = await world.own()
    await world.tell("r1", "m1")
    later = await world.now() + MINUTE
    await world.write(row, started(), drained=1, release=True, due_at=later)
    world.expect("due_at", (await world.fresh(row)).due_at, later)
    world.expect("it is not claimed", await world.claimed("w2"), [])
    other = await world.own("r2")
    await world.write(other, started(), release=True, due_at=None)
    world.expect("due_at", (await world.fresh(other)).due_at, None)


@case
async def a_release_sees_the_mail_of_its_own_commit(world: World) -> None:
    """A message to itself in the commit that gives the run back makes it due."""
    world.needs_clock()
    row = await world.own()
    message = Message("m1", APP, "r1", result())
    await world.write(row, started(), release=True, due_at=None, messages=(message,))
    world.expect("due_at", (await world.fresh(row)).due_at, await world.now())


@case
async def a_cancel_is_noted_on_the_row(world: World) -> None:
    """The row names the first unread cancel among the messages; drained, a later one is named."""
    row = await world.own()
    await world.tell("r1", "m1")
    await world.cancel("r1", "c1")
    await world.cancel("r1", "c2")
    kept = await world.fresh(row)
    world.expect("the first cancel", (kept.cancel, kept.unread_cancel), (2, True))
    await world.write(row, started(), drained=3)
    world.expect("none unread", (await world.fresh(row)).unread_cancel, False)
    await world.cancel("r1", "c3")
    kept = await world.fresh(row)
    world.expect("the next cancel", (kept.cancel, kept.unread_cancel), (4, True))


@case
async def an_accepted_cancel_beats_every_end(world: World) -> None:
    """No terminal state is committed while a cancel is unread; draining it lifts that."""
    row = await world.own()
    await world.cancel()
    ends = (("completed", completed()), ("failed", failed()), ("cancelled", cancelled()))
    for stored, end in ends:
        transition = world.progress(row, started(), end, stored=stored)
        await world.refuses(Conflict("cancel"), world.store.commit(transition))
    await world.write(row, started(), cancelled(), stored="cancelled", drained=1)
    world.expect("stored", (await world.fresh(row)).stored, "cancelled")


@case
async def an_unread_cancel_does_not_stop_other_progress(world: World) -> None:
    """Records, a release and parking go through beside an unread cancel."""
    row = await world.own()
    await world.cancel()
    await world.write(row, started())
    await world.write(row, done(), stored="parked", digest="code-1")
    world.expect("stored", (await world.fresh(row)).stored, "parked")


@case
async def other_unread_mail_does_not_stop_an_end(world: World) -> None:
    """A run may end with mail unread: nobody will read it."""
    row = await world.own()
    await world.tell("r1", "m1")
    await world.write(row, started(), completed(), stored="completed")
    world.expect("mail", await world.mail(row), [])


@case
async def a_message_to_an_ended_run_is_dropped(world: World) -> None:
    """It counts as delivered and changes nothing; so does one to a run that is not there."""
    row = await world.own()
    await world.write(row, started(), completed(), stored="completed")
    await world.unchanged(world.tell("r1", "m1"))
    await world.unchanged(world.tell("ghost", "m1"))


@case
async def a_message_that_needs_an_open_run_says_why_not(world: World) -> None:
    """A cancel of an ended run is refused with its state, of an unknown run with none."""
    row = await world.own()
    await world.write(row, started(), failed(), stored="failed")
    await world.refuses(RunEnded("r1", "failed"), world.cancel("r1"))
    await world.refuses(RunEnded("ghost", None), world.cancel("ghost"))


@case
async def a_reopened_run_starts_with_an_empty_mailbox(world: World) -> None:
    """Mail that was unread at the end is gone; a release after reopening does not wait for it."""
    row = await world.own()
    await world.tell("r1", "m1")
    await world.write(row, started(), failed(), stored="failed")
    later = await world.now() + SECOND
    await world.write(row, done("retried"), reopen=True, due_at=later)
    kept = await world.fresh(row)
    world.expect("mail, and due as said", (await world.mail(row), kept.due_at), ([], later))


@case
async def a_message_to_a_parked_run_waits(world: World) -> None:
    """Mail reaches a parked run and does not change for whom it is due."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    await world.tell("r1", "m1")
    world.expect("mail", await world.mail(row), ["m1"])
    world.expect("not for the same code", await world.claimed("w1"), [])
    other = await world.claimed("w2", offers={(APP, "fulfil"): "code-2"})
    world.expect("for other code", other, ["r1"])
