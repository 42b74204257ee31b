"""Leak checks: does a task's data give its answer away?

A leak is anything that a model can read and that a clinician at the index time could not have known: a note written too
late, an input window that differs by class, a phrase that states the outcome, a test note seen in training. Every check is
a pure function and can fail; `leak_checks` runs them all. A hard fact that is broken is an 'error', a number that asks for
a look is a 'warn' (operational tasks do carry signal in who writes, where and how much). Groups too small to judge pass
and say "cannot tell". Messages, numbers and tables hold counts and note ids, never text.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from lang1_assets.ops import schemas
from lang1_assets.ops.bootstrap import auroc_distribution, bootstrap_auroc, percentile_interval
from lang1_assets.ops.metrics import Floats, Integers, auroc, one_hot, pairwise_auroc
from lang1_assets.ops.outcome_phrases import mask_phrases, phrase_hits, phrase_numbers
from lang1_assets.ops.results import HEADLINE_SPLIT
from lang1_assets.ops.tasks import Task

Severity = Literal["error", "warn"]
Cell = float | int | str | None

NUM_RESAMPLES = 200
"""Of the bootstrap intervals here: they decide on a leak, not on a printed number."""
SIGNIFICANCE = 0.001
"""Of a test on one phrase and class or one window, before Bonferroni: a check of many tasks must not cry wolf."""
SHINGLE_WORDS = 5
NUM_BANDS, ROWS_PER_BAND = 12, 5
"""MinHash banding: a pair of Jaccard similarity 0.8 becomes a candidate with probability 0.992, of 0.3 with 0.03."""
NEAR_DUPLICATE = 0.8
"""Jaccard similarity of 5-word shingles from which two texts count as near-duplicates."""
CANDIDATES_PER_BUCKET = 20


class LeakageError(ValueError):
    """Examples and timing cannot be checked: they are empty or do not belong together."""


@dataclass(frozen=True, kw_only=True)
class LeakLimits:
    """What the cohort was built with, and from where on a number is a question."""

    hp_max_hours_before_admission: float
    hp_max_hours_after_admission: float
    discharge_note_max_hours_after_discharge: float
    readmission_days: int
    strict_follow_up: bool = False
    """Also ask complete follow-up of readmitted patients, whose label is known without it."""
    timing_auroc: tuple[float, float] = (0.45, 0.55)
    """Lead time may predict the class this well; asked when the interval lies outside."""
    timing_distance: float = 0.15
    """Largest difference of the two classes' distribution functions (Kolmogorov-Smirnov) that goes unasked."""
    masking_cost: float = 0.02
    """AUROC that masking may cost."""
    metadata_auroc: float = 0.75
    metadata_auroc_impossible: float = 0.95
    suspicious_auroc: float = 0.98
    min_notes: int = 30
    """Groups smaller than this are not judged."""
    max_train_notes: int = 20_000
    max_test_notes: int = 10_000
    max_compared_notes: int = 30_000
    """Of the training notes, and of the others, that are compared for near-duplicates."""
    num_permutations: int = 40
    max_permuted_notes: int = 2_000


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """The outcome of one check."""

    name: str
    passed: bool
    severity: Severity
    """How bad it is if it did not pass."""
    message: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    table: tuple[dict[str, Cell], ...] = ()


def leak_checks(
    task: Task,
    examples: pl.DataFrame,
    timing: pl.DataFrame,
    limits: LeakLimits,
    *,
    corpus_hashes: pl.DataFrame | None = None,
    split_by: Literal["note", "patient"],
    seed: int,
    aurocs: Mapping[str, float] | None = None,
) -> list[LeakCheck]:
    """Every check of one task.

    Args:
        examples: rows of `schemas.EXAMPLES`.
        timing: rows of `schemas.TIMING`, of this task or of all; the column `task` may be missing.
        corpus_hashes: `note_id` and `text_hash` (`hashed_texts`) of the notes that pretraining reads.
        split_by: what the development window was cut by.
        aurocs: results to look at beside this module's own models, by the name to print.

    Raises:
        LeakageError: there are no examples, a column is missing, or timing does not fit the examples.
    """
    notes = joined_timing(task, examples, timing)
    words = bag_of_words(task, notes, limits, seed)
    masked = auroc_change_when_masked(task, words, limits, seed)
    metadata = metadata_alone(task, notes, limits, seed)
    own = {f"{check.name} (test)": float(check.numbers.get("auroc", math.nan)) for check in (masked, metadata)}
    return [
        note_within_its_window(task, notes, limits),
        note_not_after_index_time(task, notes),
        outcome_after_index_time(notes),
        *([no_label_where_follow_up_is_censored(notes, limits)] if task.name == "readmission" else []),
        input_window_identical_for_both_classes(task, notes, limits),
        no_outcome_phrase(task, notes, limits),
        masked,
        metadata,
        shuffled_labels(words, limits, seed),
        too_good({**own, **(aurocs or {})}, limits),
        patient_overlap(notes, split_by),
        text_overlap(notes, limits, seed),
        corpus_overlap(notes, corpus_hashes),
    ]


