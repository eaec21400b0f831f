"""One sample in a process of its own: `python -m bench.child W1 async DIRECTORY [--quick]`.

Prints the sample as the last line of standard output. Ends with 1 and a message on standard error if
the workload's result was wrong.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench.catalogue import find
from bench.timing import Sample, WrongResult


def main(arguments: list[str]) -> int:
    """Make the sample of the workload that the arguments name."""
    workload = find(*arguments[:2])
    module = importlib.import_module(f"bench.{workload.module}")
    try:
        sample: Sample = module.sample(workload, Path(arguments[2]), "--quick" in arguments)
    except WrongResult as wrong:
        print(f"{workload.name}: wrong result: {wrong}", file=sys.stderr)
        return 1
    print(sample.line())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
