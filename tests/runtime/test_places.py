"""How many runs a worker has in hand: who has a place, who waits for one, and who gets none."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.places import Places


class Worker:
    """Runs that enter, wait for a place if there is none, and leave or stay when they are told to."""

    def __init__(self, most: int) -> None:
        self.driven: set[int] = set()
        self.given_back: set[int] = set()
        self.places = Places(most, self.driven)
        self.answers: dict[int, tuple[trio.Event, list[bool]]] = {}

    async def enter(self, run: int) -> None:
        """A run was claimed."""
        goes_on = not self.places.crowded
        if not goes_on:
            with self.places.waiting():
                goes_on = await self.places.become_free()
                if not goes_on:
                    await trio.sleep(0.001)  # until it is given back
        self.places.entered -= 1
        (self.driven if goes_on else self.given_back).add(run)

    async def leave(self, run: int) -> None:
        """A run is about to leave; whether it does is said by `answer`."""
        answered, leaves = self.answers[run] = trio.Event(), []
        with self.places.leaving():
            await answered.wait()
        if leaves[0]:
            self.driven.discard(run)
        del self.answers[run]

    def answer(self, run: int, leaves: bool) -> None:
        answered, answer = self.answers[run]
        answer.append(leaves)
        answered.set()


@given(st.integers(1, 4), st.data())
def test_never_more_go_on_than_there_are_places_and_none_waits_in_vain(most: int, data: st.DataObject) -> None:
    """Runs leave or stay in any order: for each that leaves one that waits goes on, for each that stays one is given
    back."""

    async def main() -> None:
        worker = Worker(most)
        worker.driven.update(range(most))
        async with trio.open_nursery() as nursery:
            leaving = data.draw(st.lists(st.sampled_from(range(most)), unique=True, min_size=1))
            for run in leaving:
                nursery.start_soon(worker.leave, run)
            await trio.testing.wait_all_tasks_blocked()
            assert worker.places.claimable == len(leaving)
            claimed = data.draw(st.integers(0, len(leaving)))
            worker.places.entered += claimed
            for run in range(most, most + claimed):
                nursery.start_soon(worker.enter, run)
            await trio.testing.wait_all_tasks_blocked()
            assert len(worker.driven) == most
            left = 0
            for run in data.draw(st.permutations(leaving)):
                leaves = data.draw(st.booleans())
                left += leaves
                worker.answer(run, leaves)
                await trio.testing.wait_all_tasks_blocked()
                assert len(worker.driven) == most - left + min(left, claimed)
        assert len(worker.given_back) == max(0, claimed - left)
        assert worker.places.claimable == worker.places.free == most - len(worker.driven)

    trio.run(main)


async def test_who_is_cancelled_as_it_waits_waits_no_more() -> None:
    """Its place is nobody's."""
    worker = Worker(1)
    worker.driven.add(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.leave, 0)
        await trio.testing.wait_all_tasks_blocked()
        worker.places.entered += 1
        with trio.move_on_after(0.01), worker.places.waiting():
            await worker.places.become_free()
        worker.places.entered -= 1
        worker.answer(0, leaves=True)
    assert worker.places.free == 1
    assert not worker.places.crowded
