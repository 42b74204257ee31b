"""A night in which a year of the synthetic hospital arrives: twelve monthly exports, one late, one corrected, one corrupt.

    python bench/night.py --pause 60            # while `make ui` or `make serve` is open: watch the sensor `landing`
    python bench/night.py --only-check          # afterwards: whether everything ended as it should

It writes into the profile's landing area and starts nothing: the sensor notices what lands. The corrupt export is mended at the
end, so that all twelve months end evaluated.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.months.landed import follow_up_days, landing_place, taken_months
from lang1_assets.ops.hospital import HospitalConfig
from lang1_assets.ops.landing.months import next_month
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, Exports, Taken
from lang1_assets.ops.landing.ripeness import ripeness
from lang1_assets.ops.landing.synthetic import write_export
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings, lang1_home, load_settings

NUM_MONTHS = 12
LATE, CORRECTED, CORRUPT = 3, 6, 8
"""Places in the year, from 0: lands after the one that follows it; has other content later; has a byte flipped."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that arrives."""

    words: str
    write: Callable[[], None]


def months_from(first: str) -> list[str]:
    months = [first]
    while len(months) < NUM_MONTHS:
        months.append(next_month(months[-1]))
    return months


def night(settings: Settings, months: list[str]) -> Iterator[Event]:
    """What arrives, in order."""
    order = [*range(LATE), LATE + 1, LATE, *range(LATE + 2, NUM_MONTHS)]
    for place in order:
        month = months[place]
        if place == CORRUPT:
            yield Event(
                words=f"{month}, corrupt: a byte of its notes is flipped", write=lambda m=month: corrupt(settings, m)
            )
            continue
        late = ", late" if place == LATE else ""
        yield Event(words=f"{month}{late}", write=lambda m=month: land(settings, m))
        if place == CORRECTED:
            yield Event(words=f"{month} again, the same", write=lambda m=month: land(settings, m))
    corrected, mended = months[CORRECTED], months[CORRUPT]
    yield Event(words=f"{corrected}, corrected", write=lambda: land(settings, corrected, seed=1))
    yield Event(words=f"{mended}, mended", write=lambda: land(settings, mended))


def config_of(settings: Settings, seed: int = 0) -> HospitalConfig:
    source = settings.source
    return HospitalConfig(num_encounters=source.num_encounters, seed=settings.seed + seed, dirt_rate=source.dirt_rate)


def land(settings: Settings, month: str, seed: int = 0, spoil: Callable[[Path], None] | None = None) -> None:
    """One whole export, renamed into place."""
    folder = Path(landing_place(settings)) / month
    beside = folder.with_name(f".{month}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    write_export(beside, config_of(settings, seed), month)
    if spoil is not None:
        spoil(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def corrupt(settings: Settings, month: str) -> None:
    def flip(folder: Path) -> None:
        path = next(folder.glob("notes-*.csv"))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))

    land(settings, month, spoil=flip)


def problems(settings: Settings, store: ArtifactStore, months: list[str]) -> list[str]:
    """What did not end as it should."""
    taken = taken_months(store)
    found = [f"{month}: not taken" for month in months if month not in taken]
    for place, month in enumerate(months):
        cohorts, revision = store.find(f"{COHORTS}/{month}"), 2 if place == CORRECTED else 1
        if month in taken and taken[month].revision != revision:
            found.append(f"{month}: revision {taken[month].revision}, expected {revision}")
        evaluations = [store.find(f"{EVALUATION}/{month}/{recipe}") for recipe in settings.operate.recipes]
        if cohorts is None or any(one is None or one.summary["cohorts"] != cohorts.fingerprint for one in evaluations):
            found.append(f"{month}: not evaluated as it is now")
        elif (waiting := not_ripe(cohorts)) != (due := waiting_for_later_months(settings, taken, month)):
            found.append(
                f"{month}: not ripe: {', '.join(sorted(waiting)) or 'none'}; expected {', '.join(sorted(due)) or 'none'}"
            )
    return found


def not_ripe(cohorts: Artifact) -> set[str]:
    return {task for task, told in cohorts.summary["tasks"].items() if not told["ripe"]}


def waiting_for_later_months(settings: Settings, taken: Mapping[str, Taken], month: str) -> set[str]:
    """Tasks whose outcomes nobody can know yet: after a year readmission in December, insurance denial from September on."""
    return set(ripeness(month, Exports.of(taken).covered, follow_up_days(settings)).unripe)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="2025-01", help="the first month, YYYY-MM")
    parser.add_argument("--pause", type=float, default=30, help="seconds from one arrival to the next")
    parser.add_argument("--only-check", action="store_true", help="say what is wrong, and write nothing")
    arguments = parser.parse_args()
    settings = load_settings()
    if not settings.is_synthetic:
        sys.exit(f"profile '{settings.name}' reads a hospital's own exports; a synthetic night does not belong there")
    months = months_from(arguments.first)
    if not arguments.only_check:
        for event in night(settings, months):
            event.write()
            print(f"{time.strftime('%H:%M:%S')} landed: {event.words} (synthetic)", flush=True)
            time.sleep(arguments.pause)
        print("All has landed. When the runs have ended: python bench/night.py --only-check")
        return
    store = ArtifactStore(root=str(lang1_home() / "artifacts" / settings.name))
    found = problems(settings, store, months)
    print("\n".join(found) or f"All {NUM_MONTHS} months are taken, labelled and evaluated (synthetic).")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
