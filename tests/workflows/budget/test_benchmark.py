"""The benchmark of the ledger runs, and its figures have the shape that people read; how fast it is, is not asked."""

from benchmarks.budget import QUICK, groups, measured


async def test_the_quick_benchmark_measures_everything_once() -> None:
    said: list[str] = []
    found = await measured(QUICK, said.append)
    assert {one.kind for one in found.rates} == {"ledger", "bare, one partner for all", "bare, a partner each"}
    assert all(one.per_second > 0 and 0 < one.wait_p50 <= one.wait_p99 for one in found.rates)
    assert [one.history_events >= found.plan.events for one in found.sizes] == [True]
    assert [one.ask for one in found.restarts] == ["query", "envelope"]
    envelopes, waits, kept, restarts = groups(found)
    assert [row.ratio for row in envelopes.rows] == [one.per_second for one in found.ratios]
    assert all(row.ratio and row.ratio > 0 for row in (*waits.rows, *kept.rows))
    assert len(restarts.rows) == 2
    assert said
