"""May a new model take the place of the one in service: a paired test of both on the notes that both scored.

One number decides: the mean over the tasks of the difference of their AUROCs, in resamples of patients. A patient has notes of
several tasks, so all tasks are resampled together. Several candidates share the 5 % (Bonferroni): of twenty one would win by luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lang1_assets.ops.bootstrap import MacroAuroc, mean_of_present, resample_weights
from lang1_assets.ops.comparison import Difference, PairedPredictions, bootstrap_test, on, paired, share_p_value
from lang1_assets.ops.metrics import Floats, MetricError
from lang1_assets.ops.schemas import PREDICTIONS_FILE

LEVEL = 0.05
MINIMUM_COMMON_NOTES = 30
"""As on the leaderboard: with fewer notes in common two models are not compared."""


@dataclass(frozen=True, kw_only=True)
class TaskCompared:
    """One task, the candidate less the model in service."""

    task: str
    num_notes: int
    """That both scored."""
    auroc: Difference | None
    """With a 95 % interval from resampled patients."""
    problem: str | None
    """Why there is none."""


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A candidate against the model in service."""

    tasks: list[TaskCompared]
    mean: Difference | None
    """Of the tasks that have a difference; its interval is of 1 - 5 % / candidates. None where no task has."""

    @property
    def is_better(self) -> bool:
        return self.mean is not None and self.mean.low > 0

    @property
    def is_worse(self) -> bool:
        return self.mean is not None and self.mean.high < 0


def challenge(
    in_service: pl.DataFrame, candidate: pl.DataFrame, split: str, *, num_candidates: int, num_resamples: int, seed: int
) -> Challenge:
    """Both on each task of one split.

    Args:
        in_service, candidate: rows of `schemas.PREDICTIONS`.
        num_candidates: how many are compared with the same model on the same notes.
    """
    names = [frame.filter(split=split)["task"].unique(maintain_order=True) for frame in (in_service, candidate)]
    compared: list[TaskCompared] = []
    pairs: list[PairedPredictions] = []
    for task in (name for name in names[0] if name in set(names[1])):
        pair = pair_of(on(in_service, task, split), on(candidate, task, split))
        if isinstance(pair, str):
            compared.append(TaskCompared(task=task, num_notes=0, auroc=None, problem=pair))
            continue
        pairs.append(pair)
        clusters = np.unique(pair.patients, return_inverse=True)[1]
        test = bootstrap_test(
            pair.labels, pair.first, pair.second, num_resamples=num_resamples, seed=seed, clusters=clusters
        )
        compared.append(TaskCompared(task=task, num_notes=len(pair.labels), auroc=test, problem=None))
    mean = mean_difference(pairs, LEVEL / num_candidates, num_resamples, seed) if pairs else None
    return Challenge(tasks=compared, mean=mean)


def pair_of(first: pl.DataFrame, second: pl.DataFrame) -> PairedPredictions | str:
    """Both side by side, or why they cannot be."""
    common = first.join(second, on="note_id", how="semi")
    if len(common) < MINIMUM_COMMON_NOTES or common["label"].n_unique() < 2:
        return f"{len(common)} notes in common, of {common['label'].n_unique()} class(es)"
    try:
        return paired(first, second)
    except MetricError:
        return "scored on other labels than there are now"


def mean_difference(pairs: Sequence[PairedPredictions], level: float, num_resamples: int, seed: int) -> Difference:
    """The mean over the tasks, with an interval of 1 - `level`: patients are drawn once for all of their notes."""
    models = [(MacroAuroc(pair.labels, pair.first), MacroAuroc(pair.labels, pair.second)) for pair in pairs]
    edges = np.cumsum([0, *(len(pair.labels) for pair in pairs)])
    patients = np.concatenate([pair.patients for pair in pairs])

    def of_weights(weights: Floats) -> tuple[Floats, Floats]:
        """(b,) of the model in service and of the candidate."""
        parts = [weights[:, edges[i] : edges[i + 1]] for i in range(len(pairs))]
        both = [[one[k].of_weights(part) for one, part in zip(models, parts, strict=True)] for k in (0, 1)]
        # A resample without a class of a task has no AUROC of it, of either model.
        return mean_of_present(both[0]), mean_of_present(both[1])

    blocks = resample_weights(int(edges[-1]), num_resamples=num_resamples, seed=seed, clusters=patients)
    differences = np.concatenate([second - first for first, second in map(of_weights, blocks)])
    scored = differences[np.isfinite(differences)]
    first, second = (float(values[0]) for values in of_weights(np.ones((1, int(edges[-1])))))
    low, high = np.quantile(scored, [level / 2, 1 - level / 2]).tolist() if len(scored) else (np.nan, np.nan)
    return Difference(
        first=first,
        second=second,
        value=second - first,
        low=low,
        high=high,
        standard_error=float(np.std(scored, ddof=1)) if len(scored) > 1 else np.nan,
        p_value=share_p_value(scored),
    )


