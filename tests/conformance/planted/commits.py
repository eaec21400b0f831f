"""Bugs that somebody could write into a store: what a commit looks at, what it changes, and how it is known again."""

from __future__ import annotations

from .bug import Bug, bug

BUGS = (
    bug(
        "the fence is ignored",
        "commits",
        "row.fence != progress.fence or (row.owner is None) != progress.reopen",
        "(row.owner is None) != progress.reopen",
        "a zombie cannot append records",
        "a zombie cannot send events",
        "a stale fence changes nothing",
        "take overs leave one history",
    ),
    bug(
        "the fence alone decides, though the run was given back",
        "commits",
        "row.fence != progress.fence or (row.owner is None) != progress.reopen",
        "row.fence != progress.fence",
        "nothing is written after the release",
        "nothing is written after the end",
        "an open run is not reopened",
    ),
    bug(
        "the fence does not grow",
        "ownership",
        "row.fence + 1",
        "row.fence or 1",
        "the fence grows with each claim",
        "a zombie cannot append records",
    ),
    Bug(
        "half a transition is applied before it is refused",
        ("a message to an ended run changes nothing",),
        (
            ("commits", "if message.must_be_open and (run is None or not run.row.open):", "if False:"),
            (
                "commits",
                "    if run is None or not run.row.open or message.id in run.seen:\n        return",
                "    if message.must_be_open and not (run and run.row.open):\n"
                "        raise RunEnded(message.run, run.row.stored if run else None)\n"
                "    if run is None or not run.row.open or message.id in run.seen:\n        return",
            ),
        ),
    ),
    bug(
        "a refused acceptance uses up a position",
        "commits",
        "    if transition.progress is not None:\n        _check_progress(state, transition.progress)\n    if not",
        "    state.events.last += len(transition.accept)\n"
        "    if transition.progress is not None:\n        _check_progress(state, transition.progress)\n    if not",
        "a zombie cannot send events",
        "an existing event changes nothing",
    ),
    bug(
        "a repeated progress is not recognised",
        "commits",
        "return written and run.fences[progress.position] == progress.fence",
        "return False",
        "a repeated progress changes nothing",
        "a repeated end changes nothing",
        "a repeat succeeds after a take over",
        "the same commit many times at once is one",
    ),
    bug(
        "a progress is recognised by its position alone",
        "commits",
        "return written and run.fences[progress.position] == progress.fence",
        "return written",
        "positions must fit",
    ),
    bug(
        "a repeated release is not recognised",
        "commits",
        "return gave_up and _releases(progress)",
        "return False",
        "a repeated release changes nothing",
        "a repeated parking changes nothing",
    ),
    bug(
        "a creation is recognised by the run's id alone",
        "commits",
        "return run is not None and run.created_by == transition.id",
        "return run is not None",
        "another creation of a run is a duplicate",
    ),
    bug(
        "messages that were put once end a page of them",
        "commits",
        "        return run is not None and run.created_by == transition.id\n    return False",
        "        return run is not None and run.created_by == transition.id\n    return _delivered(state, transition)",
        "pages of two routers complete one another",
    ),
    bug(
        "a repeated signal takes its key again",
        "commits",
        "return run is not None and first.id in run.seen",
        "return False",
        "a repeated signal changes nothing",
    ),
    bug(
        "the order of checks is another",
        "commits",
        "        _check_versions(state, transition, now)\n        _check_free(state, transition)",
        "        _check_free(state, transition)\n        _check_versions(state, transition, now)",
        "a key that moved on is told before a held key",
        "a cell that moved on is told before an existing run",
    ),
    bug(
        "a run ends beside an unread cancel",
        "commits",
        "if progress.stored in TERMINAL and row.cancel > max(row.drained, progress.drained):",
        "if False:",
        "an accepted cancel beats every end",
        "a cancel or an end wins",
    ),
    bug(
        "a cancel that this very commit drains stops the end",
        "commits",
        "row.cancel > max(row.drained, progress.drained)",
        "row.cancel > row.drained",
        "an accepted cancel beats every end",
    ),
    bug(
        "any position will do",
        "commits",
        "if progress.position != row.length:",
        "if False:",
        "positions must fit",
        "a wrong position changes nothing",
    ),
    bug(
        "a refusal ends many commits",
        "store",
        "            except Refused as refused:\n                answers.append(refused)",
        "            except Refused as refused:\n                answers.append(refused)\n                break",
        "each of many commits has its answer",
        "a refusal among many commits changes nothing",
    ),
    bug(
        "a refusal among many is raised",
        "store",
        "            except Refused as refused:\n                answers.append(refused)",
        "            except Refused as refused:\n                raise refused",
        "each of many commits has its answer",
        "many commits may be repeated",
    ),
    bug(
        "many commits are in another order",
        "store",
        "        answers: list[Committed | Refused] = []\n        for transition in transitions:",
        "        answers: list[Committed | Refused] = []\n        for transition in reversed(transitions):",
        "many commits are in their order",
    ),
)  # fmt: skip
