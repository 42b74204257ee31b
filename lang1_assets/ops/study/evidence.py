"""From intervals to a verdict, by one rule for every claim, whichever way it turns out.

A claim says that a number lies in a region: above 0, below a margin, between two. It holds where the number's interval lies in the
region, does not hold where the interval lies outside, and cannot be told where the interval crosses a bound or the number
cannot be had. Of a region and its complement the verdicts are each other's opposite.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

from lang1_assets.ops.bootstrap import NORMAL_QUANTILE
from lang1_assets.ops.study.cells import CLINICAL, Sought, Studied
from lang1_assets.ops.study.claim import Claim, Judged, Verdict
from lang1_assets.ops.study.resampling import Distribution, StudyError, Term, distribution

HOLDS: Verdict = "holds"
DOES_NOT_HOLD: Verdict = "does not hold"
CANNOT_TELL: Verdict = "cannot tell"
ERROR_RATE = 0.05
"""Of a claim, shared among the comparisons it needs (Bonferroni)."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where a claim says that a number lies."""

    lower: float = -math.inf
    upper: float = math.inf

    def verdict(self, low: float, high: float) -> Verdict:
        """Of a number with the interval from `low` to `high`.

        >>> Region(lower=0).verdict(0.1, 0.3), Region(lower=0).verdict(-0.3, -0.1), Region(lower=0).verdict(-0.1, 0.1)
        ('holds', 'does not hold', 'cannot tell')
        """
        if self.lower < low and high < self.upper:
            return HOLDS
        return DOES_NOT_HOLD if high < self.lower or low > self.upper else CANNOT_TELL


ABOVE, BELOW = Region(lower=0), Region(upper=0)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One number that a claim rests on."""

    about: str
    value: float
    low: float
    high: float
    level: float
    region: Region
    n: int | None = None
    sources: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.region.verdict(self.low, self.high)

    def __str__(self) -> str:
        return f"{self.about} {self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """A number that cannot be had, and why."""

    about: str
    why: str
    absent: tuple[str, ...] = ()
    """The artifacts that were not evaluated, where that is why."""

    @property
    def verdict(self) -> Verdict:
        return CANNOT_TELL


Weighed = Evidence | Lacking


@dataclass(frozen=True, kw_only=True)
class Question:
    """A claim and how it is judged."""

    claim: Claim
    weigh: Callable[[Studied], Sequence[Weighed]]
    needed: Callable[[int], int] = lambda count: count
    """How many of so many numbers must lie in the region; all of them."""
    is_of_clinical_base: bool = False
    """Whether it is about ours as a base that read clinical text: of one that read none it says nothing."""


def judge(question: Question, studied: Studied, figure: str) -> Judged:
    weighed = question.weigh(studied) if is_answerable(question, studied) else [no_clinical_text(studied.ours.name)]
    verdict = decide([one.verdict for one in weighed], question.needed(len(weighed)))
    found = [one for one in weighed if isinstance(one, Evidence)]
    return Judged(
        claim=question.claim,
        verdict=verdict,
        numbers=in_words(weighed, question.needed(len(weighed))),
        figure=figure,
        details=tuple(detail(one) for one in weighed),
        sources=tuple(dict.fromkeys(source for one in found for source in one.sources)),
    )


def is_answerable(question: Question, studied: Studied) -> bool:
    return bool(studied.ours.corpora & CLINICAL) or not question.is_of_clinical_base


def no_clinical_text(ours: str) -> Lacking:
    return Lacking(about=ours, why="the profile's first variant read no clinical text that the profile knows of")


def decide(verdicts: Sequence[Verdict], needed: int) -> Verdict:
    """Of a claim that needs `needed` of its numbers: whether that many hold, or so many do not that it cannot be reached.

    >>> decide(["holds", "holds", "does not hold"], 2), decide(["holds", "cannot tell", "does not hold"], 2)
    ('holds', 'cannot tell')
    """
    if not verdicts or needed > len(verdicts):
        return CANNOT_TELL
    if verdicts.count(HOLDS) >= needed:
        return HOLDS
    return DOES_NOT_HOLD if verdicts.count(DOES_NOT_HOLD) > len(verdicts) - needed else CANNOT_TELL


def in_words(weighed: Sequence[Weighed], needed: int) -> str:
    if not weighed:
        return "Nothing to compare was evaluated."
    found = [one for one in weighed if isinstance(one, Evidence)]
    lacking = [one for one in weighed if isinstance(one, Lacking)]
    level = f", intervals of {max(one.level for one in found):.1%}" if found else ""
    count = sum(one.verdict == HOLDS for one in weighed)
    said = [f"{count} of {len(weighed)} hold, {needed} needed{level}"] if len(weighed) > 1 else []
    said += ["; ".join(str(one) for one in found)] if found else []
    said += ["Not there: " + "; ".join(reasons(lacking))] if lacking else []
    return ". ".join(said)


def reasons(lacking: Sequence[Lacking]) -> list[str]:
    """Each missing artifact and each other reason once, with the comparison that lacks for it or how many do."""
    alone: dict[str, str] = {}
    abouts: dict[str, list[str]] = defaultdict(list)
    for one in lacking:
        alone |= {one.why: f"{one.about}: {one.why}"} | {name: f"{name} for {one.about}" for name in one.absent}
        for reason in one.absent or (one.why,):
            abouts[reason].append(one.about)
    return [
        alone[reason] if len(found) == 1 else f"{reason} ({len(found)} comparisons)" for reason, found in abouts.items()
    ]


def detail(one: Weighed) -> dict[str, object]:
    """A row of the claim's table; a bound that is no bound is None, because JSON has no infinity."""
    values = asdict(one)
    if isinstance(one, Evidence):
        bounds = {name: bound if math.isfinite(bound) else None for name, bound in asdict(one.region).items()}
        values |= {"region": bounds, "sources": list(one.sources)}
    else:
        values |= {"absent": list(one.absent)}
    return {**values, "verdict": one.verdict}


