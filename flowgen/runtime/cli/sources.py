"""Trying code before it is put to work: import targets in a process of its own, and tell which files they came from.

`python -m flowgen.runtime.cli.sources TARGET…` is that process: it prints one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence

import attrs
import trio

from .faults import Fault
from .target import is_library, load_apps, relative


@attrs.frozen
class Trial:
    """What came of importing targets: the source files of the user's code, and what is wrong with it, if anything."""

    files: list[str]
    fault: str | None


async def try_targets(targets: Sequence[str]) -> Trial:
    """Import targets elsewhere. What their modules print is dropped: they print it again when they are at work."""
    command = [sys.executable, "-m", __name__, *targets]
    done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        return Trial([], f"the process that tried the code died with exit code {done.returncode}")
    document = json.loads(done.stdout)
    return Trial(document["files"], document["fault"])


def snapshot(files: Iterable[str]) -> dict[str, tuple[int, int] | None]:
    """What tells a file that changed from one that did not; None is one that is not there."""
    return {file: _state(file) for file in files}


def _state(file: str) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def loaded_sources() -> list[str]:
    """The source files of what is imported, but for libraries, flowgen and the standard library."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return sorted({relative(file) for file in files if file is not None and _is_source(file)})


def _is_source(file: str) -> bool:
    return file.endswith(".py") and os.path.isabs(file) and not is_library(file)


def main(targets: Sequence[str]) -> None:
    """Try targets, and print what came of it."""
    output = os.dup(1)
    os.dup2(2, 1)
    fault: str | None = None
    mentioned: list[str] = []
    try:
        load_apps(targets)
    except Fault as error:
        fault = error.message
        mentioned = _mentioned(targets, error.__cause__)
    files = sorted({*loaded_sources(), *mentioned})
    os.write(output, json.dumps({"files": files, "fault": fault}).encode())
    sys.stderr.flush()
    os._exit(0)


def _mentioned(targets: Sequence[str], error: BaseException | None) -> list[str]:
    """Files that were not imported, because they are what is wrong."""
    files = [target.partition(":")[0] for target in targets if ".py" in target]
    if isinstance(error, SyntaxError) and error.filename is not None and os.path.isabs(error.filename):
        files.append(relative(error.filename))
    traceback = error.__traceback__ if error is not None else None
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if _is_source(file):
            files.append(relative(file))
        traceback = traceback.tb_next
    return files


if __name__ == "__main__":
    main(sys.argv[1:])
