"""The benchmark command, and that its workloads look at what they measure."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from bench import replay, run
from bench.catalogue import CATALOGUE, Workload
from bench.many import check_history
from bench.peers import PEERS, Peer, prepare
from bench.timing import WrongResult
from flowgen.history import EndCompleted, Record, Started, StepSucceeded
from flowgen.interpreter import Interpreter
from flowgen.outcome import NULL, Json

EACH_KIND = [
    "W1 async",
    "W1m sync",
    "W1c async",
    "W2 sync",
    "W3 async",
    "W4 async",
    "W5 async",
    "W6 batches",
    "W7 typed",
    "W7 sqlite",
    "W8 memory",
    "W9 sqlite",
    "W10 one",
    "W10 hundred",
    "W11 spread-memory",
    "W12 keys-memory",
    "W12 priority-memory",
    "W13 sqlite",
]


@pytest.mark.parametrize("only", EACH_KIND)
def test_each_workload_runs_and_is_right(only: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Small, in a process of its own, and with a result that was checked: each has all its figures."""
    target = tmp_path / "figures.json"
    assert run.main(["--quick", "--no-peers", "--only", only, "--json", str(target)]) == 0
    written = json.loads(target.read_text())
    (one,) = written["series"]
    (workload,) = [workload for workload in CATALOGUE if workload.name == only]
    assert one["failures"] == []
    assert set(one["samples"][0]["measures"]) == {measure.name for measure in workload.measures}
    assert only in capsys.readouterr().out


def test_bad_arguments_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown workload ends with 2 and names the known ones."""
    assert run.main(["--only", "W99"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as refused:
        run.main(["--rounds", "0"])
    assert refused.value.code == 2


def test_a_broken_workload_fails_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that ends badly is a failure with its last line, and the exit code is 1."""
    broken = Workload("W0", "async", "nothing", "no such module", CATALOGUE[0].measures)
    monkeypatch.setattr(run, "select", lambda only: [broken])
    assert run.main(["--quick", "--no-peers", "--json", str(tmp_path / "figures.json")]) == 1
    (one,) = json.loads((tmp_path / "figures.json").read_text())["series"]
    assert "there is no workload W0 async" in one["failures"][0]


def test_a_history_with_a_step_too_many_is_found() -> None:
    """The check of W1 and W5 sees a step that is recorded twice, and one that is missing."""
    outcomes = [StepSucceeded(0, f"step:{n}" if n else "step", Json(b"1")) for n in range(10)]
    history: list[Record] = [Started(0, "d"), *outcomes, EndCompleted(0, Json(b"10"))]
    check_history(history)
    with pytest.raises(WrongResult, match="the steps of a history"):
        check_history([*history[:2], history[1], *history[3:]])
    with pytest.raises(WrongResult, match="a history is"):
        check_history(history[:-2] + history[-1:])


def test_a_replay_that_ignores_fingerprints_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Planted bug: an interpreter that compares no fingerprints does not get a figure."""
    original = Interpreter.replay

    def careless(self: Interpreter, history: Any) -> None:
        original(
            self, [attrs.evolve(r, digest="", arguments=NULL) if isinstance(r, StepSucceeded) else r for r in history]
        )

    monkeypatch.setattr(Interpreter, "replay", careless)
    (workload,) = [workload for workload in CATALOGUE if workload.name == "W7 json"]
    with pytest.raises(WrongResult, match="other arguments"):
        replay.sample(workload, tmp_path, quick=True)


def test_a_peer_that_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    """Each version leaves a mark in its virtualenv; what needs a server is named as absent."""
    for peer in PEERS:
        (tmp_path / peer.name).mkdir()
        (tmp_path / peer.name / f".installed-{peer.version}").touch()
    said: list[str] = []
    present, absent = prepare(tmp_path, said.append)
    assert (present, said) == (list(PEERS), [])
    assert all("server" in why for _, why in absent)


def test_a_peer_that_cannot_be_installed_is_absent_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever goes wrong with a virtualenv or pip is one line, not the end of the benchmark."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("bench.peers.venv.create", refuse)
    monkeypatch.setattr("bench.peers.PEERS", (Peer("nobody", "1.0", ()),))
    present, absent = prepare(tmp_path, lambda text: None)
    assert present == []
    assert ("nobody", "cannot be installed: OSError") in absent
