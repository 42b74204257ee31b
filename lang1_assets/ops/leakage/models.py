"""What small models make of the notes: of their words, of masked words, of metadata alone, of permuted labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from lang1_assets.ops.bootstrap import auroc_distribution, bootstrap_auroc, percentile_interval
from lang1_assets.ops.leakage.findings import LeakCheck, LeakLimits, cannot_tell
from lang1_assets.ops.leakage.groups import sampled
from lang1_assets.ops.leakage.outcome_phrases import phrases_of
from lang1_assets.ops.leakage.phrase_search import mask_phrases
from lang1_assets.ops.metrics import Floats, Integers, auroc, one_hot
from lang1_assets.ops.tasks import Task

NUM_RESAMPLES = 200
"""Of the bootstrap intervals here: they decide on a leak, not on a printed number."""
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
    if not phrases_of(task.name):
        return cannot_tell(name, "error", "the task's file names no outcome_phrases")
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
