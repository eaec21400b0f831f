"""Stages for the tests: one for each app and worker process, started when the first test needs it."""

from __future__ import annotations

from collections.abc import Iterator

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on one stage stand side by side, so that not each worker process starts all stages."""
    shared = [number for number, item in enumerate(items) if _label(item) is not None]
    ordered = sorted((items[number] for number in shared), key=lambda item: list(KINDS).index(_label(item) or ""))
    for number, item in zip(shared, ordered, strict=True):
        items[number] = item


def _label(item: pytest.Item) -> str | None:
    """Which of the shared stages a test is on."""
    values = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return next((str(values[name]) for name in ("stage", "node_stage", "python_stage") if name in values), None)
