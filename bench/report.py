"""Samples become rows, and rows a table: medians, spread, budgets and verdicts.

Pure: it knows neither processes nor clocks. A row is one measure of one contender (ours or a peer) on
one workload. A contender without a single sample has a row too, which says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.catalogue import Measure, Workload
from bench.timing import Sample, median

OURS = "flowgen"
HEADER = ("workload", "who", "median", "min – max", "budget", "to bare", "verdict")
OPEN_WORK = 1.5
"""A miss by more than this factor is open work, not a note."""


@dataclass
class Series:
    """The samples of one contender on one workload; `failures` says what went wrong instead of samples."""

    workload: Workload
    who: str
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One line of the table. `median` is None if there was no sample."""

    workload: str
    who: str
    unit: str
    median: float | None
    low: float | None
    high: float | None
    samples: int
    budget: str
    to_bare: float | None
    bare_us: float | None
    cpu_us: float | None
    verdict: str


def rows(series: Sequence[Series]) -> list[Row]:
    """The rows of all series, in their order; peers are compared with ours."""
    ours = {s.workload: s for s in series if s.who == OURS}
    return [
        _row(s, measure, ours.get(s.workload)) for s in series for measure in s.workload.measures if _shown(s, measure)
    ]


def _shown(series: Series, measure: Measure) -> bool:
    """A contender that failed has one row; a peer has rows only for what it measured."""
    if not series.samples:
        return measure is series.workload.measures[0]
    return all(measure.name in sample.measures for sample in series.samples)


def _row(series: Series, measure: Measure, ours: Series | None) -> Row:
    workload, samples = series.workload, series.samples
    values = [sample.measures[measure.name] for sample in samples]
    if not values:
        return Row(workload.name, series.who, measure.unit, None, None, None, 0, "", None, None, None, _failed(series))
    middle = median(values)
    own = series.who == OURS
    verdict = _verdict(measure, middle, series.failures) if own else _compared(measure, middle, ours)
    return Row(
        workload.name,
        series.who,
        measure.unit,
        middle,
        min(values),
        max(values),
        len(values),
        _budget(measure) if own else "",
        _to_bare(measure, samples, ours.samples if ours is not None else samples),
        _micros([s.bare for s in samples]),
        _micros([s.cpu for s in samples]),
        verdict,
    )


def _failed(series: Series) -> str:
    return f"FAILED: {series.failures[-1]}" if series.failures else "not measured"


def _verdict(measure: Measure, value: float, failures: Sequence[str]) -> str:
    if failures:
        return f"FAILED {len(failures)} ×: {failures[-1]}"
    met = measure.met(value)
    if met is None:
        return ""
    if met:
        return "met"
    factor = measure.missed_by(value)
    return f"MISSED by {factor:.2f} ×" + (" (open work)" if factor > OPEN_WORK else "")


def _compared(measure: Measure, value: float, ours: Series | None) -> str:
    """How many times as fast we are. Ratios say nothing about speed."""
    if ours is None or not ours.samples or measure.unit.startswith("×"):
        return ""
    own = median([sample.measures[measure.name] for sample in ours.samples])
    if own <= 0 or value <= 0:
        return ""
    return f"ours is {own / value if measure.more_is_better else value / own:.3g} × as fast"


def _budget(measure: Measure) -> str:
    if measure.budget is None:
        return ""
    return f"{'≥' if measure.more_is_better else '≤'} {number(measure.budget)}"


def _to_bare(measure: Measure, samples: Sequence[Sample], fallback: Sequence[Sample]) -> float | None:
    """The measure in bare commits: each sample with its own, a peer's with the median of ours."""
    others = [sample.bare for sample in fallback if sample.bare is not None]
    ratios = []
    for sample in samples:
        value = sample.measures[measure.name]
        bare = sample.bare if sample.bare is not None else (median(others) if others else None)
        if measure.ratio == "self":
            ratios.append(value)
        elif bare is not None and measure.ratio != "none":
            ratios.append(value * bare if measure.ratio == "rate" else _seconds(measure, value) / bare)
    return median(ratios) if ratios else None


def _seconds(measure: Measure, value: float) -> float:
    return value / 1e3 if measure.unit == "ms" else value


def _micros(seconds: Iterable[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return median(known) * 1e6 if known else None


def missed(table: Iterable[Row]) -> list[Row]:
    """The rows of ours whose budget is missed."""
    return [row for row in table if row.verdict.startswith("MISSED")]


def failed(series: Iterable[Series]) -> list[Series]:
    """Those of ours that failed, in a single sample or in all."""
    return [s for s in series if s.who == OURS and s.failures]


# -- showing ------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A figure with three significant digits, and thousands separated."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(table: Sequence[Row]) -> str:
    """The table, aligned for people and readable as Markdown."""
    lines = [HEADER, *[_cells(row, before) for before, row in zip([None, *table], table, strict=False)]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = [_line(line, widths) for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([text[0], rule, *text[1:]])


def _cells(row: Row, before: Row | None) -> tuple[str, ...]:
    same = before is not None and before.workload == row.workload
    name = "" if same else row.workload
    if row.median is None or row.low is None or row.high is None:
        return (name, row.who, "–", "", row.budget, "", row.verdict)
    spread = f"{number(row.low)} – {number(row.high)}"
    ratio = f"{row.to_bare:.3g} ×" if row.to_bare is not None else ""
    return (name, row.who, f"{number(row.median)} {row.unit}", spread, row.budget, ratio, row.verdict)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def document(table: Sequence[Row], series: Sequence[Series], about: dict[str, Any]) -> dict[str, Any]:
    """Everything as JSON data: what the run was, the rows, and each sample."""
    samples = [
        {"workload": s.workload.name, "who": s.who, "samples": [vars(x) for x in s.samples], "failures": s.failures}
        for s in series
    ]
    return {**about, "rows": [asdict(row) for row in table], "series": samples}
