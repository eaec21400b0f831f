"""Flow control's seam: today every run is admitted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowgen import Event
from flowgen.admission import Start, admit
from flowgen.events import accept_event
from tests.bodies import START


@given(st.sampled_from(["order/placed", "a", "flowgen/run.failed"]), st.integers(-5, 5))
def test_every_run_is_admitted(name: str, seconds: int) -> None:
    """No policy is accepted yet, so nothing is delayed, collected or skipped, whatever the event."""
    assert admit(accept_event(Event(name, {"n": seconds}), "e1", START + seconds)) == Start()
