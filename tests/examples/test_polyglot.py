"""The polyglot example, run: three SDKs under one server, and a courier that is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.stage import KINDS, missing, modules_of_node

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def modules() -> str:
    """Where node finds the TypeScript SDK."""
    for kind in KINDS.values():
        reason = missing(kind)
        if reason is not None:
            pytest.skip(reason)
    return str(modules_of_node())


def test_the_demo(modules: str) -> None:
    """It ends with 0, and tells what each of the three apps did, and that everything holds."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), str(ROOT)]),
        "NODE_PATH": modules,
    }
    command = [sys.executable, "-m", "polyglot.demo"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    for part in ("warehouse/pack", "courier/deliver", "shop/insure", "shop/reorder", "drive → None", "All of it holds"):
        assert part in told, told
