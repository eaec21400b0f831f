"""The environment variables of flowgen, and those that were meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from .faults import Fault

VARIABLES: Final = (
    "FLOWGEN_APP_HOSTS",
    "FLOWGEN_AUTH_TOKEN",
    "FLOWGEN_DB",
    "FLOWGEN_EVENT_KEY",
    "FLOWGEN_HOSTS",
    "FLOWGEN_SIGNING_KEY",
    "FLOWGEN_SILENCE",
    "FLOWGEN_TRACEBACK",
    "FLOWGEN_URL",
)


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise a `Fault` for a variable that is nearly one of ours: a key that is misspelt must not be no key.

    Others that begin with `FLOWGEN_` are left alone: a cluster makes some for each service that is called flowgen.
    """
    for name in sorted(environment):
        if name.startswith("FLOWGEN_") and name not in VARIABLES:
            near = difflib.get_close_matches(name, VARIABLES, 1, 0.85)
            if near:
                raise Fault("environment", f"{name} is set, and means nothing: did you mean {near[0]}?")
