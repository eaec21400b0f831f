"""Stages for the tests: one for each app and worker process, started when the first test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.stage import KINDS, Stage, missing


def need(label: str) -> None:
    """Skip what cannot run here, and say why."""
    reason = missing(KINDS[label])
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    running: dict[str, Stage] = {}
    yield _Lazy(running, tmp_path_factory)
    for stage in running.values():
        stage.close()


class _Lazy(dict[str, Stage]):
    """Stages by label, each started when it is first asked for."""

    def __init__(self, running: dict[str, Stage], directories: pytest.TempPathFactory) -> None:
        self._running, self._directories = running, directories

    def __getitem__(self, label: str) -> Stage:
        if label not in self._running:
            stage = Stage(KINDS[label], self._directories.mktemp(label))
            try:
                stage.start()
            except BaseException:
                stage.close()
                raise
            self._running[label] = stage
        return self._running[label]


@pytest.fixture(params=list(KINDS))
def stage(request: pytest.FixtureRequest, stages: dict[str, Stage]) -> Stage:
    """Each app in turn, with its server."""
    need(request.param)
    return stages[request.param]


@pytest.fixture(params=[label for label in KINDS if label.startswith("ts")])
def node_stage(request: pytest.FixtureRequest, stages: dict[str, Stage]) -> Stage:
    """The apps of the TypeScript SDK in turn."""
    need(request.param)
    return stages[request.param]


@pytest.fixture(params=[label for label in KINDS if not label.startswith("ts")])
def python_stage(request: pytest.FixtureRequest, stages: dict[str, Stage]) -> Stage:
    """The apps of the Python SDK in turn."""
    need(request.param)
    return stages[request.param]


@pytest.fixture(params=["fastapi", "ts"])
def fragile(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage of its own, to kill."""
    need(request.param)
    stage = Stage(KINDS[request.param], tmp_path)
    try:
        stage.start()
        yield stage
    finally:
        stage.close()