def joined_timing(task: Task, examples: pl.DataFrame, timing: pl.DataFrame) -> pl.DataFrame:
    """Examples with the columns of `schemas.TIMING`, by note id.

    Raises:
        LeakageError: as `leak_checks`.
    """
    own = timing.filter(pl.col("task") == task.name) if "task" in timing.columns else timing
    for frame, name, expected in ((examples, "examples", schemas.EXAMPLES), (own, "timing", schemas.TIMING)):
        missing = [column for column in expected.names if column not in frame.columns and column != "task"]
        if missing:
            raise LeakageError(
                f"task '{task.name}': {name} lack column(s) {', '.join(missing)}; build the cohort again"
            )
        twice = frame.filter(pl.col("note_id").is_duplicated())["note_id"]
        if len(twice):
            raise LeakageError(f"task '{task.name}': {name} hold note_id {twice[0]} more than once")
    if examples.is_empty():
        raise LeakageError(f"task '{task.name}': no examples to check")
    columns = [pl.col(name) for name in schemas.TIMING.names if name not in ("task", "prediction_time")]
    joined = examples.join(
        own.select(*columns, timed_prediction=pl.col("prediction_time")), on="note_id", how="left", coalesce=True
    )
    strangers = examples.join(own, on="note_id", how="anti")["note_id"].to_list()
    moved = joined.filter(~pl.col("prediction_time").eq_missing(pl.col("timed_prediction")))["note_id"].to_list()
    for found, what in ((strangers, "have no timing"), (moved, "have another prediction_time in timing")):
        if found:
            raise LeakageError(
                f"task '{task.name}': {len(found)} examples {what} (first: note_id {min(found)}); timing and examples are "
                "of two cohorts, build both again"
            )
    return joined.drop("timed_prediction").sort("note_id")


def hours_between(later: str, earlier: str) -> pl.Expr:
    return (pl.col(later) - pl.col(earlier)).dt.total_microseconds() / 3.6e9


def offset_hours(task: Task) -> pl.Expr:
    """When a note was written: since discharge for a discharge note, since admission for an H&P."""
    return hours_between("written_time", "discharge_time" if task.note_type == "discharge" else "admit_time")


def offset_limits(task: Task, limits: LeakLimits) -> tuple[float, float]:
    """Hours between which `offset_hours` must lie; a discharge note may be begun at any time of the stay."""
    if task.note_type == "discharge":
        return -math.inf, limits.discharge_note_max_hours_after_discharge
    return -limits.hp_max_hours_before_admission, limits.hp_max_hours_after_admission


def broken_fact(
    name: str, notes: pl.DataFrame, is_broken: pl.Expr, message: str, **numbers: float | int | str
) -> LeakCheck:
    """An 'error' that counts the notes for which `is_broken`; unknown counts as broken."""
    judged = notes.select("note_id", "split", broken=is_broken.fill_null(True))
    broken = judged.filter("broken")["note_id"]
    by_split = judged.group_by("split").agg(num_notes=pl.len(), num_broken=pl.col("broken").sum()).sort("split")
    first = f" (first: note_id {broken[0]})" if len(broken) else ""
    return LeakCheck(
        name=name,
        passed=len(broken) == 0,
        severity="error",
        message=f"{len(broken):,} of {len(judged):,} notes {message}{first}",
        numbers={"num_notes": len(judged), "num_broken": len(broken), **numbers},
        table=tuple(by_split.to_dicts()),
    )


def cannot_tell(name: str, severity: Severity, why: str) -> LeakCheck:
    return LeakCheck(name=name, passed=True, severity=severity, message=f"cannot tell: {why}")


