"""Months as exports are named by them: `YYYY-MM`."""

from __future__ import annotations

import re
from datetime import date

MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


def first_day(month: str) -> date:
    """
    >>> first_day("2025-02")
    datetime.date(2025, 2, 1)
    """
    year, number = map(int, month.split("-"))
    return date(year, number, 1)


def next_month(month: str) -> str:
    """
    >>> next_month("2025-12")
    '2026-01'
    """
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def day_after(month: str) -> date:
    """The first day that is no longer in a month.

    >>> day_after("2024-02")
    datetime.date(2024, 3, 1)
    """
    return first_day(next_month(month))
