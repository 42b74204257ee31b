"""When a label of a month can be known: the records must reach the end of the month and of what follows it (paper 5.2.3).

Someone discharged on the last day of February can come back within 30 days, until March 30th: without all of March's records a
return that has happened looks like none. The records of later months are joined for that, as long as there is no gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from lang1_assets.ops.landing.months import day_after, first_day, next_month


@dataclass(frozen=True, kw_only=True)
class Covered:
    """The part of an export that ripeness is decided on."""

    content: str
    covers_until: date
    """The first day that its records do not reach."""


@dataclass(frozen=True, kw_only=True)
class Ripeness:
    """What a month's labels can be made from."""

    followed_by: Mapping[str, str]
    """Later month whose records are joined -> content of its export; in order."""
    unripe: Mapping[str, str]
    """Task -> why its labels cannot be known yet."""


def needed_until(month: str, follow_up_days: int) -> date:
    """The first day that the records need not reach.

    >>> needed_until("2025-02", 30)
    datetime.date(2025, 3, 31)
    """
    return day_after(month) + timedelta(days=follow_up_days)


def chain(month: str, exports: Mapping[str, Covered], until: date) -> tuple[tuple[str, ...], date]:
    """The later months that are joined to reach `until` as far as they are there, and the day that they reach."""
    reached, joined, following = exports[month].covers_until, [], next_month(month)
    # A gap between two exports could hide what the labels ask about.
    while reached < until and following in exports and reached >= first_day(following):
        joined.append(following)
        reached = max(reached, exports[following].covers_until)
        following = next_month(following)
    return tuple(joined), reached


def ripeness(month: str, exports: Mapping[str, Covered], follow_up_days: Mapping[str, int]) -> Ripeness:
    """
    Args:
        exports: every month that has landed.
        follow_up_days: of each task, how long after the end of the stay its outcome is asked.
    """
    followed: tuple[str, ...] = ()
    unripe = {}
    for task, days in follow_up_days.items():
        until = needed_until(month, days)
        joined, reached = chain(month, exports, until)
        if reached < until:
            unripe[task] = f"the records reach {reached} and must reach {until}: {days} days after the last discharge"
        elif len(joined) > len(followed):
            followed = joined
    return Ripeness(followed_by={name: exports[name].content for name in followed}, unripe=unripe)
