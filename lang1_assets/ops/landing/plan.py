"""What is to be done about the exports that have landed: a function of what there is, and not of what happened before.

Whoever asks, sensor, schedule or person, and in whichever order the exports came, the same state asks for the same work, and
where everything is done for none. What is asked for has a key, so that it is never asked for twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from lang1_assets.ops.landing.arrivals import Arrival
from lang1_assets.ops.landing.ripeness import Covered, Ripeness, ripeness

EXPORT, COHORTS, EVALUATION = "landed_export", "landed_cohorts", "landed_evaluation"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An export that was taken."""

    content: str
    covers_until: date
    revision: int
    """1 for the first export of a month, 2 for its correction."""
    listing: str
    """Digest of the listing in the landing area when it was taken."""
    has_files: bool = True
    """Whether the fetched files are still kept; deleted after their time, or with somebody who was forgotten."""

    @property
    def key(self) -> str:
        """As `Arrival.key` of the same export."""
        return f"{self.content}@{self.covers_until.isoformat()}"


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The cohorts of a month."""

    key: str
    """Of the export that they were made from."""
    followed_by: Mapping[str, str]
    unripe: frozenset[str]
    fingerprint: str
    created: str
    """When; two that are the same but for this have another in between."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The evaluation of a month by one model."""

    model: str
    """Fingerprint."""
    cohorts: str
    """Fingerprint."""
    created: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An export that was looked at and not taken: wrong, or what was taken already."""

    listing: str
    content: str | None = None
    held_by: str | None = None
    """The month that had the same content, which is this one where its files were written again without a change; None where
    the export itself is at fault."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that decides what is to be done, by month."""

    taken: Mapping[str, Taken] = field(default_factory=dict)
    labelled: Mapping[str, Labelled] = field(default_factory=dict)
    evaluated: Mapping[str, Mapping[str, Evaluated]] = field(default_factory=dict)
    """Month -> recipe -> its evaluation."""
    in_service: Mapping[str, str] = field(default_factory=dict)
    """Recipe -> fingerprint of its model."""
    refused: Mapping[str, Refused] = field(default_factory=dict)
    forgotten: str | None = None
    """Hash of the list of people who are forgotten; None while nobody is. With each of them months may have to be made again."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One run."""

    month: str
    steps: tuple[str, ...]
    """The assets to materialize, in order."""
    key: str
    """The same whenever the same is asked for from the same state."""
    listing: str | None = None
    """Of the export that is to be taken."""


def due(state: State, arrived: Mapping[str, Arrival], follow_up_days: Mapping[str, int]) -> list[Work]:
    """What is to be done first of each month, the oldest month first; as `choices`."""
    return [works[0] for works in choices(state, arrived, follow_up_days)]


def choices(state: State, arrived: Mapping[str, Arrival], follow_up_days: Mapping[str, int]) -> list[tuple[Work, ...]]:
    """Of each month what is to be done, and, should that fail again and again, what can be done without; the oldest month first.

    Args:
        arrived: exports as they lie in the landing area, where that is not what was taken, or where it is `needed_again`.
        follow_up_days: of each task.
    """
    needed, exports = needed_again(state, follow_up_days), Exports.of(state.taken)
    found = []
    for month in sorted({*state.taken, *arrived}):
        arrival, works = arrived.get(month), []
        if arrival is not None and is_news(state, arrival, is_needed=month in needed):
            works.append(taking(state, arrival, needed.get(month, {})))
        if month in state.taken:
            works += following(state, month, exports, follow_up_days)
        if works:
            found.append(tuple(works))
    return found


@dataclass(frozen=True, kw_only=True)
class Exports:
    """What ripeness is decided on, by month."""

    taken: Mapping[str, Taken]
    covered: Mapping[str, Covered]
    with_files: Mapping[str, Covered]
    """Without those whose files were deleted after their time."""

    @staticmethod
    def of(taken: Mapping[str, Taken]) -> Exports:
        covered = {name: Covered(content=one.content, covers_until=one.covers_until) for name, one in taken.items()}
        return Exports(
            taken=taken, covered=covered, with_files={name: covered[name] for name in taken if taken[name].has_files}
        )

    def without_files(self, month: str, ripe: Ripeness) -> list[str]:
        return [name for name in (month, *ripe.followed_by) if name not in self.with_files]

    def to_be_made_with(
        self, month: str, labelled_key: str | None, follow_up_days: Mapping[str, int]
    ) -> Ripeness | None:
        """The later months that a month's cohorts are made with; None where files are gone and the cohorts stay as they are.

        Args:
            labelled_key: of the export that the cohorts are of; None where there are none.
        """
        ripe = ripeness(month, self.covered, follow_up_days)
        if not self.without_files(month, ripe):
            return ripe
        if month not in self.with_files or labelled_key == self.taken[month].key:
            return None
        # Better a month without its returns than none, or one of an export that was corrected.
        return ripeness(month, self.with_files, follow_up_days)


