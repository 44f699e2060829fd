"""The benchmark of orchestration runs: both kinds end, and every figure of theirs is there."""

from benchmarks import orchestration


async def test_both_kinds_are_measured() -> None:
    alone, many, left = await orchestration.measured(orchestration.QUICK)
    assert [row.goal for row in alone.rows] == [2.0, 2.0]
    assert [row.what for row in many.rows] == ["2 at once", "processor time of one of 2"]
    figures = {row.what: row for row in left.rows}
    assert int(figures["events of the run's history"].theirs) == 29
    assert 29 < int(figures["events of the run's history"].ours) < 80
    assert int(figures["bytes of the store"].theirs) == 0
    assert all(row.ratio is None or row.ratio > 0 for group in (alone, many, left) for row in group.rows)
