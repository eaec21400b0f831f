"""What a simulation can be told to do beside sending events: start, cancel, signal and retry runs."""

from __future__ import annotations

from typing import Any

import attrs

from ..workflow import Workflow


@attrs.frozen
class Start:
    """Start a run directly: a workflow, or the id of one, on data. `run_id` is made up if not given."""

    workflow: Workflow[Any, Any] | str
    data: Any = None
    run_id: str | None = None


@attrs.frozen
class Cancel:
    """Ask the n-th run of a workflow (`"id"`) to end."""

    workflow_id: str
    n: int = 0
    reason: str = "cancelled by request"


@attrs.frozen
class Signal:
    """Give a signal to the run that waits for it."""

    name: str
    data: Any = None


@attrs.frozen
class Retry:
    """Let the n-th run of a workflow, which failed, go on from its failing point."""

    workflow_id: str
    n: int = 0


Action = Start | Cancel | Signal | Retry
