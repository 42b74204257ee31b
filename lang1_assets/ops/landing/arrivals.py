"""Which exports are whole: by their manifest at once, without one when nothing about them has changed for a while."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date

from lang1_assets.ops.landing.area import LandingArea, Listing
from lang1_assets.ops.landing.manifest import MANIFEST_FILE, LandingError, Manifest, read_manifest
from lang1_assets.ops.landing.months import day_after


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An export that has not been taken as it lies there now."""

    month: str
    listing: str
    since: float
    """When it was first seen like this, seconds since 1970."""
    content: str | None = None
    """Of a manifest whose files are all there; without a manifest nobody knows before the files are read."""
    covers_until: str | None = None
    """ISO day; with `content`."""
    waiting_for: str | None = None
    """What it lacks to be whole; None where it is to be taken, or to be refused for what `problem` says."""
    problem: str | None = None
    """Why the export can only be refused: what it lacked did not come in `settle_seconds`."""

    @property
    def key(self) -> str:
        """What would be taken: the same for the same content, whenever it was written."""
        return f"listing-{self.listing}" if self.content is None else f"{self.content}@{self.covers_until}"


@dataclass(frozen=True, kw_only=True)
class Settling:
    """How long is long enough."""

    now: float
    """Seconds since 1970."""
    seconds: float
    trust_times: bool = False
    """Go by when the files were written, for those who look only once a month."""


def arrivals(
    area: LandingArea, taken: Mapping[str, str], seen: Mapping[str, Arrival], settling: Settling, earliest: date
) -> dict[str, Arrival]:
    """Month -> export that is not there yet as it lies in the area, whole or not.

    One listing of the area, and a manifest for each export that changed since `seen`: nothing else is read.

    Args:
        taken: month -> digest of the listing that was taken.
        seen: what the last look gave.
    """
    found = {}
    for month, listing in area.listings().items():
        if month < f"{earliest:%Y-%m}" or taken.get(month) == listing.digest:
            continue
        before = seen.get(month)
        if before is None or before.listing != listing.digest:
            before = None
        found[month] = look_again(area, listing, before, settling)
    return found


def look_again(area: LandingArea, listing: Listing, before: Arrival | None, settling: Settling) -> Arrival:
    """An export, given what is known of it if it has not changed since."""
    if before is not None and (before.content is not None or before.waiting_for is None):
        return before
    first_seen = settling.now if before is None else before.since
    since = min(first_seen, listing.changed) if settling.trust_times and listing.changed else first_seen
    has_settled = settling.now - since >= settling.seconds
    arrival = Arrival(month=listing.month, listing=listing.digest, since=since)
    if MANIFEST_FILE not in listing.sizes:
        waiting = None if has_settled else f"no {MANIFEST_FILE}: taken when nothing changes for {settling.seconds:g} s"
        return replace(arrival, waiting_for=waiting)
    try:
        manifest = read_manifest(area.read_manifest(listing.month), listing.month)
        check_sizes(manifest, listing)
    except (LandingError, OSError) as error:
        # Half-written perhaps, or the files or the right to read them follow: a problem only if it stays, and this month's alone.
        said = str(error) if isinstance(error, LandingError) else f"{listing.month}/{MANIFEST_FILE}: {error}"
        return replace(arrival, problem=said) if has_settled else replace(arrival, waiting_for=said)
    return replace(arrival, content=manifest.content, covers_until=manifest.covers_until.isoformat())


def check_sizes(manifest: Manifest, listing: Listing) -> None:
    """
    Raises:
        LandingError: a file of the manifest is not there, or not all of it.
    """
    wrong = [
        f"{file.name}: field 'bytes' is {file.num_bytes}, found {listing.sizes.get(file.name, 'no file')}"
        for file in manifest.files
        if listing.sizes.get(file.name) != file.num_bytes
    ]
    if wrong:
        raise LandingError(f"{listing.month}/{MANIFEST_FILE}: {'; '.join(wrong)}; send the export again")


def manifest_of(area: LandingArea, listing: Listing) -> Manifest:
    """What is to be fetched; an export without a manifest is read for it.

    Raises:
        LandingError: the manifest is wrong, or its files are not there.
    """
    if MANIFEST_FILE not in listing.sizes:
        return Manifest(files=area.hashed(listing), covers_until=day_after(listing.month))
    manifest = read_manifest(area.read_manifest(listing.month), listing.month)
    check_sizes(manifest, listing)
    return manifest


def written(seen: Mapping[str, Arrival]) -> str:
    """For a sensor's cursor."""
    return json.dumps({month: {k: v for k, v in asdict(one).items() if v is not None} for month, one in seen.items()})


def read(cursor: str | None) -> dict[str, Arrival]:
    """What `written` wrote; nothing where that is unreadable, for then everything is looked at anew."""
    try:
        return {month: Arrival(**values) for month, values in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
