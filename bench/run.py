"""The benchmark: `make bench`, or `python bench/run.py [--only W1,W3] [--quick] [--json FILE] [--no-peers]`.

Each sample is made in a process of its own on a fresh file. All contenders of a workload are measured
in turns, round after round (peers, which take longer, in every other one), so that a slow minute of the
machine meets all of them; the table shows the median of the rounds. A workload whose result was wrong
counts as failed, whatever its time was.

Ends with 1 if one of our workloads failed, 0 otherwise: a missed budget is in the table, because a
verdict on a busy machine means nothing. 2 for bad arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bench.catalogue import CATALOGUE, Workload, select  # noqa: E402 (the path has to be set first)
from bench.peers import Peer, prepare  # noqa: E402
from bench.report import OURS, Series, document, failed, markdown, missed, rows  # noqa: E402
from bench.timing import Sample, call_nanoseconds  # noqa: E402

ROUNDS = 5
PEERS_EVERY = 2
SAMPLE_SECONDS = 400
"""A million finished runs take a while to make."""
BUSY = 0.5
RESULTS = ROOT / "bench" / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    options = _options(arguments)
    try:
        workloads = select(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    about = _about(options)
    print(_opening(about), flush=True)
    peers, absent = ([], []) if options.no_peers else prepare(ROOT / ".venv-peers", print)
    series = list(_plan(workloads, peers))
    for number in range(options.rounds):
        for each in series:
            if each.who == OURS or number % PEERS_EVERY == 0:
                _measure(each, options.quick, f"round {number + 1}/{options.rounds}")
    about |= {"load_after": os.getloadavg()[0], "peers": {p.name: p.version for p in peers}, "absent_peers": absent}
    table = rows(series)
    print(f"\n{markdown(table)}\n")
    print("\n".join(_closing(about, len(missed(table)))))
    _write(options.json, document(table, series, about))
    return 1 if failed(series) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    ids = ", ".join(dict.fromkeys(workload.id for workload in CATALOGUE))
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Measure flowgen beside its limits and peers.")
    parser.add_argument("--only", metavar="W1,W3", help=f"measure only these workloads, of {ids}")
    parser.add_argument("--quick", action="store_true", help="one round of small sizes: shows that it works, no more")
    parser.add_argument("--rounds", type=int, help=f"samples of each workload (default {ROUNDS}, quick 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures (default bench/results/)")
    parser.add_argument("--no-peers", action="store_true", help="measure flowgen only")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 1 if options.quick else ROUNDS
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least one round is needed")
    return options


def _plan(workloads: Sequence[Workload], peers: Sequence[Peer]) -> Iterator[Series]:
    """In which order a round measures: each workload of ours, and right after it the peers'."""
    for workload in workloads:
        yield Series(workload, OURS)
        if workload.peers:
            yield from (Series(workload, peer.name) for peer in peers if workload.name in peer.workloads)


# -- one sample ---------------------------------------------------------------------------------------


def _measure(series: Series, quick: bool, where: str) -> None:
    """Add a sample to the series, or what went wrong. A peer that failed once is not asked again."""
    if series.failures and series.who != OURS:
        return
    print(f"{where}  {series.workload.name:<12} {series.who}", file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=RESULTS, prefix="sample-"))
    try:
        outcome = _child(series, directory, quick)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if isinstance(outcome, Sample):
        series.samples.append(outcome)
    else:
        print(f"    failed: {outcome}", file=sys.stderr, flush=True)
        series.failures.append(outcome)


def _child(series: Series, directory: Path, quick: bool) -> Sample | str:
    """Run one sample in a process of its own; a text says why there is none."""
    workload = series.workload
    command = [*_command(series.who), workload.id, workload.variant, str(directory), *(["--quick"] if quick else [])]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        printed, errors = child.communicate(timeout=SAMPLE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it did not end within {SAMPLE_SECONDS} s"
    finally:
        _end_session(child)
    if child.returncode != 0:
        lines = errors.strip().splitlines()
        return lines[-1] if lines else f"it ended with {child.returncode}"
    return Sample.read(printed.strip().splitlines()[-1])


def _end_session(child: subprocess.Popen[str]) -> None:
    """End what the child left behind: it may have been stopped with a process of its own running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _command(who: str) -> list[str]:
    if who == OURS:
        return [sys.executable, "-m", "bench.child"]
    return [str(ROOT / ".venv-peers" / who / "bin" / "python"), "-m", f"bench.peers.{who}_peer"]


# -- what the run was ---------------------------------------------------------------------------------


def _about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "quick": options.quick,
        "rounds": options.rounds,
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "call_ns": call_nanoseconds(),
        "libraries": {name: version(name) for name in ("apsw", "trio", "attrs", "msgspec")},
        "load_before": os.getloadavg()[0],
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _opening(about: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in about["libraries"].items())
    python = f"Python {about['python']} ({about['call_ns']:.0f} ns a call)"
    lines = [
        f"commit {about['commit'] or 'unknown'}, {about['at']}",
        f"{about['cores']} cores, {about['machine']}, {python}, {libraries}",
        f"load average {about['load_before']:.2f}, {about['rounds']} rounds" + (", quick" if about["quick"] else ""),
    ]
    return "\n".join(lines)


def _closing(about: dict[str, Any], misses: int) -> Iterator[str]:
    yield f"load average {about['load_before']:.2f} before, {about['load_after']:.2f} after (the bench itself included)"
    if about["load_before"] > BUSY:
        yield "The machine was busy before the bench began: these figures are no verdict."
    if about["quick"]:
        yield "Quick: small sizes and one round; these figures are no verdict."
    yield from (f"peer {name}: {why}" for name, why in about["absent_peers"])
    if misses:
        yield f"{misses} budgets missed."


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{content['at'].replace(':', '')}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
