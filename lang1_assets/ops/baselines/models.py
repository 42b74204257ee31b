"""The four baselines: two kinds of input, two kinds of model.

The notes are read whole. A language model's context cuts them, and nothing cuts a bag of words: what a hospital wants to know is
whether the language model is better than what is easy, not than what is easy with less of the note.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lang1_assets.ops.baselines.structured import CATEGORIES, NUMBERS
from lang1_assets.ops.metrics import Floats, Integers, MetricError, auroc

TERMS: dict[str, dict[str, Any]] = {
    "logistic": {"ngram_range": (1, 2), "max_features": 50_000},
    "trees": {"ngram_range": (1, 1), "max_features": 1_000},
}
"""The commonest words, and for the regression pairs of words. Trees look through every term at every split: with 3,000 words and
pairs they took four times as long and found nothing that 1,000 words had missed (validation AUROC of mortality 0.934 and 0.936)."""
MIN_NOTES = 5
"""A term, or a category, of fewer training notes is none."""
PENALTIES = (1.0, 0.1, 0.01, 10.0)
"""C of the logistic regression, the first one where validation cannot tell."""
LEAVES = (7, 15)
"""Leaves of a tree, likewise."""
LEARNING_RATE = 0.3
MAX_ROUNDS, PATIENCE_ROUNDS, ROUNDS_WITHOUT_VALIDATION = 200, 10, 40
MAX_BINS = 63
"""Of a term's weights or of a number: what counts is mostly whether a term is there."""
NUM_THREADS = 1
"""Two wait for each other wherever something else runs: on a busy laptop of two cores they took twice as long."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What it sees and what learns from it."""

    inputs: Literal["text", "structured"]
    model: Literal["logistic", "trees"]


KINDS: dict[str, Baseline] = {
    "tfidf-logistic": Baseline(inputs="text", model="logistic"),
    "tfidf-trees": Baseline(inputs="text", model="trees"),
    "structured-logistic": Baseline(inputs="structured", model="logistic"),
    "structured-trees": Baseline(inputs="structured", model="trees"),
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model, how it was set, and how well it did on validation."""

    settings: dict[str, float]
    val_auroc: float | None
    """None where the validation notes are of one class."""
    classes: Integers
    """Labels in the order of the columns that it gives."""
    model: Any

    def probabilities(self, features: Any, num_classes: int) -> Floats:
        """(num_notes, num_classes); 0 for a class that no training note had."""
        found = np.zeros((features.shape[0], num_classes))
        given = self.model.predict_proba(features, **fixed_threads(self.model))
        found[:, self.classes] = given
        return found

    @property
    def sha256(self) -> str:
        """Of all that it learned."""
        if isinstance(self.model, LogisticRegression):
            learned = self.model.coef_.astype("<f8").tobytes() + self.model.intercept_.astype("<f8").tobytes()
        else:
            learned = self.model.booster_.model_to_string().encode()
        return hashlib.sha256(learned).hexdigest()


def fixed_threads(model: Any) -> dict[str, int]:
    return {} if isinstance(model, LogisticRegression) else {"num_threads": NUM_THREADS}


def vectorizer(baseline: Baseline) -> Any:
    """What turns notes, or the rows of `structured_features` as pandas, into a matrix; fitted on training notes alone."""
    if baseline.inputs == "text":
        return TfidfVectorizer(min_df=MIN_NOTES, sublinear_tf=True, **TERMS[baseline.model])
    categories = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=MIN_NOTES)
    filled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    # Trees send what is missing to the better side by themselves.
    numbers = filled if baseline.model == "logistic" else "passthrough"
    return ColumnTransformer([("numbers", numbers, list(NUMBERS)), ("categories", categories, list(CATEGORIES))])


def trained_models(
    baseline: Baseline, train: tuple[Any, Integers], val: tuple[Any, Integers], num_classes: int, seed: int
) -> list[Trained]:
    """One for each setting that is tried.

    Args:
        train, val: a matrix (num_notes, num_features) and the labels (num_notes,).
    """
    if baseline.model == "logistic":
        return [logistic(penalty, train, val, num_classes) for penalty in PENALTIES]
    return [trees(baseline, leaves, train, val, num_classes, seed) for leaves in LEAVES]


def best_of(found: list[Trained]) -> Trained:
    """The highest AUROC on validation; the first where there is none."""
    return max(found, key=lambda one: -1.0 if one.val_auroc is None else one.val_auroc)


def logistic(penalty: float, train: tuple[Any, Integers], val: tuple[Any, Integers], num_classes: int) -> Trained:
    model = LogisticRegression(C=penalty, max_iter=1_000).fit(*train)
    fitted = Trained(settings={"C": penalty}, val_auroc=None, classes=model.classes_, model=model)
    return with_validation(fitted, val, num_classes)


def trees(
    baseline: Baseline,
    num_leaves: int,
    train: tuple[Any, Integers],
    val: tuple[Any, Integers],
    num_classes: int,
    seed: int,
) -> Trained:
    """Boosted until AUROC on validation has not risen for `PATIENCE_ROUNDS` rounds."""
    features = train[0]
    # The library counts the labels that it knows from 0, and takes no others; the AUROC that counts is measured with all, below.
    classes, labels = np.unique(train[1], return_inverse=True)
    is_known = np.isin(val[1], classes)
    can_stop = len(np.unique(val[1][is_known])) > 1
    model = lightgbm.LGBMClassifier(
        n_estimators=MAX_ROUNDS if can_stop else ROUNDS_WITHOUT_VALIDATION,
        learning_rate=LEARNING_RATE,
        num_leaves=num_leaves,
        max_bin=MAX_BINS,
        colsample_bytree=0.2 if baseline.inputs == "text" else 0.5,
        random_state=seed,
        n_jobs=NUM_THREADS,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )
    if can_stop:
        stop = lightgbm.early_stopping(PATIENCE_ROUNDS, first_metric_only=True, verbose=False)
        model.set_params(metric="None").fit(
            features,
            labels,
            eval_X=val[0][is_known],
            eval_y=np.searchsorted(classes, val[1][is_known]),
            eval_metric=auroc_on_validation,
            callbacks=[stop],
        )
    else:
        model.fit(features, labels)
    settings: dict[str, float] = {
        "num_leaves": num_leaves,
        "rounds": model.best_iteration_ or ROUNDS_WITHOUT_VALIDATION,
    }
    fitted = Trained(settings=settings, val_auroc=None, classes=classes, model=model)
    return with_validation(fitted, val, num_classes)


def auroc_on_validation(labels: Any, scores: Any) -> tuple[str, float, bool]:
    """As the library asks for it: name, value, higher is better."""
    return "auroc", auroc(np.asarray(labels, dtype=np.int64), scores).value, True


def with_validation(fitted: Trained, val: tuple[Any, Integers], num_classes: int) -> Trained:
    features, labels = val
    try:
        value: float | None = auroc(labels, fitted.probabilities(features, num_classes)).value if len(labels) else None
    except MetricError:
        value = None
    return Trained(
        settings=fitted.settings,
        val_auroc=value if value is not None and np.isfinite(value) else None,
        classes=fitted.classes,
        model=fitted.model,
    )
