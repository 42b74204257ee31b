from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.landing.months import day_after, first_day, next_month
from lang1_assets.ops.landing.ripeness import Covered, needed_until, ripeness

DAYS = {"readmission": 30, "mortality": 0}


def landed(*months: str, **until: str) -> dict[str, Covered]:
    """Exports that reach to the end of their months, or to the day given (`m2025_02="2025-03-15"`)."""
    days = {name.removeprefix("m").replace("_", "-"): date.fromisoformat(day) for name, day in until.items()}
    return {month: Covered(content=month, covers_until=days.get(month, day_after(month))) for month in months}


def test_alone_a_month_waits_for_returns_alone() -> None:
    found = ripeness("2025-07", landed("2025-07"), DAYS)
    assert list(found.unripe) == ["readmission"]
    assert "reach 2025-08-01 and must reach 2025-08-31" in found.unripe["readmission"]
    assert found.followed_by == {}


def test_the_next_month_ripens_it() -> None:
    found = ripeness("2025-07", landed("2025-07", "2025-08", "2025-09"), DAYS)
    assert (found.unripe, list(found.followed_by)) == ({}, ["2025-08"])


def test_february_is_shorter_than_thirty_days() -> None:
    two = ripeness("2025-01", landed("2025-01", "2025-02"), DAYS)
    assert list(two.unripe) == ["readmission"]
    assert two.followed_by == {}, "what does not reach is not joined, so that nothing is made twice"
    three = ripeness("2025-01", landed("2025-01", "2025-02", "2025-03"), DAYS)
    assert (three.unripe, list(three.followed_by)) == ({}, ["2025-02", "2025-03"])


def test_a_gap_hides_returns() -> None:
    found = ripeness("2025-01", landed("2025-01", "2025-03", "2025-04"), DAYS)
    assert list(found.unripe) == ["readmission"]


def test_an_export_that_reaches_further_needs_nobody() -> None:
    found = ripeness("2025-01", landed("2025-01", m2025_01="2025-03-03"), DAYS)
    assert (found.unripe, found.followed_by) == ({}, {})


def test_a_month_that_is_not_over_is_not_ripe_for_anything() -> None:
    found = ripeness("2025-01", landed("2025-01", "2025-02", "2025-03", m2025_01="2025-01-20"), DAYS)
    assert set(found.unripe) == set(DAYS)


def test_later_months_join_in_order_of_time() -> None:
    found = ripeness("2025-11", landed("2026-01", "2025-12", "2025-11"), {"readmission": 45})
    assert list(found.followed_by) == ["2025-12", "2026-01"]


@pytest.mark.parametrize(("month", "after"), [("2025-12", "2026-01"), ("2024-02", "2024-03")])
def test_months_follow_each_other(month: str, after: str) -> None:
    assert next_month(month) == after
    assert day_after(month) == first_day(after)


@given(st.integers(2024, 2027), st.integers(1, 12), st.integers(0, 120), st.lists(st.integers(0, 6), max_size=7))
def test_nothing_is_labelled_before_its_outcome_is_known(year: int, number: int, days: int, later: list[int]) -> None:
    """Every day from discharge to the end of the follow-up lies in the records of the month or of a month that is joined."""
    month = f"{year}-{number:02d}"
    names = [month]
    for _ in range(7):
        names.append(next_month(names[-1]))
    exports = landed(month, *(names[place] for place in later))
    found = ripeness(month, exports, {"task": days})
    joined = [month, *found.followed_by]
    covered = {
        first_day(name) + timedelta(days=k) for name in joined for k in range((day_after(name) - first_day(name)).days)
    }
    asked = {first_day(month) + timedelta(days=k) for k in range((needed_until(month, days) - first_day(month)).days)}
    if found.unripe:
        there = {name for name in names if name in exports}
        everything = {
            first_day(n) + timedelta(days=k) for n in there for k in range((day_after(n) - first_day(n)).days)
        }
        assert not asked <= everything
    else:
        assert asked <= covered
        # Not one month more than is needed.
        assert not joined[1:] or not asked <= {day for day in covered if day < first_day(joined[-1])}
