"""Samples become rows and a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.catalogue import CATALOGUE, Measure, Workload, find, select
from bench.report import OURS, Series, document, failed, markdown, missed, number, rows
from bench.timing import Sample, WrongResult, expect, median, percentile

RATE = Measure("rate", "steps/s", 1_000, more_is_better=True, ratio="rate")
TIME = Measure("total", "s", 0.5, ratio="time")
WORKLOAD = Workload("W0", "async", "none", "a workload of the tests", (RATE, TIME), peers=True)


def series(who: str, *figures: tuple[float, float], bare: float | None = 0.001) -> Series:
    """A series of samples, each with its rate and its total."""
    samples = [Sample({"rate": rate, "total": total}, bare, 0.0001) for rate, total in figures]
    return Series(WORKLOAD, who, samples)


def test_the_median_decides() -> None:
    """One slow sample does not miss a budget, and one fast sample does not meet it."""
    met, _ = rows([series(OURS, (900, 0.1), (2_000, 0.1), (3_000, 0.1))])
    short, _ = rows([series(OURS, (900, 0.1), (950, 0.1), (3_000, 0.1))])
    assert (met.median, met.low, met.high, met.verdict) == (2_000, 900, 3_000, "met")
    assert short.verdict == "MISSED by 1.05 ×"


def test_a_miss_by_more_than_half_is_open_work() -> None:
    """Beyond 1.5 times the budget the verdict says so, for rates and for times."""
    table = rows([series(OURS, (500, 0.9))])
    assert [row.verdict for row in table] == ["MISSED by 2.00 × (open work)", "MISSED by 1.80 × (open work)"]
    assert missed(table) == table


def test_a_rate_is_compared_with_bare_commits_a_second_and_a_time_with_their_duration() -> None:
    """2,000 steps/s beside commits of 1 ms are 2 steps a commit; 0.4 s are 400 commits."""
    rate, total = rows([series(OURS, (2_000, 0.4))])
    assert rate.to_bare == pytest.approx(2)
    assert total.to_bare == pytest.approx(400)


def test_a_peer_is_compared_with_ours_and_with_the_bare_commit_of_ours() -> None:
    """It has no budget; its own process measures no bare commit."""
    table = rows([series(OURS, (2_000, 0.1)), series("peer", (500, 0.3), bare=None)])
    rate, total = [row for row in table if row.who == "peer"]
    assert (rate.budget, rate.verdict, total.verdict) == ("", "ours is 4 × as fast", "ours is 3 × as fast")
    assert rate.to_bare == pytest.approx(0.5)


def test_a_wrong_result_is_a_failure_whatever_its_time_was() -> None:
    """A workload with a failed sample is failed, even if the others met the budget."""
    fast = series(OURS, (5_000, 0.1))
    fast.failures.append("a body did not run exactly once")
    (never,) = rows([Series(WORKLOAD, OURS, [], ["it crashed"])])
    assert all(row.verdict == "FAILED 1 ×: a body did not run exactly once" for row in rows([fast]))
    assert (never.median, never.verdict) == (None, "FAILED: it crashed")
    assert failed([fast]) == [fast]


def test_a_failed_peer_fails_nothing() -> None:
    """It is a line in the table."""
    peer = Series(WORKLOAD, "peer", [], ["it needs a newer Python"])
    assert failed([peer]) == []
    assert [row.verdict for row in rows([peer])] == ["FAILED: it needs a newer Python"]


def test_a_peer_has_rows_for_what_it_measures() -> None:
    """A figure that a peer does not give is no row."""
    peer = Series(WORKLOAD, "peer", [Sample({"rate": 100.0})])
    assert [row.unit for row in rows([peer])] == ["steps/s"]


def test_the_table_is_aligned_markdown() -> None:
    """All lines are as long as the rule; a workload is named once."""
    lines = markdown(rows([series(OURS, (2_000, 0.1)), series("peer", (500, 0.3))])).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert sum("W0 async" in line for line in lines) == 1


def test_the_document_holds_rows_and_samples() -> None:
    """The JSON has what the table shows and each figure behind it."""
    all_series = [series(OURS, (2_000, 0.1), (2_100, 0.1))]
    written = document(rows(all_series), all_series, {"rounds": 2})
    assert (written["rounds"], len(written["rows"]), len(written["series"][0]["samples"])) == (2, 2, 2)


@pytest.mark.parametrize(
    "value, text", [(13_500.4, "13,500"), (999.9, "1,000"), (0.12, "0.12"), (2.2, "2.2"), (1.0, "1")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    """Thousands are separated, and more digits than were measured are not shown."""
    assert number(value) == text


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 100))
def test_a_percentile_is_one_of_the_values_and_bounds_its_share(values: list[float], percent: float) -> None:
    """At least that share of the values is not above it."""
    bound = percentile(values, percent)
    assert bound in values
    assert sum(value <= bound for value in values) >= percent / 100 * len(values) - 1e-6


def test_median_and_percentiles_of_known_values() -> None:
    """The 99th percentile of 1 to 200 is 198; the median of an odd number of values is the middle one."""
    assert percentile(list(range(1, 201)), 99) == 198
    assert median([3, 1, 2]) == 2
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_sample_survives_its_line() -> None:
    """What a child prints is what the parent reads."""
    sample = Sample({"rate": 1.5}, 0.001, None, {"lease": "2s"})
    assert Sample.read(sample.line()) == sample


def test_expect_raises_what_was_wrong() -> None:
    """A wrong result names itself."""
    expect(True, "fine")
    with pytest.raises(WrongResult, match="a body never ran"):
        expect(False, "a body never ran")


def test_every_workload_can_be_found_and_is_unique() -> None:
    """Names select workloads, so no two share one."""
    assert len({workload.name for workload in CATALOGUE}) == len(CATALOGUE)
    assert all(find(workload.id, workload.variant) is workload for workload in CATALOGUE)
    with pytest.raises(ValueError, match="no workload W99 async"):
        find("W99", "async")


def test_only_selects_by_id_or_by_name() -> None:
    """`W1` is all its variants, `W1 sync` is one; what is unknown is named."""
    assert {workload.id for workload in select("W1,W7")} == {"W1", "W7"}
    assert [workload.name for workload in select("W1 sync")] == ["W1 sync"]
    assert select(None) == list(CATALOGUE)
    with pytest.raises(ValueError, match="no workload W99"):
        select("W1,W99")
    with pytest.raises(ValueError, match="there are W1"):
        select(",")
