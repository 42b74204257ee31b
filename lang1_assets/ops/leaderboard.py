"""Every model beside every other on one split: AUROC, its interval, and whether the best is better on the same notes.

Models behind a chat server are sampled, and sampling alone costs several points of AUROC. So each model that gives
probabilities also has the AUROC that it would get if it were asked as those are, task by task: that column compares all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import polars as pl

from lang1_assets.ops.comparison import Difference, bootstrap_test, holm, on, paired
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.results import AUROC, ResultRow, finite, labels_and_probabilities
from lang1_assets.ops.served.chat import sampled
from lang1_assets.ops.served.model import GREEDY, TEN_SAMPLES, Sampling
from lang1_assets.ops.tasks import TASKS

MINIMUM_COMMON_NOTES = 30
"""With fewer notes in common two models are not compared."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One evaluation, as it was left behind."""

    model: str
    mode: str
    kind: str
    predictions: pl.DataFrame
    """Rows of `schemas.PREDICTIONS`."""
    rows: Sequence[ResultRow]
    answers: Sequence[dict[str, Any]] = field(default_factory=tuple)
    """`outside_models.AnswersRow` of a served model."""

    @property
    def is_sampled(self) -> bool:
        return any(row["num_answers"] for row in self.answers)


class Entry(TypedDict):
    """One model on one task."""

    model: str
    mode: str
    kind: str
    task: str
    split: str
    n: int
    auroc: float | None
    low: float | None
    high: float | None
    """95 %, of resampled notes."""
    auroc_sampled: float | None
    """Asked as the chat models on the board are: ten samples, comorbidity greedily (appendix J)."""
    is_sampled: bool
    """Its own AUROC is of samples already."""
    classes_absent: list[str]
    invalid_share: float | None
    """Of a sampled model's answers."""
    num_not_scored: int
    num_rescued: int
    best: str
    """The model and mode with the highest AUROC on this task among those that scored the most notes."""
    common: int
    """Notes that it has in common with the best."""
    below_best: float | None
    below_best_low: float | None
    below_best_high: float | None
    """AUROC of the best less its own on those notes, with a 95 % interval from resampled patients."""
    p_value: float | None
    """Two-sided, of no difference, as if these two were the only models."""
    p_adjusted: float | None
    """Holm's, over the models that are compared with the best of this task."""


def leaderboard(evaluated: Sequence[Evaluated], split: str, num_resamples: int, seed: int) -> list[Entry]:
    """An entry for each model and task that it was scored on in `split`; task by task, the highest AUROC first."""
    entries = []
    for task in TASKS:
        found = [(one, row) for one in evaluated if (row := auroc_of(one, task, split)) is not None]
        found.sort(key=lambda pair: -(pair[1]["value"] or 0.0))
        sampling = sampling_on_board(evaluated, task)
        entries += adjusted([entry(one, row, reference(found), sampling, num_resamples, seed) for one, row in found])
    return entries


def adjusted(entries: list[Entry]) -> list[Entry]:
    """The entries of one task with their `p_adjusted`: of twenty models as good as the best, one would be worse by luck."""
    tested = [entry for entry in entries if entry["p_value"] is not None]
    for entry, p_value in zip(tested, holm([entry["p_value"] or 0.0 for entry in tested]), strict=True):
        entry["p_adjusted"] = p_value
    return entries


def reference(found: Sequence[tuple[Evaluated, ResultRow]]) -> Evaluated:
    """The first of those that scored the most notes: twenty notes make anything the best."""
    most = max(row["n"] for _, row in found)
    return next(one for one, row in found if row["n"] == most)


def sampling_on_board(evaluated: Sequence[Evaluated], task: str) -> Sampling:
    """How the chat models on the board were asked, the first one where they differ; without any, as the paper asked."""
    asked = [
        row["abilities"]["sampled"]
        for one in evaluated
        for row in one.answers
        if row["task"] == task and row["num_answers"]
    ]
    if asked:
        return Sampling(**asked[0])
    return GREEDY if task == "comorbidity" else TEN_SAMPLES


def auroc_of(one: Evaluated, task: str, split: str) -> ResultRow | None:
    rows = (row for row in one.rows if (row["task"], row["split"], row["metric"]) == (task, split, AUROC))
    return next((row for row in rows if row["value"] is not None), None)


