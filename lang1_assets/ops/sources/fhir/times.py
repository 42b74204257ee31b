"""Times as FHIR writes them, as the wall clock of a place."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

TIME = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d)?(\.\d+)?(?P<offset>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


def wall_clock(written: str | None, zone: tzinfo | None = None) -> str | None:
    """'YYYY-MM-DD HH:MM:SS' on the clock that was written, or on that of `zone` when the time carries an offset.

    A year or month alone becomes its first day. What is no FHIR time is passed on as it is. What no clock of `zone` can
    show keeps the clock that was written: 30 February, or year 1 in UTC, which some servers write for no time at all.
    """
    found = TIME.fullmatch(written) if written else None
    if found is None:
        return written
    if zone and (local := local_time(found, zone)):
        return local.replace(tzinfo=None).isoformat(" ", "seconds")
    day = f"{found['year']}-{found['month'] or '01'}-{found['day'] or '01'}"
    return f"{day} {found['clock'] or '00:00'}{found['seconds'] or ':00'}"


def period_clocks(start: str | None, end: str | None, zone: tzinfo | None = None) -> tuple[str | None, str | None]:
    """The `wall_clock` of start and end; an end that would lie before its start is shown at the start's UTC offset.

    From 01:52:06-04:00 to 01:07:06-05:00 are 15 minutes over the end of daylight saving time: the end becomes 02:07:06. Any
    other end keeps the clock on the wall, and so its day.
    """
    first, last = wall_clock(start, zone), wall_clock(end, zone)
    offset = offset_of(start, zone)
    if first and last and last < first and offset is not None:
        last = wall_clock(end, offset)
    return first, last


def offset_of(written: str | None, zone: tzinfo | None) -> timezone | None:
    """The offset that `wall_clock` shows a time at; None when the time carries none."""
    found = TIME.fullmatch(written) if written else None
    local = local_time(found, zone) if found else None
    return timezone(local.utcoffset() or timedelta()) if local else None


def local_time(found: re.Match[str], zone: tzinfo | None) -> datetime | None:
    """A match of `TIME` that carries an offset, in `zone` or at this offset; None when that cannot be.

    A leap second is the one before it: datetime has none.
    """
    if found["offset"] is None:
        return None
    seconds = ":59" if found["seconds"] == ":60" else found["seconds"] or ":00"
    day = f"{found['year']}-{found['month']}-{found['day']}"
    try:
        written = datetime.fromisoformat(f"{day}T{found['clock']}{seconds}{found['offset']}")
        return written.astimezone(zone) if zone else written
    except (ValueError, OverflowError):
        return None
