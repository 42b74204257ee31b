"""Baselines find what was planted, as scikit-learn by itself does, twice the same, and say what they were made of."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lang1_assets.ops import schemas
from lang1_assets.ops.baselines import BASELINES
from lang1_assets.ops.baselines.fitting import BaselineError, ScoredBaseline, predict_baseline
from lang1_assets.ops.baselines.models import KINDS, MIN_NOTES, PENALTIES
from lang1_assets.ops.baselines.structured import Tables
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.prompts import read_examples
from tests.ops.baselines.planted import SIZES, SPLITS, planted


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Tables]:
    return planted(tmp_path_factory.mktemp("planted"), ("mortality", "length_of_stay"))


def scored(name: str, files: tuple[dict[str, Path], Tables], max_examples: int = 1000) -> ScoredBaseline:
    return predict_baseline(name, files[0], files[1], SPLITS, max_examples, 7, lambda words: None)


def auroc_of(found: ScoredBaseline, task: str, split: str = "temporal_2024") -> float:
    frame = found.predictions.filter(task=task, split=split)
    return auroc(frame["label"].to_numpy(), np.array(frame["probabilities"].to_list())).value


@pytest.mark.parametrize("name", BASELINES)
def test_what_was_planted_is_found_and_nothing_else(name: str, files: tuple[dict[str, Path], Tables]) -> None:
    found = scored(name, files)
    # The word is in the notes, the admission type in the tables; each says which third of the notes it is.
    for task in ("mortality", "length_of_stay"):
        assert auroc_of(found, task) > 0.8
    assert found.predictions.columns == schemas.PREDICTIONS.names
    assert len(found.predictions) == 2 * sum(SIZES[split] for split in SPLITS)
    totals = found.predictions["probabilities"].list.sum()
    assert (totals - 1).abs().max() < 1e-9  # type: ignore[operator]


@pytest.mark.parametrize("name", BASELINES)
def test_labels_that_follow_from_nothing_are_not_found(name: str, tmp_path: Path) -> None:
    found = scored(name, planted(tmp_path, ("mortality",), is_random=True))
    assert 0.3 < auroc_of(found, "mortality") < 0.7


@pytest.mark.parametrize("name", ["tfidf-trees", "structured-logistic"])
def test_the_same_twice(name: str, files: tuple[dict[str, Path], Tables]) -> None:
    first, second = scored(name, files), scored(name, files)
    assert first.predictions.equals(second.predictions)
    assert first.record == second.record


def test_the_logistic_regression_is_that_of_scikit_learn(files: tuple[dict[str, Path], Tables]) -> None:
    found = scored("tfidf-logistic", files)
    frame = pl.read_parquet(files[0]["mortality"]).sort("note_id")
    parts = {split: frame.filter(split=split) for split in ("train", "val", "temporal_2024")}
    turned = TfidfVectorizer(ngram_range=(1, 2), min_df=MIN_NOTES, sublinear_tf=True).fit(
        parts["train"]["text"].to_list()
    )
    matrices = {split: turned.transform(part["text"].to_list()) for split, part in parts.items()}

    def fitted(penalty: float) -> Any:
        return LogisticRegression(C=penalty, max_iter=1000).fit(matrices["train"], parts["train"]["label"].to_numpy())

    best = max(
        PENALTIES,
        key=lambda c: roc_auc_score(parts["val"]["label"], fitted(c).predict_proba(matrices["val"])[:, 1]),
    )
    expected = fitted(best).predict_proba(matrices["temporal_2024"])
    ours = found.predictions.filter(task="mortality", split="temporal_2024").sort("note_id")
    assert np.array(ours["probabilities"].to_list()) == pytest.approx(expected, abs=1e-6)
    assert found.fitted[0]["settings"] == {"C": best}


def test_the_notes_are_those_that_language_models_are_scored_on(files: tuple[dict[str, Path], Tables]) -> None:
    found = scored("structured-logistic", files, max_examples=30)
    for task, path in files[0].items():
        expected = read_examples(path, "test", 30, 7)["note_id"].to_list()
        assert found.predictions.filter(task=task, split="test")["note_id"].to_list() == expected
        assert next(row for row in found.prompts if (row["task"], row["split"]) == (task, "test"))["num"] == 30


def test_what_is_recorded_of_it_holds_no_word_of_a_note(files: tuple[dict[str, Path], Tables]) -> None:
    for name in BASELINES:
        found = scored(name, files)
        text = json.dumps({**found.record, "prompts": found.prompts})
        assert "sepsis" not in text
        assert "P0" not in text
        assert {row["task"] for row in found.record["fitted"]} == {"mortality", "length_of_stay"}


def test_what_it_saw_is_hashed(files: tuple[dict[str, Path], Tables], tmp_path: Path) -> None:
    other = planted(tmp_path, ("mortality", "length_of_stay"), word="fever")
    assert scored("tfidf-logistic", files).prompts != scored("tfidf-logistic", other).prompts
    # The tables are the same.
    assert scored("structured-logistic", files).prompts == scored("structured-logistic", other).prompts


def test_a_class_without_training_notes_has_no_probability(tmp_path: Path) -> None:
    files = planted(tmp_path, ("length_of_stay",))
    path = files[0]["length_of_stay"]
    frame = pl.read_parquet(path)
    frame.filter((pl.col("split") != "train") | (pl.col("label") != 2)).write_parquet(path)
    for name in ("tfidf-trees", "tfidf-logistic"):
        found = scored(name, files).predictions["probabilities"]
        assert found.list.len().unique().to_list() == [4]
        assert found.list.get(2).max() == 0


def test_validation_of_one_class_chooses_the_first_setting(tmp_path: Path) -> None:
    files = planted(tmp_path, ("mortality",))
    path = files[0]["mortality"]
    frame = pl.read_parquet(path)
    frame.filter((pl.col("split") != "val") | (pl.col("label") == 0)).write_parquet(path)
    for name in BASELINES:
        (fitted,) = scored(name, files).fitted
        assert fitted["val_auroc"] is None
        assert fitted["settings"] == {name: value for name, value in fitted["tried"][0].items() if name != "val_auroc"}


@pytest.mark.parametrize(("split", "words"), [("train", "1 class"), ("test", "no example in splits")])
def test_nothing_to_learn_or_to_score_is_an_error(split: str, words: str, tmp_path: Path) -> None:
    files = planted(tmp_path, ("mortality",))
    path = files[0]["mortality"]
    frame = pl.read_parquet(path)
    kept = (
        frame.filter((pl.col("split") != "train") | (pl.col("label") == 0))
        if split == "train"
        else frame.filter(pl.col("split").is_in(["train", "val"]))
    )
    kept.write_parquet(path)
    with pytest.raises(BaselineError, match=words):
        scored("structured-logistic", files)


@pytest.mark.parametrize("name", ["tfidf-logistic", "tfidf-trees"])
@pytest.mark.parametrize("words", ["few notes", "no common word"])
def test_a_task_that_no_word_can_be_learned_of_takes_nothing_from_the_others(
    name: str, words: str, tmp_path: Path
) -> None:
    files = planted(tmp_path, ("mortality", "length_of_stay"))
    path = files[0]["mortality"]
    frame = pl.read_parquet(path)
    train, rest = frame.filter(split="train"), frame.filter(pl.col("split") != "train")
    if words == "few notes":
        train = pl.concat([train.filter(label=label).head(2) for label in (0, 1)])
    else:
        train = train.with_columns(text=pl.format("word{}", pl.int_range(pl.len())))
    pl.concat([train, rest]).write_parquet(path)
    told: list[str] = []
    found = predict_baseline(name, *files, SPLITS, 1000, 7, told.append)
    assert [fitted["task"] for fitted in found.fitted] == ["length_of_stay"]
    assert any(f"no word is in 5 of the {len(train)} training notes of mortality" in line for line in told)


def test_every_name_is_a_kind() -> None:
    assert tuple(KINDS) == BASELINES
