"""What a worker offers to drive: workflows, each with the digest of its code, and how much of them at a time.

An app elsewhere is given only its share of the runs in hand: one that answers slowly, or never, would else have all of
them in the end.

Refuses to know: which runs there are, and how they are claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Set
from typing import Any, Final

from ..admission import limits_of
from ..app import App
from ..routing import RouteTable
from ..runs import RunRow
from ..workflow import Workflow
from .digest import code_digest
from .driving.functions import is_remote, remote_digest

RunKey = tuple[str, str]
"""The app of a run or a workflow, and its id."""

SHARES: Final = 4
"""An app elsewhere that has one in so many of the runs that a worker may have in hand is given no more."""


class Offers:
    """The workflows of some apps, for a worker that has at most `max_runs` in hand.

    `digests` are those of the code that is offered, `limits` those of concurrency slots, and `finish` the limits for
    ends, in microseconds. `share` is how many runs apps elsewhere are given at once; `elsewhere` are their names, and
    `full` those that have their share.
    """

    def __init__(self, apps: Mapping[str, App], max_runs: int) -> None:
        self.share = max(1, max_runs // SHARES)
        self.full: Set[str] = frozenset()
        self._workflows: dict[RunKey, Workflow[Any, Any]] = {}
        self._digests: dict[RunKey, str] = {}
        self.renew(apps)

    def renew(self, apps: Mapping[str, App]) -> None:
        """Offer the workflows of these apps, and no others.

        Those that are not offered any more are still known to whoever drives their runs.
        """
        offered = {(app.name, workflow.id): workflow for app in apps.values() for workflow in app.workflows.values()}
        self._workflows.update(offered)
        self.digests = {key: _digest(workflow) for key, workflow in offered.items()}
        self._digests.update(self.digests)
        self.elsewhere = frozenset(app.name for app in apps.values() if is_remote(app))
        self.limits = {key: limits_of(workflow.policies) for key, workflow in offered.items()}
        self.finish = {
            key: workflow.policies.timeouts.finish
            for key, workflow in offered.items()
            if workflow.policies.timeouts is not None and workflow.policies.timeouts.finish is not None
        }

    def now(self, routes: RouteTable, in_hand: Collection[RunKey]) -> dict[RunKey, str]:
        """What is taken on at the moment: nothing of workflows that are paused, and of apps that are full."""
        if self.full or (self.elsewhere and len(in_hand) >= self.share):
            counts = Counter(app for app, _ in in_hand)
            self.full = {app for app in self.elsewhere if counts[app] >= self.share}
        paused, full = routes.paused, self.full
        if not paused and not full:
            return self.digests
        return {key: digest for key, digest in self.digests.items() if key not in paused and key[0] not in full}

    def digest_of(self, row: RunRow) -> str:
        """The digest of the code for a run."""
        return self._digests[row.app, row.workflow]

    def workflow_of(self, row: RunRow) -> Workflow[Any, Any]:
        """The workflow of a run."""
        return self._workflows[row.app, row.workflow]


def _digest(workflow: Workflow[Any, Any]) -> str:
    return code_digest(workflow) if workflow.declared is None else remote_digest(workflow)