def shared(count: int) -> float:
    """Confidence of each of so many intervals.

    >>> shared(5)
    0.99
    """
    return 1 - ERROR_RATE / max(1, count)


def widened(value: float, low: float, high: float, level: float) -> tuple[float, float]:
    """The 95 % interval that an analysis keeps, at another level: each side by the ratio of the normal quantiles.

    >>> tuple(round(bound, 3) for bound in widened(0.0, -1.0, 2.0, 0.99))
    (-1.314, 2.628)
    """
    wider = NormalDist().inv_cdf(1 - (1 - level) / 2) / NORMAL_QUANTILE
    return value + wider * (low - value), value + wider * (high - value)


Part = tuple[float, Sought, str, str]
"""Weight, cell, task and split of an AUROC in a sum."""


def weighed_sum(studied: Studied, about: str, parts: Iterable[Part], region: Region, level: float) -> Weighed:
    """A weighted sum of AUROCs, or the cells that lack for it."""
    return least(studied, about, [parts], region, level)


def least(
    studied: Studied, about: str, several: Sequence[Iterable[Part]], region: Region, level: float, sign: int = 1
) -> Weighed:
    """The least of several sums of AUROCs (with `sign` -1 the largest); what lacks for one lacks for all.

    Which one is the least is chosen by the same notes, so an interval of the chosen one alone would be too near. The least
    is one of them: it lies above the lowest of their lower bounds as surely as any one of these holds. It lies below all
    upper bounds only where all of these hold at once: they share the error (Bonferroni).
    """
    found = [resampled_sum(studied, about, parts) for parts in several]
    for one in found:
        if isinstance(one, Lacking):
            return one
    sums = [one for one in found if not isinstance(one, Lacking)]
    if not sums:
        return Lacking(about=about, why="nothing was evaluated")
    alone, together = (1 - level) / 2, (1 - level) / 2 / len(sums)
    tails = (alone, together) if sign > 0 else (together, alone)
    choose = min if sign > 0 else max
    bounds = [one.bounds(*tails) for one, _ in sums]
    return Evidence(
        about=about,
        value=choose(one.value for one, _ in sums),
        low=choose(low for low, _ in bounds),
        high=choose(high for _, high in bounds),
        level=level,
        n=min(one.n for one, _ in sums),
        region=region,
        sources=tuple(dict.fromkeys(source for _, sources in sums for source in sources)),
    )


def resampled_sum(
    studied: Studied, about: str, parts: Iterable[Part]
) -> tuple[Distribution, tuple[str, ...]] | Lacking:
    """With the artifacts that it is of."""
    parts = list(parts)
    gone = dict.fromkeys(sought.name for _, sought, _, _ in parts if sought.cell is None)
    if gone or not parts:
        return Lacking(about=about, why=f"{', '.join(gone) or 'nothing'} was not evaluated", absent=tuple(gone))
    terms = [
        Term(weight=weight, cell=sought.cell, task=task, split=split)
        for weight, sought, task, split in parts
        if sought.cell is not None
    ]
    try:
        found = distribution(terms, num_resamples=studied.num_resamples, seed=studied.seed)
    except StudyError as error:
        return Lacking(about=about, why=str(error))
    return found, tuple(dict.fromkeys(term.cell.source for term in terms))


def less(second: Sought, first: Sought, task: str, split: str, weight: float = 1.0) -> list[Part]:
    """The second's AUROC less the first's."""
    return [(weight, second, task, split), (-weight, first, task, split)]