def entry(one: Evaluated, row: ResultRow, best: Evaluated, sampling: Sampling, num_resamples: int, seed: int) -> Entry:
    task, split = row["task"], row["split"]
    group = on(one.predictions, task, split)
    asked = next((item for item in one.answers if (item["task"], item["split"]) == (task, split)), None)
    common, difference = (0, None) if one is best else difference_to(best, group, task, split, num_resamples, seed)
    return Entry(
        model=one.model,
        mode=one.mode,
        kind=one.kind,
        task=task,
        split=split,
        n=row["n"],
        auroc=row["value"],
        low=row["low"],
        high=row["high"],
        auroc_sampled=row["value"] if one.is_sampled else auroc_if_sampled(group, sampling, seed),
        is_sampled=one.is_sampled,
        classes_absent=row["classes_absent"],
        invalid_share=asked["num_invalid"] / asked["num_answers"] if asked and asked["num_answers"] else None,
        num_not_scored=sum(asked["not_scored"].values()) if asked else 0,
        num_rescued=asked["num_rescued"] if asked else 0,
        best=f"{best.model}, {best.mode}",
        common=common,
        below_best=finite(difference.value) if difference else None,
        below_best_low=finite(difference.low) if difference else None,
        below_best_high=finite(difference.high) if difference else None,
        p_value=finite(difference.p_value) if difference else None,
        p_adjusted=None,
    )


def auroc_if_sampled(group: pl.DataFrame, sampling: Sampling, seed: int) -> float | None:
    labels, probabilities = labels_and_probabilities(group)
    return finite(auroc(labels, sampled(probabilities, sampling, seed)).value)


def difference_to(
    best: Evaluated, group: pl.DataFrame, task: str, split: str, num_resamples: int, seed: int
) -> tuple[int, Difference | None]:
    """Notes in common, and AUROC of the best less this one's on them; None where they are too few or of one class."""
    others = on(best.predictions, task, split)
    shared = group.join(others, on="note_id", how="semi")
    if len(shared) < MINIMUM_COMMON_NOTES or shared["label"].n_unique() < 2:
        return len(shared), None
    pair = paired(shared, others)
    clusters = pl.Series(pair.patients).rank("dense").to_numpy()
    return len(shared), bootstrap_test(
        pair.labels, pair.first, pair.second, num_resamples=num_resamples, seed=seed, clusters=clusters
    )


NOTHING = "\N{EN DASH}"
SAMPLED_MARK = "\N{DAGGER}"
"""Beside the AUROC of a model that was sampled: it has no other."""
HEADER = ("Model", "Mode", "Notes", "AUROC", "Sampled", "Below the best", "p (Holm)", "Answers")


def cells(entry: Entry) -> list[str]:
    """A line of the leaderboard under `HEADER`, as people read it."""
    # A leaderboard of earlier code has none of these.
    asked, p_value = entry["auroc_sampled"], entry.get("p_adjusted")
    return [
        entry["model"],
        entry["mode"].replace("_", "-"),
        f"{entry['n']:,}",
        with_interval(entry["auroc"], entry["low"], entry["high"]),
        NOTHING if asked is None else f"{asked:.3f}" + (SAMPLED_MARK if entry["is_sampled"] else ""),
        below_text(entry),
        NOTHING if p_value is None else f"{p_value:.3f}",
        answers_text(entry),
    ]


def below_text(entry: Entry) -> str:
    if entry["best"] == f"{entry['model']}, {entry['mode']}":
        return "best"
    if entry["below_best"] is None:
        return f"too few notes in common ({entry['common']})"
    text = with_interval(entry["below_best"], entry["below_best_low"], entry["below_best_high"])
    return text if entry["common"] == entry["n"] else f"{text} on {entry['common']:,}"


def answers_text(entry: Entry) -> str:
    said = []
    if entry["invalid_share"] is not None:
        said.append(f"{entry['invalid_share']:.1%} invalid")
    if entry["num_rescued"]:
        said.append(f"{entry['num_rescued']} rescued")
    if entry["num_not_scored"]:
        said.append(f"{entry['num_not_scored']} unscored")
    return ", ".join(said) or NOTHING


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} \N{EN DASH} {high:.3f})"