def note_within_its_window(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """An H&P lies around admission and strictly before discharge, a discharge note not too long after discharge."""
    low, high = offset_limits(task, limits)
    is_inside = offset_hours(task).is_between(low, high)
    if task.note_type != "discharge":
        is_inside &= pl.col("written_time") < pl.col("discharge_time")
    return broken_fact("note_within_its_window", notes, ~is_inside, "were written outside their window")


def note_not_after_index_time(task: Task, notes: pl.DataFrame) -> LeakCheck:
    """The index time is where the task puts it, and no H&P is younger.

    A discharge note is read at discharge although it may be signed some hours later: those are counted here, and
    `note_within_its_window` says which are too late.
    """
    num_later = int(notes.select((pl.col("written_time") > pl.col("prediction_time")).sum()).item())
    if task.note_type == "discharge":
        is_broken, what = (
            pl.col("prediction_time") != pl.col("discharge_time"),
            "have an index time other than discharge",
        )
    else:
        is_broken, what = pl.col("written_time") > pl.col("prediction_time"), "were written after their index time"
    return broken_fact("note_not_after_index_time", notes, is_broken, what, num_written_after_index_time=num_later)


def outcome_after_index_time(notes: pl.DataFrame) -> LeakCheck:
    """The outcome became known later than the index time, wherever it is known when."""
    name, known = "outcome_after_index_time", notes.filter(pl.col("outcome_time").is_not_null())
    if known.is_empty():
        return cannot_tell(name, "error", "no note has an outcome time")
    return broken_fact(
        name,
        known,
        pl.col("outcome_time") <= pl.col("prediction_time"),
        "have an outcome that was known at their index time",
        num_unknown=len(notes) - len(known),
    )


def no_label_where_follow_up_is_censored(notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """Who was not readmitted was watched for the whole target window; positives too if `strict_follow_up`."""
    window_end = pl.col("prediction_time") + pl.duration(days=limits.readmission_days)
    is_complete = (window_end <= pl.col("follow_up_end")).fill_null(False)
    is_known = pl.lit(False) if limits.strict_follow_up else pl.col("label") > 0
    return broken_fact(
        "no_label_where_follow_up_is_censored",
        notes,
        ~(is_complete | is_known),
        f"have a label without {limits.readmission_days} days of follow-up",
    )


def input_window_identical_for_both_classes(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """When a note was written says nothing of its class, and the classes keep the same limits.

    Each class against the rest: AUROC of the offset alone with a Hanley-McNeil interval, and the Kolmogorov-Smirnov distance,
    which also sees a class that is both earlier and later. An error when one class breaks the limits more often than the
    rest (Fisher's exact test); that notes break them at all is for `note_within_its_window`. A stay that ends before the
    window does cuts it short, which by itself tells a short stay: `auroc_of_longer_stays` leaves those out.
    """
    name = "input_window_identical_for_both_classes"
    frame = notes.select("label", hours=offset_hours(task), stay=hours_between("discharge_time", "admit_time"))
    frame = frame.drop_nulls("hours")
    rows = timing_rows(task, frame, limits)
    if not rows:
        return cannot_tell(name, "warn", f"fewer than {limits.min_notes} timed notes in a class or in the rest")
    num_tests = len(judged_classes(task))
    uneven = [row for row in rows if row["p_outside"] < SIGNIFICANCE / num_tests]
    telling = [row for row in rows if tells_class(row, num_tests, limits)]
    worst = max(rows, key=lambda row: abs(row["auroc"] - 0.5))
    numbers = {"num_notes": len(frame), "num_without_time": len(notes) - len(frame), "auroc": worst["auroc"]}
    longer = frame.filter(pl.col("stay") > limits.hp_max_hours_after_admission)
    without_short = pairwise_auroc((longer["label"] == worst["label"]).to_numpy(), longer["hours"].to_numpy())
    if task.note_type != "discharge" and not math.isnan(without_short):
        numbers["auroc_of_longer_stays"] = without_short
    return LeakCheck(
        name=name,
        passed=not (uneven or telling),
        severity="error" if uneven else "warn",
        message=f"AUROC of the time of writing alone {worst['auroc']:.3f} [{worst['low']:.3f}, {worst['high']:.3f}]"
        + (f"; class {uneven[0]['label']} keeps other limits than the rest" if uneven else ""),
        numbers=numbers,
        table=rows,
    )


def timing_rows(task: Task, frame: pl.DataFrame, limits: LeakLimits) -> tuple[dict[str, Any], ...]:
    """A row for each class that has, as its rest has, enough notes: `label` and `hours` in, what `timing_row` says out."""
    hours, labels = frame["hours"].to_numpy(), frame["label"].to_numpy()
    low, high = offset_limits(task, limits)
    outside, confidence = (hours < low) | (hours > high), 1 - 0.05 / len(judged_classes(task))
    groups = ((k, labels == k) for k in range(task.num_classes))
    return tuple(timing_row(hours, outside, group, k, confidence) for k, group in groups if enough(group, limits))


def judged_classes(task: Task) -> list[int]:
    """With two classes one against the rest says it all."""
    return [1] if task.num_classes == 2 else list(range(task.num_classes))


def enough(is_class: NDArray[np.bool_], limits: LeakLimits) -> bool:
    return min(int(is_class.sum()), int((~is_class).sum())) >= limits.min_notes


def timing_row(
    hours: Floats, outside: NDArray[np.bool_], is_class: NDArray[np.bool_], label: int, confidence: float
) -> dict[str, Any]:
    value = pairwise_auroc(is_class, hours)
    low, high = hanley_interval(value, int(is_class.sum()), int((~is_class).sum()), confidence)
    distance = stats.ks_2samp(hours[is_class], hours[~is_class], method="asymp")
    return {
        "label": label,
        "num_notes": int(is_class.sum()),
        "least_hours": float(hours[is_class].min()),
        "most_hours": float(hours[is_class].max()),
        "auroc": value,
        "low": low,
        "high": high,
        "distance": float(distance.statistic),
        "p_distance": float(distance.pvalue),
        "p_outside": fisher_p(outside, is_class),
    }


def tells_class(row: dict[str, Any], num_tests: int, limits: LeakLimits) -> bool:
    least, most = limits.timing_auroc
    is_apart = row["distance"] > limits.timing_distance and row["p_distance"] < SIGNIFICANCE / num_tests
    return bool(row["low"] > most or row["high"] < least or is_apart)


def hanley_interval(
    value: float, num_positive: int, num_negative: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Normal interval of an AUROC by the standard error of Hanley and McNeil (1982), cut to [0, 1].

    >>> low, high = hanley_interval(0.5, 100, 100)
    >>> round(low, 3), round(high, 3)
    (0.42, 0.58)
    """
    both_above, both_below = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (num_positive - 1) * (both_above - value**2)
    spread += (num_negative - 1) * (both_below - value**2)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(max(spread, 0) / (num_positive * num_negative))
    return max(0.0, value - half), min(1.0, value + half)


def two_by_two(flag: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> list[list[int]]:
    """[[flagged, not] of the class, [flagged, not] of the rest]."""
    return [[int((flag & group).sum()), int((~flag & group).sum())] for group in (is_class, ~is_class)]


def fisher_p(flag: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> float:
    return float(stats.fisher_exact(two_by_two(flag, is_class)).pvalue) if flag.any() else 1.0


def no_outcome_phrase(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """No note holds a phrase of `outcome_phrases`.

    An error when a phrase is at least twice as likely (odds) in one class, or in the rest, by Fisher's exact test, or when
    the number that it states orders the classes ("length of stay: 5 days"); a question when notes of all classes hold one
    alike, because such a note may be a copy or an addendum.
    """
    rows = phrase_rows(task, notes, limits)
    telling = [row for row in rows if row["p"] < SIGNIFICANCE / len(rows) and not 0.5 < row["odds_ratio"] < 2]
    telling += [row for row in rows if row["number_low"] > 0.55 or row["number_high"] < 0.45]
    has_any = phrase_hits(notes["text"], task.name).select(pl.any_horizontal(pl.all())).to_series().to_numpy()
    message = f"{int(has_any.sum()):,} of {len(notes):,} notes hold a phrase that states the outcome"
    if telling:
        message += "; it tells the class: " + ", ".join(sorted({row["phrase_id"] for row in telling}))
    return LeakCheck(
        name="no_outcome_phrase",
        passed=not has_any.any(),
        severity="error" if telling else "warn",
        message=message,
        numbers={
            "num_notes": len(notes),
            "num_with_phrase": int(has_any.sum()),
            **has_phrase_auroc(has_any, notes["label"].to_numpy(), task),
        },
        table=tuple(row for row in rows if row["num_in_class"] + row["num_in_rest"]),
    )


def phrase_rows(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> list[dict[str, Any]]:
    """A row for each phrase and judged class: how many notes of the class and of the rest hold it, and what that tells."""
    hits, numbers = phrase_hits(notes["text"], task.name), phrase_numbers(notes["text"], task.name)
    labels, classes = notes["label"].to_numpy(), judged_classes(task)
    confidence = 1 - SIGNIFICANCE / (len(classes) * hits.width)
    return [
        {"phrase_id": phrase, "label": k}
        | prevalence_row(hits[phrase].to_numpy(), labels == k)
        | number_row(numbers[phrase].to_numpy(), labels == k, limits, confidence)
        for phrase in hits.columns
        for k in classes
    ]


def prevalence_row(hit: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> dict[str, Any]:
    (a, b), (c, d) = two_by_two(hit, is_class)
    # Half a note added to each cell (Haldane), so that an empty cell has odds.
    odds_ratio = (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))
    return {"num_in_class": a, "num_in_rest": c, "odds_ratio": odds_ratio, "p": fisher_p(hit, is_class)}


def number_row(numbers: Floats, is_class: NDArray[np.bool_], limits: LeakLimits, confidence: float) -> dict[str, float]:
    """Interval of the AUROC of the number a phrase states, among the notes that state one; 0 to 1 where they are too few."""
    stated = np.isfinite(numbers)
    if not enough(is_class[stated], limits):
        return {"number_low": 0.0, "number_high": 1.0}
    value = pairwise_auroc(is_class[stated], numbers[stated])
    num_positive = int(is_class[stated].sum())
    low, high = hanley_interval(value, num_positive, int(stated.sum()) - num_positive, confidence)
    return {"number_low": low, "number_high": high}


def has_phrase_auroc(has_any: NDArray[np.bool_], labels: Integers, task: Task) -> dict[str, float]:
    """AUROC of "holds a phrase" for the class it tells best, with its Hanley-McNeil interval; nothing if one class only."""
    both = [k for k in judged_classes(task) if 0 < (labels == k).sum() < len(labels)]
    values = {k: pairwise_auroc(labels == k, has_any.astype(np.float64)) for k in both}
    if not values:
        return {}
    best = max(values, key=lambda k: abs(values[k] - 0.5))
    num_positive = int((labels == best).sum())
    low, high = hanley_interval(values[best], num_positive, len(labels) - num_positive)
    return {"auroc": values[best], "low": low, "high": high}


Fit = Callable[[csr_matrix, Integers, int], Any]
"""Word counts (n, w), labels (n,) and the number of classes k -> something whose `predict` gives scores (n, k)."""


@dataclass(frozen=True, kw_only=True)
class BagOfWords:
    """Training and test notes of one task as weighted word counts; what the models here read."""

    num_classes: int
    train: csr_matrix
    train_labels: Integers
    test: csr_matrix
    test_labels: Integers
    test_texts: pl.Series
    vectorizer: TfidfVectorizer


def sampled(frame: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    return frame.sample(most, seed=seed) if len(frame) > most else frame


def modelled_splits(notes: pl.DataFrame, limits: LeakLimits, seed: int) -> tuple[pl.DataFrame, pl.DataFrame] | str:
    """Training and test notes for a model, at most as many as the limits say; or why there is nothing to learn or measure."""
    train = sampled(notes.filter(pl.col("split") == "train"), limits.max_train_notes, seed)
    test = sampled(notes.filter(pl.col("split") == "test"), limits.max_test_notes, seed)
    for split, frame in (("train", train), ("test", test)):
        if len(frame) < limits.min_notes or frame["label"].n_unique() < 2:
            return f"split '{split}' has {len(frame)} notes of {frame['label'].n_unique()} classes"
    return train, test


def bag_of_words(task: Task, notes: pl.DataFrame, limits: LeakLimits, seed: int) -> BagOfWords | str:
    """Single words and numbers, log-scaled counts times inverse document frequency, the 30,000 most frequent; or why not."""
    splits = modelled_splits(notes, limits, seed)
    if isinstance(splits, str):
        return splits
    train, test = splits
    vectorizer = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True, max_features=30_000, dtype=np.float64)
    try:
        counts = vectorizer.fit_transform(train["text"].to_list())
    except ValueError:  # Its message says that no text has a word.
        return "no training note holds a word"
    return BagOfWords(
        num_classes=task.num_classes,
        train=counts,
        train_labels=train["label"].to_numpy(),
        test=vectorizer.transform(test["text"].to_list()),
        test_labels=test["label"].to_numpy(),
        test_texts=test["text"],
        vectorizer=vectorizer,
    )


def linear_model(counts: csr_matrix, labels: Integers, num_classes: int) -> Ridge:
    """Least squares on each class against the rest; `predict` gives scores (n, num_classes), not probabilities.

    A linear function of the labels, so that over permutations it has no direction of its own. Logistic regression, stopped
    before a rare class had moved its intercept all the way, gave permuted labels AUROCs of 0.54 to 0.67.
    """
    return Ridge(alpha=3.0, solver="sparse_cg", tol=1e-3).fit(counts, one_hot(labels, num_classes).astype(np.float64))


def auroc_change_when_masked(task: Task, words: BagOfWords | str, limits: LeakLimits, seed: int) -> LeakCheck:
    """A bag-of-words model loses no AUROC to speak of when the outcome phrases of the test notes are masked.

    The same model reads both; the interval of the difference is of paired resamples. An error when all of it lies above
    `masking_cost`.
    """
    name = "auroc_change_when_masked"
    if isinstance(words, str):
        return cannot_tell(name, "error", words)
    model = linear_model(words.train, words.train_labels, words.num_classes)
    as_is = model.predict(words.test)
    texts = mask_phrases(words.test_texts, task.name)
    masked = model.predict(words.vectorizer.transform(texts.to_list()))
    draws = {"num_resamples": NUM_RESAMPLES, "seed": seed}
    cost = percentile_interval(
        auroc_distribution(words.test_labels, as_is, **draws) - auroc_distribution(words.test_labels, masked, **draws)
    )
    before, after = auroc(words.test_labels, as_is).value, auroc(words.test_labels, masked).value
    return LeakCheck(
        name=name,
        passed=not cost.low > limits.masking_cost,
        severity="error",
        message=f"bag-of-words AUROC {before:.3f} as written, {after:.3f} with outcome phrases masked; "
        f"cost {before - after:.3f} [{cost.low:.3f}, {cost.high:.3f}]",
        numbers={
            "auroc": before,
            "auroc_masked": after,
            "cost": before - after,
            "cost_low": cost.low,
            "cost_high": cost.high,
            "num_masked_notes": int((texts != words.test_texts).sum()),
            "num_train_notes": words.train.shape[0],
            "num_test_notes": words.test.shape[0],
        },
    )


def metadata_alone(task: Task, notes: pl.DataFrame, limits: LeakLimits, seed: int) -> LeakCheck:
    """Note length, department, author and hour of day alone do not tell the class too well.

    A question above `metadata_auroc`; an error when the whole interval lies above `metadata_auroc_impossible`.
    """
    name = "metadata_alone"
    splits = modelled_splits(notes, limits, seed)
    if isinstance(splits, str):
        return cannot_tell(name, "warn", splits)
    train, test = splits
    inputs, test_inputs = metadata_features(train, test)
    model = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=10,
        categorical_features=[0, 1],
        early_stopping=False,
        random_state=seed,
    )
    # Trees this small wait for each other: on a busy machine two threads took 9 s where one takes 0.1.
    with threadpool_limits(1, user_api="openmp"):
        model.fit(inputs, train["label"].to_numpy())
        probabilities = model.predict_proba(test_inputs)
    scores, labels = np.zeros((len(test), task.num_classes)), test["label"].to_numpy()
    scores[:, model.classes_] = probabilities  # 0 for a class that training lacks
    value = auroc(labels, scores).value
    interval = bootstrap_auroc(labels, scores, num_resamples=NUM_RESAMPLES, seed=seed)
    is_impossible = interval.low > limits.metadata_auroc_impossible
    return LeakCheck(
        name=name,
        passed=not (is_impossible or value > limits.metadata_auroc),
        severity="error" if is_impossible else "warn",
        message=f"AUROC of length, department, author and hour alone {value:.3f} [{interval.low:.3f}, {interval.high:.3f}]",
        numbers={
            "auroc": value,
            "low": interval.low,
            "high": interval.high,
            "num_train_notes": len(train),
            "num_test_notes": len(test),
        },
    )


def metadata_features(train: pl.DataFrame, test: pl.DataFrame) -> tuple[Floats, Floats]:
    """(n, 5) each: department and author as codes of the 100 most frequent, notes of the author in training, characters,
    hour of day. A name that training lacks, or none, is a missing value."""
    names = ["department", "author_id"]
    encoder = OrdinalEncoder(max_categories=100, handle_unknown="use_encoded_value", unknown_value=np.nan)
    encoder.fit(train.select(pl.col(names).fill_null("")).to_numpy())
    per_author = train.group_by("author_id").agg(num_by_author=pl.len())

    def features(frame: pl.DataFrame) -> Floats:
        counted = frame.join(per_author, on="author_id", how="left", maintain_order="left").select(
            pl.col("num_by_author").cast(pl.Float64),
            pl.col("num_characters").cast(pl.Float64),
            pl.col("written_time").dt.hour().cast(pl.Float64),
        )
        codes = encoder.transform(frame.select(pl.col(names).fill_null("")).to_numpy())
        return np.column_stack([codes, counted.to_numpy()])

    return features(train), features(test)


def shuffled_labels(words: BagOfWords | str, limits: LeakLimits, seed: int, fit: Fit = linear_model) -> LeakCheck:
    """A model trained on permuted labels is at chance on the true ones: otherwise test labels reach training another way.

    The mean AUROC over permutations lies within four standard errors of 0.5.
    """
    name = "shuffled_labels"
    if isinstance(words, str):
        return cannot_tell(name, "error", words)
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(words.train_labels))[: limits.max_permuted_notes]
    counts, labels = words.train[rows], words.train_labels[rows]
    if len(np.unique(labels)) < 2:
        return cannot_tell(name, "error", f"one class among the {len(labels)} notes to permute")
    values = [
        auroc(words.test_labels, fit(counts, permuted, words.num_classes).predict(words.test)).value
        for permuted in (generator.permutation(labels) for _ in range(limits.num_permutations))
    ]
    mean = float(np.mean(values))
    standard_error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return LeakCheck(
        name=name,
        passed=abs(mean - 0.5) <= 4 * standard_error,
        severity="error",
        message=f"bag-of-words AUROC with permuted labels {mean:.3f}, standard error {standard_error:.3f}",
        numbers={
            "auroc": mean,
            "standard_error": standard_error,
            "num_permutations": len(values),
            "num_train_notes": len(labels),
            "num_test_notes": words.test.shape[0],
        },
    )


def too_good(aurocs: Mapping[str, float], limits: LeakLimits) -> LeakCheck:
    """An AUROC this high on an operational task raises a question: most often it is a leak."""
    suspects = [f"{name} {value:.3f}" for name, value in aurocs.items() if value > limits.suspicious_auroc]
    known = {name: value for name, value in aurocs.items() if not math.isnan(value)}
    if not known:
        return cannot_tell("too_good", "warn", "no AUROC is known")
    return LeakCheck(
        name="too_good",
        passed=not suspects,
        severity="warn",
        message="; ".join(suspects) or f"none of {len(known)} AUROCs is above {limits.suspicious_auroc}",
        numbers=dict(known),
    )


def patient_overlap(notes: pl.DataFrame, split_by: Literal["note", "patient"]) -> LeakCheck:
    """Patients of the training notes in each other split, counted; an error where the split was to keep them apart.

    That is the development window cut by patient. In the temporal splits patients come back, as in the paper (appendix L).
    """
    seen = notes.filter(pl.col("split") == "train")["subject_id"].unique().to_list()
    is_seen = pl.col("subject_id").is_in(seen)
    rows = (
        notes.filter(pl.col("split") != "train")
        .group_by("split")
        .agg(
            num_notes=pl.len(),
            num_patients=pl.col("subject_id").n_unique(),
            num_seen_patients=pl.col("subject_id").filter(is_seen).n_unique(),
            num_notes_of_seen_patients=is_seen.sum(),
        )
        .sort("split")
        .to_dicts()
    )
    shared = sum(row["num_seen_patients"] for row in rows if row["split"] in schemas.DEVELOPMENT_SPLITS)
    return LeakCheck(
        name="patient_overlap",
        passed=split_by == "note" or shared == 0,
        severity="error",
        message=f"{shared:,} patients of the training notes are also in val or test; the split is by {split_by}",
        numbers={"num_seen_patients": shared, "split_by": split_by},
        table=tuple(rows),
    )


def normalized(texts: pl.Series) -> pl.Series:
    """Lower case, words of letters and digits, single spaces: two copies of a text that differ in layout become one."""
    return texts.fill_null("").str.to_lowercase().str.replace_all("[^a-z0-9]+", " ").str.strip_chars()


def text_hashes(texts: pl.Series) -> pl.Series:
    """BLAKE2b, 128 bits, of each normalized text: the same in every process and version."""
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in normalized(texts)]
    return pl.Series("text_hash", hashes, dtype=pl.String)


def hashed_texts(notes: pl.DataFrame) -> pl.DataFrame:
    """`note_id` and `text` -> `note_id` and `text_hash`: what is kept of a corpus to know its notes again."""
    return notes.select("note_id", text_hashes(notes["text"]))


def text_overlap(notes: pl.DataFrame, limits: LeakLimits, seed: int) -> LeakCheck:
    """No text of another split equals a training text; near-duplicates are counted only.

    Templates make near-duplicates of notes about different patients, so their number is for a person to read. They are
    found among a sample of at most `max_compared_notes` of either side.
    """
    hashed = notes.select("split", "text", text_hashes(notes["text"]))
    train = hashed.filter(pl.col("split") == "train")
    others = hashed.filter(pl.col("split") != "train").with_columns(
        is_seen=pl.col("text_hash").is_in(train["text_hash"].unique().to_list())
    )
    some_train, some_others = (sampled(frame, limits.max_compared_notes, seed) for frame in (train, others))
    near = some_others.select("split", is_near=pl.Series(near_duplicates(some_others["text"], some_train["text"])))
    rows = (
        others.group_by("split")
        .agg(num_notes=pl.len(), num_identical=pl.col("is_seen").sum())
        .join(
            near.group_by("split").agg(num_compared=pl.len(), num_near_duplicates=pl.col("is_near").sum()),
            on="split",
            how="left",
        )
        .sort("split")
        .to_dicts()
    )
    num_identical, num_near = int(others["is_seen"].sum()), int(near["is_near"].sum())
    return LeakCheck(
        name="text_overlap",
        passed=num_identical == 0,
        severity="warn",
        message=f"{num_identical:,} of {len(others):,} notes outside training repeat a training text; of {len(near):,} "
        f"compared, {num_near:,} are near-duplicates",
        numbers={
            "num_identical": num_identical,
            "num_near_duplicates": num_near,
            "num_compared_notes": len(some_others),
            "num_compared_train_notes": len(some_train),
        },
        table=tuple(rows),
    )


def near_duplicates(texts: pl.Series, against: pl.Series) -> NDArray[np.bool_]:
    """Whether each text (n,) is nearly one of `against`: estimated Jaccard similarity of 5-word shingles >= 0.8.

    MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, chapter 3). A text of fewer than 5 words has no shingle
    and is nearly nothing. At most 20 candidates of a bucket are compared, so in a corpus of templates a few may be missed.
    """
    left, right = minhashes(texts), minhashes(against)
    found = np.zeros(len(left), dtype=bool)
    for band in range(NUM_BANDS):
        keys = slice(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND)
        buckets = banded(right, keys).group_by("key", maintain_order=True).head(CANDIDATES_PER_BUCKET)
        pairs = banded(left, keys).filter(~pl.Series(found[has_shingles(left)])).join(buckets, on="key")
        rows, candidates = pairs["row"].to_numpy(), pairs["row_right"].to_numpy()
        similarity = np.zeros(len(pairs))
        for j in range(left.shape[1]):
            similarity += left[rows, j] == right[candidates, j]
        found[rows[similarity >= NEAR_DUPLICATE * left.shape[1]]] = True
    return found


EMPTY = np.iinfo(np.uint64).max
"""The minimum over no shingle."""


def has_shingles(signatures: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return signatures[:, 0] != EMPTY


def banded(signatures: NDArray[np.uint64], keys: slice) -> pl.DataFrame:
    """`row` and `key`, one row a text that has shingles: texts alike in all rows of a band share a key."""
    rows = np.flatnonzero(has_shingles(signatures))
    frame = pl.DataFrame(np.ascontiguousarray(signatures[rows, keys]))
    return pl.DataFrame({"row": rows, "key": frame.hash_rows()})


def minhashes(texts: pl.Series, chunk_size: int = 1_000) -> NDArray[np.uint64]:
    """(n, 60): for each of 60 fixed hash functions the least value over the text's shingles."""
    parts = [_minhashes(normalized(texts[start : start + chunk_size])) for start in range(0, len(texts), chunk_size)]
    return np.concatenate([np.empty((0, NUM_BANDS * ROWS_PER_BAND), dtype=np.uint64), *parts])


def _minhashes(texts: pl.Series) -> NDArray[np.uint64]:
    """Of a chunk of normalized texts: memory stays bounded whatever their number."""
    generator = np.random.default_rng(0)
    mixers = generator.integers(0, EMPTY, SHINGLE_WORDS, dtype=np.uint64) | np.uint64(1)
    multipliers = generator.integers(0, EMPTY, NUM_BANDS * ROWS_PER_BAND, dtype=np.uint64) | np.uint64(1)
    masks = generator.integers(0, EMPTY, NUM_BANDS * ROWS_PER_BAND, dtype=np.uint64)
    words = texts.str.split(" ")
    lengths = words.list.len().to_numpy().astype(np.int64)
    hashes = words.explode().hash(seed=0).to_numpy()
    num_shingles = np.maximum(lengths - SHINGLE_WORDS + 1, 0)
    # Shingle i of a text starts at its word i; the words of all texts lie one after another.
    first = np.repeat(np.cumsum(lengths) - lengths, num_shingles)
    starts = np.cumsum(num_shingles) - num_shingles
    at = first + np.arange(len(first)) - np.repeat(starts, num_shingles)
    shingles = np.zeros(len(at), dtype=np.uint64)
    for j, mixer in enumerate(mixers):
        shingles += hashes[at + j] * mixer
    signatures = np.full((len(lengths), len(masks)), EMPTY, dtype=np.uint64)
    held = num_shingles > 0
    if held.any():
        for j, (multiplier, mask) in enumerate(zip(multipliers, masks, strict=True)):
            signatures[held, j] = np.minimum.reduceat((shingles ^ mask) * multiplier, starts[held])
    return signatures


def corpus_overlap(notes: pl.DataFrame, corpus_hashes: pl.DataFrame | None) -> LeakCheck:
    """Notes outside training that pretraining reads, by note id and by text, counted.

    The paper pretrains on notes that include the finetuning ones, so only the headline split raises a question.
    """
    name = "corpus_overlap"
    if corpus_hashes is None:
        return cannot_tell(name, "warn", "no corpus was given")
    hashed = notes.select("split", "note_id", text_hashes(notes["text"])).filter(pl.col("split") != "train")
    has_note = pl.col("note_id").is_in(corpus_hashes["note_id"].unique().to_list())
    has_text = pl.col("text_hash").is_in(corpus_hashes["text_hash"].unique().to_list())
    rows = (
        hashed.group_by("split")
        .agg(
            num_notes=pl.len(),
            num_by_note_id=has_note.sum(),
            num_by_text=has_text.sum(),
            num_in_corpus=(has_note | has_text).sum(),
        )
        .sort("split")
        .to_dicts()
    )
    num_headline = sum(row["num_in_corpus"] for row in rows if row["split"] == HEADLINE_SPLIT)
    num_all = sum(row["num_in_corpus"] for row in rows)
    return LeakCheck(
        name=name,
        passed=num_headline == 0,
        severity="warn",
        message=f"{num_all:,} of {len(hashed):,} notes outside training are in the pretraining corpus, {num_headline:,} of "
        f"them in {HEADLINE_SPLIT}",
        numbers={"num_in_corpus": num_all, f"num_in_corpus_{HEADLINE_SPLIT}": num_headline},
        table=tuple(rows),
    )
