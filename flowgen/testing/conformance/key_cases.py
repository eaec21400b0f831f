"""Keys and cells: taken once, changed under the version that was seen."""

from __future__ import annotations

from ...runtime.store import Conflict, Duplicate
from ...transition import Cell, DropKey, Key, TakeKey, Transition
from .case import Collection
from .world import APP, EPOCH, SECOND, World, encoded

case = Collection()


async def _key(world: World, name: str = "k1", app: str = APP) -> Key:
    return (await world.raw.find_keys(app, [name]))[name]


@case
async def a_free_key_is_taken(world: World) -> None:
    """Taking a free key notes holder, detail and expiry; a free key is not reported."""
    await world.take("k1", "h1", detail="why", expires_at=EPOCH + 5)
    keys = await world.store.find_keys(APP, ["k1", "k2"])
    key = keys.pop("k1")
    world.expect("the key", (key.name, key.holder, key.detail, key.expires_at), ("k1", "h1", "why", EPOCH + 5))
    world.expect("nothing else", (keys, key.version > 0), ({}, True))


@case
async def a_held_key_is_not_taken(world: World) -> None:
    """Whoever saw it free is refused, its holder too, and told who has it."""
    await world.take("k1", "h1")
    await world.refuses(Duplicate("k1", "h1"), world.take("k1", "h2"))
    again = Transition("again", take=(TakeKey(APP, "k1", "h1"),))
    await world.refuses(Duplicate("k1", "h1"), world.store.commit(again))


@case
async def keys_are_kept_for_each_app(world: World) -> None:
    """A key of one app, or of the store, is none of another."""
    for app in (APP, "other", ""):
        await world.store.commit(Transition(f"for {app}", take=(TakeKey(app, "k1", f"h-{app}"),)))
    for app in (APP, "other", ""):
        world.expect(f"in {app!r}", (await _key(world, app=app)).holder, f"h-{app}")


@case
async def a_key_is_taken_over_under_its_version(world: World) -> None:
    """Who names the version that is there takes the key over; the version grows by one."""
    await world.take("k1", "h1")
    seen = (await _key(world)).version
    await world.take("k1", "h2", version=seen, detail="mine now")
    key = await _key(world)
    world.expect("the key", (key.holder, key.detail, key.version), ("h2", "mine now", seen + 1))
    await world.refuses(Conflict("version"), world.take("k1", "h3", version=seen))


@case
async def a_key_that_was_dropped_has_moved_on(world: World) -> None:
    """A version of a key that is free by now is a conflict."""
    await world.take("k1", "h1")
    seen = (await _key(world)).version
    await world.store.commit(Transition("drop", drop=(DropKey(APP, "k1", "h1"),)))
    await world.refuses(Conflict("version"), world.take("k1", "h2", version=seen))


@case
async def a_version_never_comes_back(world: World) -> None:
    """A key that was free in between has another version, so nobody takes over whom they did not see."""
    seen = []
    for number in range(3):
        await world.take("k1", f"h{number}")
        seen.append((await _key(world)).version)
        await world.take("k1", f"h{number}", version=seen[-1], detail="again")
        seen.append((await _key(world)).version)
        await world.store.commit(Transition(f"drop {number}", drop=(DropKey(APP, "k1", f"h{number}"),)))
    world.expect("versions grow", seen, sorted(set(seen)))


@case
async def an_expired_key_is_still_there(world: World) -> None:
    """The store does not judge expiry: the key is reported, and taken over only under its version."""
    await world.take("k1", "h1", expires_at=await world.now() + SECOND)
    world.pass_time(2 * SECOND)
    world.expect("the holder", (await _key(world)).holder, "h1")
    await world.refuses(Duplicate("k1", "h1"), world.take("k1", "h2"))
    await world.take("k1", "h2", version=(await _key(world)).version)


@case
async def only_its_holder_drops_a_key(world: World) -> None:
    """A drop by another, or of a free key, does nothing."""
    await world.take("k1", "h1")
    drops = (DropKey(APP, "k1", "h2"), DropKey("other", "k1", "h1"), DropKey(APP, "k2", "h1"))
    await world.unchanged(world.store.commit(Transition("drops", drop=drops)))
    await world.store.commit(Transition("drop", drop=(DropKey(APP, "k1", "h1"),)))
    world.expect("free", await world.store.find_keys(APP, ["k1"]), {})
    await world.take("k1", "h2")


