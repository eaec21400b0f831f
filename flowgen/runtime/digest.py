"""The digest of a workflow's code: it decides only when a parked run is worth another try.

It covers the source of all modules of the workflow's top-level package, for a module without a package that
of all modules in its directory, and the app's version. Too broad is harmless, too narrow would be a bug:
what else decides how the code behaves belongs into `App(version=…)`.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..workflow import Workflow


def code_digest(workflow: Workflow[Any, Any]) -> str:
    """The digest of the code that `workflow` runs on today."""
    module = sys.modules.get(workflow.fn.__module__)
    source = _package_source(workflow.fn.__module__.partition(".")[0]) if module is not None else None
    if source is None:
        code = workflow.fn.__code__
        source = blake2b(code.co_code + repr(code.co_consts).encode()).hexdigest()
    return blake2b(f"{source}\x00{workflow.version}".encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=256)
def _package_source(name: str) -> str | None:
    """A digest of all source files of a top-level package or module; None if it has none."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    path = Path(file)
    files = sorted(path.parent.rglob("*.py") if path.name == "__init__.py" else path.parent.glob("*.py"))
    state = blake2b()
    for each in files:
        state.update(f"{each.relative_to(path.parent)}\x00".encode())
        state.update(each.read_bytes())
    return state.hexdigest()
