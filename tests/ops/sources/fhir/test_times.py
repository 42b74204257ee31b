from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.sources.fhir.times import period_clocks, wall_clock

NEW_YORK, TOKYO = ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2021-03-04T05:06:07-05:00", "2021-03-04 05:06:07"),
        ("2021-03-04T05:06:07Z", "2021-03-04 05:06:07"),
        ("2021-03-04T05:06:07.123456+13:00", "2021-03-04 05:06:07"),
        ("2021-03-04T05:06", "2021-03-04 05:06:00"),
        ("2021-03-04", "2021-03-04 00:00:00"),
        ("2021-03", "2021-03-01 00:00:00"),
        ("2021", "2021-01-01 00:00:00"),
        ("03/04/2021", "03/04/2021"),
        ("20210304050607", "20210304050607"),
        ("\N{ARABIC-INDIC DIGIT TWO}021", "\N{ARABIC-INDIC DIGIT TWO}021"),
        ("", ""),
        (None, None),
    ],
)
def test_times_keep_the_wall_clock_and_lose_the_offset(written: str | None, expected: str | None) -> None:
    assert wall_clock(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2021-03-04T02:06:07Z", "2021-03-03 21:06:07"),
        ("2021-07-04T02:06:07Z", "2021-07-03 22:06:07"),
        ("2021-03-04T02:06:07-05:00", "2021-03-04 02:06:07"),
        ("2021-03-04T02:06:07.999999999+13:00", "2021-03-03 08:06:07"),
        ("2021-03-04T02:06Z", "2021-03-03 21:06:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31 18:59:59"),
        # Both sides of the end of daylight saving time.
        ("2022-11-06T05:59:00Z", "2022-11-06 01:59:00"),
        ("2022-11-06T06:01:00Z", "2022-11-06 01:01:00"),
        # No offset, so of no other zone.
        ("2021-03-04T02:06:07", "2021-03-04 02:06:07"),
        ("2021-03-04", "2021-03-04 00:00:00"),
        ("2021", "2021-01-01 00:00:00"),
        # On no clock of the zone.
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00"),
        ("0000-01-01T00:00:00Z", "0000-01-01 00:00:00"),
        ("2021-02-30T00:00:00Z", "2021-02-30 00:00:00"),
        ("2021-02-20T00:00:61Z", "2021-02-20 00:00:61"),
        ("2021-02-20T00:00:00+99:00", "2021-02-20 00:00:00"),
        ("0999-03-04T12:00:00Z", "0999-03-04 07:03:58"),
        ("03/04/2021", "03/04/2021"),
        (None, None),
    ],
)
def test_times_on_the_clock_of_a_zone(written: str | None, expected: str | None) -> None:
    assert wall_clock(written, NEW_YORK) == expected


def test_the_last_instant_of_the_calendar_stays_where_a_zone_cannot_show_it() -> None:
    assert wall_clock("9999-12-31T23:59:59Z", TOKYO) == "9999-12-31 23:59:59"
    assert period_clocks("9999-12-31T23:59:59Z", "2021-01-01T00:00:00Z", TOKYO)[1] == "2021-01-01 09:00:00"


@pytest.mark.parametrize(
    ("start", "end", "zone", "expected"),
    [
        ("2022-11-06T01:52:06-04:00", "2022-11-06T01:07:06-05:00", None, "2022-11-06 02:07:06"),
        ("2022-11-06T01:52:06-04:00", "2022-11-06T01:07:06-05:00", NEW_YORK, "2022-11-06 02:07:06"),
        ("2022-11-06T05:52:06Z", "2022-11-06T06:07:06Z", NEW_YORK, "2022-11-06 02:07:06"),
        ("2022-11-06T05:52:06Z", "2022-11-06T06:07:06Z", None, "2022-11-06 06:07:06"),
        ("2022-03-13T01:30:00-05:00", "2022-03-13T03:15:00-04:00", None, "2022-03-13 03:15:00"),
        ("2022-11-06T01:52:06-04:00", "2022-11-06T01:55:06-04:00", None, "2022-11-06 01:55:06"),
        # One of both without offset, or no time at all.
        ("2022-11-06T01:52:06", "2022-11-06T06:07:06Z", None, "2022-11-06 06:07:06"),
        ("2022-11-06T01:52:06", "2022-11-06T06:07:06Z", NEW_YORK, "2022-11-06 01:07:06"),
        ("2022-11-06", "2022-11-06T06:07:06Z", NEW_YORK, "2022-11-06 01:07:06"),
        ("2022-11-06T05:52:06Z", "2022-11-07", NEW_YORK, "2022-11-07 00:00:00"),
        ("2022-11-06T05:52:06Z", "2022-11-06T06:07:06", NEW_YORK, "2022-11-06 06:07:06"),
        ("2022-02-30T05:52:06Z", "2022-11-06T06:07:06-05:00", None, "2022-11-06 06:07:06"),
        (None, "2022-11-06T06:07:06Z", NEW_YORK, "2022-11-06 01:07:06"),
        ("2022-11-06T05:52:06Z", None, NEW_YORK, None),
        ("2022-11-06T05:52:06Z", "soon", NEW_YORK, "soon"),
    ],
)
def test_an_end_before_its_start_is_at_the_offset_of_its_start(
    start: str | None, end: str | None, zone: ZoneInfo | None, expected: str | None
) -> None:
    assert period_clocks(start, end, zone) == (wall_clock(start, zone), expected)


INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.timezones())


@given(start=INSTANTS, end=INSTANTS, zone=st.sampled_from([None, NEW_YORK, TOKYO]))
def test_what_ended_later_does_not_end_before_it_began(start: datetime, end: datetime, zone: ZoneInfo | None) -> None:
    start, end = sorted((start.replace(microsecond=0), end.replace(microsecond=0)), key=datetime.timestamp)
    shown = [datetime.fromisoformat(each or "") for each in period_clocks(start.isoformat(), end.isoformat(), zone)]
    assert shown[1] >= shown[0]


@given(
    written=st.from_regex(re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?", re.ASCII), fullmatch=True)
)
def test_any_digits_have_some_clock(written: str) -> None:
    times = period_clocks(written, written, TOKYO)
    assert all(len(time or "") == 19 for time in times)