@case
async def a_drop_may_name_a_version(world: World) -> None:
    """A drop with a version is refused when the key has moved on, or is free."""
    await world.take("k1", "h1")
    seen = (await _key(world)).version
    await world.take("k1", "h1", version=seen, detail="delivered")
    stale = Transition("stale", drop=(DropKey(APP, "k1", "h1", seen),))
    await world.refuses(Conflict("version"), world.store.commit(stale))
    await world.store.commit(Transition("right", drop=(DropKey(APP, "k1", "h1", seen + 1),)))
    world.expect("free", await world.store.find_keys(APP, ["k1"]), {})
    late = Transition("late", drop=(DropKey(APP, "k1", "h1", seen + 1),))
    await world.refuses(Conflict("version"), world.store.commit(late))


@case
async def a_key_changes_hands_in_one_commit(world: World) -> None:
    """A commit may take a key for a new holder and drop it for the old one: the new one has it."""
    await world.take("k1", "h1")
    take = TakeKey(APP, "k1", "h2", version=(await _key(world)).version)
    await world.store.commit(Transition("hand over", take=(take,), drop=(DropKey(APP, "k1", "h1"),)))
    world.expect("the holder", (await _key(world)).holder, "h2")


@case
async def a_key_is_taken_once_in_a_transition(world: World) -> None:
    """Of two who want a free key in one transition, the first is told to the second."""
    both = (TakeKey(APP, "k1", "h1"), TakeKey(APP, "k1", "h2"))
    await world.refuses(Duplicate("k1", "h1"), world.store.commit(Transition("both", take=both)))


@case
async def a_cell_is_written_and_read(world: World) -> None:
    """A cell keeps its value and expiry; one that was never written is absent; apps are apart."""
    cell = Cell(APP, "c1", 0, encoded({"count": 1}), EPOCH * 2)
    await world.store.commit(Transition("t", cells=(cell,)))
    cells = await world.store.cells(APP, ["c1", "c2"])
    kept = cells.pop("c1")
    world.expect("the cell", (kept.app, kept.name, kept.value, kept.expires_at), (APP, "c1", cell.value, EPOCH * 2))
    world.expect("nothing else", (cells, kept.version > 0), ({}, True))
    world.expect("in another app", await world.store.cells("other", ["c1"]), {})


@case
async def a_cell_is_changed_under_its_version(world: World) -> None:
    """Writers that saw an older version, or none, are refused; versions grow."""
    await world.store.commit(Transition("t0", cells=(Cell(APP, "c1", 0, encoded(0)),)))
    seen = (await world.raw.cells(APP, ["c1"]))["c1"].version
    await world.store.commit(Transition("t1", cells=(Cell(APP, "c1", seen, encoded(1)),)))
    world.expect("the version", (await world.raw.cells(APP, ["c1"]))["c1"].version, seen + 1)
    for version in (seen, 0, seen + 7):
        write = Transition("t2", cells=(Cell(APP, "c1", version, encoded(2)),))
        await world.refuses(Conflict("version"), world.store.commit(write))


@case
async def an_expired_cell_is_absent(world: World) -> None:
    """From its expiry on a cell is not there; who saw that may write it, who saw the old one may not."""
    cell = Cell(APP, "c1", 0, encoded(0), await world.now() + SECOND)
    await world.store.commit(Transition("t0", cells=(cell,)))
    seen = (await world.raw.cells(APP, ["c1"]))["c1"].version
    world.pass_time(SECOND)
    world.expect("absent", await world.store.cells(APP, ["c1"]), {})
    stale = Transition("t1", cells=(Cell(APP, "c1", seen, encoded(1)),))
    await world.refuses(Conflict("version"), world.store.commit(stale))
    await world.store.commit(Transition("t2", cells=(Cell(APP, "c1", 0, encoded(2)),)))
    world.expect("a version of its own", (await world.raw.cells(APP, ["c1"]))["c1"].version > seen, True)
    await world.refuses(Conflict("version"), world.store.commit(stale))


@case
async def writing_no_value_removes_a_cell(world: World) -> None:
    """A cell without a value is absent, and is written anew from version 0."""
    await world.store.commit(Transition("t0", cells=(Cell(APP, "c1", 0, encoded(0)),)))
    seen = (await world.raw.cells(APP, ["c1"]))["c1"].version
    await world.store.commit(Transition("t1", cells=(Cell(APP, "c1", seen, None),)))
    world.expect("absent", await world.store.cells(APP, ["c1"]), {})
    await world.store.commit(Transition("t2", cells=(Cell(APP, "c1", 0, encoded(2)),)))
    world.expect("a version of its own", (await world.raw.cells(APP, ["c1"]))["c1"].version > seen, True)


@case
async def a_cell_is_written_once_in_a_transition(world: World) -> None:
    """Two writes of a cell in one transition are refused: the second did not see the first."""
    both = (Cell(APP, "c1", 0, encoded(1)), Cell(APP, "c1", 0, encoded(2)))
    await world.refuses(Conflict("version"), world.store.commit(Transition("both", cells=both)))