def needed_again(state: State, follow_up_days: Mapping[str, int]) -> dict[str, dict[str, str | None]]:
    """Month whose files were deleted -> the months whose cohorts are to be made with them, and when those were made last."""
    exports, found = Exports.of(state.taken), dict[str, dict[str, str | None]]()
    for month, taken in state.taken.items():
        ripe, labelled = ripeness(month, exports.covered, follow_up_days), state.labelled.get(month)
        if not is_up_to_date(taken, labelled, ripe):
            for name in exports.without_files(month, ripe):
                found.setdefault(name, {})[month] = labelled.created if labelled else None
    return found


def is_news(state: State, arrival: Arrival, *, is_needed: bool) -> bool:
    """Whether an export is whole, other than what was taken or needed once more, and not refused already as it is."""
    taken, refused = state.taken.get(arrival.month), state.refused.get(arrival.month)
    if arrival.waiting_for is not None or (taken is not None and taken.key == arrival.key and not is_needed):
        return False
    if refused is None or refused.listing != arrival.listing:
        return True
    if refused.held_by is None:
        return False
    # The month that had the content may have been corrected since.
    held = state.taken.get(refused.held_by)
    return held is None or held.content != refused.content or (is_needed and refused.held_by == arrival.month)


def holder(state: State, content: str | None, month: str) -> str | None:
    """The other month whose export has this content."""
    return next((other for other, one in state.taken.items() if one.content == content and other != month), None)


def taking(state: State, arrival: Arrival, needed_by: Mapping[str, str | None]) -> Work:
    """All three steps; without a model in service the last one waits for one."""
    steps = (EXPORT, COHORTS, *([EVALUATION] if state.in_service else []))
    taken = state.taken.get(arrival.month)
    # Corrected back to what it was before, the same content is news again.
    asked = {
        "export": arrival.key,
        "after": taken.revision if taken else 0,
        "held_by": holder(state, arrival.content, arrival.month) if arrival.content else None,
        "forgotten": state.forgotten,
        "needed_by": needed_by,
    }
    return Work(month=arrival.month, steps=steps, key=key_of(arrival.month, steps, asked), listing=arrival.listing)


def following(state: State, month: str, exports: Exports, follow_up_days: Mapping[str, int]) -> Iterator[Work]:
    """What is left to do about a month that was taken."""
    taken, labelled = state.taken[month], state.labelled.get(month)
    ripe = exports.to_be_made_with(month, labelled.key if labelled else None, follow_up_days)
    if ripe is not None and not is_up_to_date(taken, labelled, ripe):
        steps = (COHORTS, *([EVALUATION] if state.in_service else []))
        asked: dict[str, Any] = {"export": taken.key, "followed_by": ripe.followed_by, "unripe": sorted(ripe.unripe)}
        asked |= {"after": labelled.created if labelled else None, "forgotten": state.forgotten}
        yield Work(month=month, steps=steps, key=key_of(month, steps, asked))
    if labelled is None or labelled.key != taken.key:
        return
    found = state.evaluated.get(month, {})
    missing = {
        recipe: {
            "model": model,
            "cohorts": labelled.fingerprint,
            "after": found[recipe].created if recipe in found else None,
        }
        for recipe, model in state.in_service.items()
        if recipe not in found or (found[recipe].model, found[recipe].cohorts) != (model, labelled.fingerprint)
    }
    if missing:
        yield Work(month=month, steps=(EVALUATION,), key=key_of(month, (EVALUATION,), missing))


def is_up_to_date(taken: Taken, labelled: Labelled | None, ripe: Ripeness) -> bool:
    """Whether the cohorts are of this export, with the later ones that there are by now."""
    if labelled is None or labelled.key != taken.key:
        return False
    return dict(labelled.followed_by) == dict(ripe.followed_by) and labelled.unripe == frozenset(ripe.unripe)


def key_of(month: str, steps: tuple[str, ...], asked: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return f"{month}:{steps[0].removeprefix('landed_')}:{digest}"