BETTER, WORSE, UNDECIDED = (
    "better: put in service",
    "worse: not put in service",
    "not shown to be better: not put in service",
)
LESS_BETTER, THE_SAME, NOT_COMPARED = "better, but another one by more", "in service already", "cannot be compared"
FIRST = "first in service"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A finetuned model and how it did."""

    variant: str
    fingerprint: str
    model: Path
    """The folder of its weights and tokenizer."""
    evaluation: Path
    """The folder of its evaluation on the tests."""
    tasks: tuple[str, ...]
    """Those that it was finetuned on: it is judged on them, and not on what it can do besides."""
    val_micro_auroc: float

    @property
    def predictions(self) -> pl.DataFrame:
        return pl.read_parquet(self.evaluation / PREDICTIONS_FILE).filter(pl.col("task").is_in(self.tasks))


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of one contender, and why."""

    variant: str
    fingerprint: str
    decision: str
    reason: str
    against: str = ""
    """The variant that it was compared with."""
    mean: dict[str, Any] | None = None
    tasks: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """On which notes, and how surely."""

    split: str
    num_resamples: int
    seed: int


def decide(
    in_service: Contender | None, contenders: list[Contender], how: Comparing
) -> tuple[Contender, list[Decision]]:
    """The model that serves from now on, and what became of each.

    The first one in service is the best on validation, unless another is shown to be better on the test.
    """
    # The same model evaluated anew, on other notes perhaps, is compared by its latest evaluation.
    current = next((one for one in contenders if in_service and one.fingerprint == in_service.fingerprint), in_service)
    reason = "none was in service"
    if current is not None:
        compared = challenges(how, current, contenders)
        if current in contenders:
            return settled(current, contenders, [of(current, THE_SAME, "the model in service")], compared)
        if any(decision.mean is not None for decision in compared):
            return settled(current, contenders, [], compared)
        reason = f"{current.variant} can no longer be compared with any"
    best = max(contenders, key=lambda one: one.val_micro_auroc)
    first = of(best, FIRST, f"{reason}; the best on validation ({best.val_micro_auroc:.3f})")
    return settled(best, contenders, [first], challenges(how, best, contenders))


def challenges(how: Comparing, current: Contender, contenders: list[Contender]) -> list[Decision]:
    others = [one for one in contenders if one.fingerprint != current.fingerprint]
    return [compare(how, current, other, len(others)) for other in others]


def settled(
    current: Contender, contenders: list[Contender], before: list[Decision], compared: list[Decision]
) -> tuple[Contender, list[Decision]]:
    """The winner, else the one that serves; of several that are better, only one takes over."""
    winner = best_of(compared)
    decisions = [
        decision if decision.decision != BETTER or decision is winner else replace(decision, decision=LESS_BETTER)
        for decision in compared
    ]
    if winner is not None:
        current = next(one for one in contenders if one.fingerprint == winner.fingerprint)
    return current, [*before, *decisions]


def compare(how: Comparing, current: Contender, candidate: Contender, num_candidates: int) -> Decision:
    found = challenge(
        current.predictions,
        candidate.predictions,
        how.split,
        num_candidates=num_candidates,
        num_resamples=how.num_resamples,
        seed=how.seed,
    )
    if found.mean is None:
        decision, reason = (
            NOT_COMPARED,
            "; ".join(f"{row.task}: {row.problem}" for row in found.tasks) or "no common task",
        )
    else:
        decision = BETTER if found.is_better else WORSE if found.is_worse else UNDECIDED
        num_tasks = sum(row.auroc is not None for row in found.tasks)
        reason = (
            f"mean AUROC over {num_tasks} task(s) {found.mean.value:+.3f} ({found.mean.low:+.3f} to {found.mean.high:+.3f}), "
            f"shared among {num_candidates} candidate(s)"
        )
    return of(
        candidate,
        decision,
        reason,
        against=current.variant,
        mean=None if found.mean is None else asdict(found.mean),
        tasks=[asdict(row) for row in found.tasks],
    )


def of(contender: Contender, decision: str, reason: str, **compared: Any) -> Decision:
    return Decision(
        variant=contender.variant, fingerprint=contender.fingerprint, decision=decision, reason=reason, **compared
    )


def best_of(compared: list[Decision]) -> Decision | None:
    """The one that is better by most."""
    better = [decision for decision in compared if decision.decision == BETTER and decision.mean]
    return max(better, key=lambda decision: decision.mean["value"] if decision.mean else 0.0, default=None)
