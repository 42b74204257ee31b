"""Every check passes on clean data and, with its leak planted, is the one that fails."""

import dataclasses
import doctest
import json
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lang1_assets.ops import leakage, schemas
from lang1_assets.ops.leakage import LeakageError, LeakCheck, LeakLimits, hashed_texts, leak_checks
from lang1_assets.ops.tasks import TASKS

SEED = 3407
LIMITS = LeakLimits(
    hp_max_hours_before_admission=48,
    hp_max_hours_after_admission=24,
    discharge_note_max_hours_after_discharge=24,
    readmission_days=30,
    num_permutations=15,
    max_permuted_notes=300,
)
SIZES = {"train": 800, "val": 150, "test": 300, "temporal_2021": 100, "temporal_2024": 150}
WORDS = [f"{stem}{ending}" for stem in ("card", "nephr", "pulm", "derm", "neur", "gastr") for ending in range(25)]
SIGNAL = "frailty"
"""A word that makes the positive class likelier, as honest notes do."""
PLANTED = "Patient expired on 3/4."


def example_rows(task: str, rng: random.Random) -> list[dict[str, Any]]:
    names = [(split, number) for split, size in SIZES.items() for number in range(size)]
    return [example_row(task, split, number, rng) for split, number in names]


def example_row(task: str, split: str, number: int, rng: random.Random) -> dict[str, Any]:
    name = f"{split}-{number:04d}"
    num_classes = TASKS[task].num_classes
    label = rng.choices(range(num_classes), [5, *([2] * (num_classes - 1))])[0]
    words = rng.choices(WORDS, k=rng.randint(20, 60))
    if rng.random() < 0.2 + 0.6 * (label == 1):
        words.insert(rng.randrange(20), SIGNAL)
    start = datetime(2019, 1, 1) + timedelta(hours=rng.uniform(0, 24 * 365))
    written = start + timedelta(hours=rng.uniform(-24, 20))
    end = start + timedelta(hours=rng.uniform(30, 300))
    is_hp = TASKS[task].note_type == "hp"
    if not is_hp:
        written = end + timedelta(hours=rng.uniform(-8, 6))
    return {
        "note_id": f"n-{name}",
        "encounter_id": f"e-{name}",
        "subject_id": f"s-{name}",
        "prediction_time": written if is_hp else end,
        "split": split,
        "label": label,
        "age": 60,
        "sex": "F",
        "race": "White",
        "ethnicity": "not Hispanic",
        "borough": "Queens",
        "text": " ".join(words),
        "written_time": written,
        "admit_time": start,
        "discharge_time": end,
        "outcome_time": (end if is_hp else end + timedelta(days=rng.uniform(1, 29))),
        "follow_up_end": datetime(2021, 1, 1),
        "num_characters": rng.randint(200, 6000),
        "department": rng.choice(["Medicine", "Surgery", None]),
        "author_id": f"a{rng.randrange(150)}",
    }


def hospital(task: str = "mortality", seed: int = 1) -> pl.DataFrame:
    """Rows of `schemas.EXAMPLES` and `schemas.TIMING` side by side, without any leak."""
    return pl.DataFrame(example_rows(task, random.Random(seed)), infer_schema_length=None).cast({"label": pl.Int32})


def checks_of(
    frame: pl.DataFrame, task: str = "mortality", limits: LeakLimits = LIMITS, **arguments: Any
) -> dict[str, LeakCheck]:
    columns = [name for name in schemas.TIMING.names if name != "task"]
    checks = leak_checks(
        TASKS[task],
        frame.select(schemas.EXAMPLES.names),
        frame.select(columns),
        limits,
        **{"split_by": "note", "seed": SEED, **arguments},
    )
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def failed(checks: dict[str, LeakCheck]) -> dict[str, str]:
    return {name: check.severity for name, check in checks.items() if not check.passed}


def where(condition: pl.Expr, column: str, value: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(value).otherwise(pl.col(column)).alias(column)


def share(of: float) -> pl.Expr:
    """True for about this share of the rows, whatever their class."""
    return (pl.col("note_id").hash(7) % 1000) < 1000 * of


POSITIVE = pl.col("label") == 1
NO_CORPUS = pl.DataFrame({"note_id": ["elsewhere"], "text_hash": ["0" * 32]})


@pytest.mark.parametrize("task", TASKS)
def test_clean_data_passes_every_check(task: str) -> None:
    checks = checks_of(hospital(task), task, corpus_hashes=NO_CORPUS, split_by="patient")
    assert failed(checks) == {}
    assert not [check.message for check in checks.values() if "cannot tell" in check.message]
    assert ("no_label_where_follow_up_is_censored" in checks) == (task == "readmission")
    assert checks["auroc_change_when_masked"].numbers["auroc"] > 0.5


def test_an_admission_note_outside_its_window() -> None:
    late = pl.col("note_id") == "n-test-0001"
    frame = hospital().with_columns(where(late, "written_time", pl.col("admit_time") + pl.duration(hours=25)))
    frame = frame.with_columns(prediction_time=pl.col("written_time"))
    checks = checks_of(frame)
    assert failed(checks) == {"note_within_its_window": "error"}
    assert "1 of 1,500" in checks["note_within_its_window"].message
    assert "n-test-0001" in checks["note_within_its_window"].message


@pytest.mark.parametrize(("hours", "is_late"), [(24, False), (24.001, True)])
def test_a_discharge_note_may_be_late_by_the_allowed_hours_and_is_counted(hours: float, is_late: bool) -> None:
    late = pl.col("note_id") == "n-train-0002"
    moved = pl.col("discharge_time") + pl.duration(microseconds=int(hours * 3.6e9))
    checks = checks_of(hospital("readmission").with_columns(where(late, "written_time", moved)), "readmission")
    assert failed(checks) == ({"note_within_its_window": "error"} if is_late else {})
    assert checks["note_not_after_index_time"].numbers["num_written_after_index_time"] > 1


def test_an_admission_note_at_discharge_or_without_time_is_outside() -> None:
    frame = hospital().with_columns(
        where(pl.col("note_id") == "n-val-0001", "discharge_time", pl.col("written_time")),
        where(pl.col("note_id") == "n-val-0002", "admit_time", pl.lit(None)),
    )
    assert leakage.note_within_its_window(TASKS["mortality"], frame, LIMITS).numbers["num_broken"] == 2


def test_a_note_after_its_index_time() -> None:
    late = pl.col("note_id") == "n-test-0001"
    frame = hospital().with_columns(where(late, "prediction_time", pl.col("written_time") - pl.duration(minutes=1)))
    assert failed(checks_of(frame)) == {"note_not_after_index_time": "error"}


def test_a_discharge_task_that_is_not_indexed_at_discharge() -> None:
    frame = hospital("readmission").with_columns(prediction_time=pl.col("written_time"))
    assert "note_not_after_index_time" in failed(checks_of(frame, "readmission"))


def test_an_outcome_known_at_the_index_time() -> None:
    early = pl.col("note_id") == "n-test-0003"
    frame = hospital().with_columns(where(early, "outcome_time", pl.col("prediction_time")))
    assert failed(checks_of(frame)) == {"outcome_after_index_time": "error"}


def test_an_unknown_outcome_time_is_counted_and_none_at_all_cannot_be_judged() -> None:
    frame = hospital("insurance_denial").with_columns(where(share(0.5), "outcome_time", pl.lit(None)))
    some = leakage.outcome_after_index_time(frame)
    assert some.passed
    assert some.numbers["num_unknown"] + some.numbers["num_notes"] == len(frame)
    none = leakage.outcome_after_index_time(frame.with_columns(outcome_time=pl.lit(None, pl.Datetime("us"))))
    assert none.passed
    assert none.message.startswith("cannot tell")


def test_a_censored_negative_fails_and_a_censored_positive_only_when_strict() -> None:
    frame = hospital("readmission")
    ends = pl.col("prediction_time") + pl.duration(days=29)
    negative = frame.with_columns(
        where(pl.col("note_id") == frame.filter(label=0)["note_id"][0], "follow_up_end", ends)
    )
    positive = frame.with_columns(
        where(pl.col("note_id") == frame.filter(label=1)["note_id"][0], "follow_up_end", ends)
    )
    expected = {"no_label_where_follow_up_is_censored": "error"}
    assert failed(checks_of(negative, "readmission")) == expected
    assert failed(checks_of(positive, "readmission")) == {}
    strict = dataclasses.replace(LIMITS, strict_follow_up=True)
    assert failed(checks_of(positive, "readmission", strict)) == expected
    unknown = negative.with_columns(follow_up_end=pl.lit(None, pl.Datetime("us")))
    assert not leakage.no_label_where_follow_up_is_censored(unknown, LIMITS).passed


@pytest.mark.parametrize("task", ["mortality", "readmission", "length_of_stay"])
def test_a_lead_time_that_differs_by_class(task: str) -> None:
    frame = hospital(task).with_columns(
        where(POSITIVE & share(0.6), "written_time", pl.col("written_time") - pl.duration(hours=15))
    )
    if task != "readmission":
        frame = frame.with_columns(prediction_time=pl.col("written_time"))
    assert failed(checks_of(frame, task)) == {"input_window_identical_for_both_classes": "warn"}


def test_a_class_that_is_both_earlier_and_later_has_no_auroc_but_a_distance() -> None:
    edge = pl.when(pl.col("note_id").hash(1) % 2 == 0).then(-24).otherwise(20)
    hours = pl.when(POSITIVE).then(edge).otherwise(-2)
    frame = hospital().with_columns(written_time=pl.col("admit_time") + pl.duration(hours=hours))
    check = leakage.input_window_identical_for_both_classes(TASKS["mortality"], frame, LIMITS)
    assert abs(check.numbers["auroc"] - 0.5) < 0.1
    assert (check.passed, check.severity) == (False, "warn")


def test_a_class_with_a_wider_window_is_an_error() -> None:
    wide = where(POSITIVE & share(0.1), "written_time", pl.col("admit_time") + pl.duration(hours=28))
    frame = hospital().with_columns(wide).with_columns(prediction_time=pl.col("written_time"))
    found = failed(checks_of(frame))
    assert found == {"note_within_its_window": "error", "input_window_identical_for_both_classes": "error"}


def test_short_stays_that_cut_their_own_window_can_be_told_from_a_leak() -> None:
    end = pl.col("admit_time") + pl.duration(hours=6)
    frame = hospital("length_of_stay").with_columns(
        where((pl.col("label") == 0) & share(0.7), "discharge_time", end), outcome_time=pl.lit(datetime(2030, 1, 1))
    )
    kept = frame.filter(pl.col("written_time") < pl.col("discharge_time"))
    checks = checks_of(kept, "length_of_stay")
    assert failed(checks) == {"input_window_identical_for_both_classes": "warn"}
    numbers = checks["input_window_identical_for_both_classes"].numbers
    assert numbers["auroc"] < 0.42
    assert abs(numbers["auroc_of_longer_stays"] - 0.5) < 0.05


def test_a_phrase_that_tells_the_class() -> None:
    """In few notes, so that no model gains much: the phrase itself is the finding."""
    frame = hospital().with_columns(where(POSITIVE & share(0.06), "text", pl.col("text") + f" {PLANTED}"))
    checks = checks_of(frame)
    assert failed(checks) == {"no_outcome_phrase": "error"}
    (row,) = checks["no_outcome_phrase"].table
    assert (row["phrase_id"], row["num_in_rest"]) == ("patient_expired", 0)


def test_a_phrase_that_all_classes_share_is_a_question() -> None:
    frame = hospital("length_of_stay").with_columns(
        where(share(0.1), "text", pl.col("text") + ". Length of stay: 5 days")
    )
    assert failed(checks_of(frame, "length_of_stay")) == {"no_outcome_phrase": "warn"}


@pytest.mark.parametrize(("task", "words"), [("length_of_stay", "Length of stay: {}"), ("comorbidity", "CCI {}")])
def test_a_phrase_that_all_classes_share_with_another_number(task: str, words: str) -> None:
    stated = pl.format(". " + words, 2 * pl.col("label") + 1)
    frame = hospital(task).with_columns(where(share(0.3), "text", pl.col("text") + stated))
    found = failed(checks_of(frame, task))
    assert found["no_outcome_phrase"] == "error"
    assert set(found) <= {"no_outcome_phrase", "auroc_change_when_masked"}


def test_masking_costs_a_model_that_reads_the_phrase() -> None:
    frame = hospital().with_columns(where(POSITIVE & share(0.6), "text", pl.col("text") + f" {PLANTED}"))
    checks = checks_of(frame)
    assert failed(checks) == {"no_outcome_phrase": "error", "auroc_change_when_masked": "error"}
    numbers = checks["auroc_change_when_masked"].numbers
    assert numbers["auroc"] - numbers["auroc_masked"] == pytest.approx(numbers["cost"])
    assert numbers["cost_low"] > 0.1


@pytest.mark.parametrize("column", ["num_characters", "author_id", "department"])
def test_a_label_that_metadata_give_away(column: str) -> None:
    value = pl.lit(7000) if column == "num_characters" else pl.lit("hospice")
    most = hospital().with_columns(where(POSITIVE & share(0.7), column, value))
    assert failed(checks_of(most)) == {"metadata_alone": "warn"}
    every = hospital().with_columns(where(POSITIVE, column, value))
    assert failed(checks_of(every)) == {"metadata_alone": "error", "too_good": "warn"}


def test_the_hour_of_writing_counts_as_metadata() -> None:
    noon = pl.col("admit_time").dt.truncate("1d") + pl.duration(hours=12)
    frame = hospital().with_columns(where(POSITIVE, "written_time", noon))
    check = leakage.metadata_alone(TASKS["mortality"], frame, LIMITS, SEED)
    assert (check.passed, check.severity) == (False, "error")


@pytest.mark.parametrize("task", ["mortality", "comorbidity"])
def test_test_labels_that_reach_training_show_with_permuted_labels(task: str) -> None:
    words = leakage.bag_of_words(TASKS[task], hospital(task), LIMITS, SEED)
    assert not isinstance(words, str)
    assert leakage.shuffled_labels(words, LIMITS, SEED).passed

    def peeking(_counts: Any, labels: Any, num_classes: int) -> Any:
        generator = np.random.default_rng(int(labels[:20].sum()))
        noisy = np.where(generator.random(len(words.test_labels)) < 0.3, 0, words.test_labels)
        return leakage.linear_model(words.test, noisy, num_classes)

    check = leakage.shuffled_labels(words, LIMITS, SEED, fit=peeking)
    assert (check.passed, check.severity) == (False, "error")


def test_a_rare_class_does_not_give_permuted_labels_a_direction() -> None:
    """Long and short notes, 4 % positive: a model whose intercept lags behind is far from 0.5 here."""
    frame = hospital().filter((pl.col("label") == 0) | share(0.1))
    limits = dataclasses.replace(LIMITS, num_permutations=60, max_permuted_notes=1_000)
    words = leakage.bag_of_words(TASKS["mortality"], frame, limits, SEED)
    check = leakage.shuffled_labels(words, limits, SEED)
    assert check.passed
    assert abs(check.numbers["auroc"] - 0.5) < 0.06


def test_an_auroc_too_good_to_be_true() -> None:
    assert failed(checks_of(hospital(), aurocs={"lang1-1b (temporal_2024)": 0.985})) == {"too_good": "warn"}
    assert failed(checks_of(hospital(), aurocs={"lang1-1b (temporal_2024)": 0.94})) == {}


def test_a_word_that_is_no_known_phrase_but_gives_all_away_is_too_good() -> None:
    frame = hospital().with_columns(where(POSITIVE, "text", pl.col("text") + " zzyzx"))
    assert failed(checks_of(frame)) == {"too_good": "warn"}


def test_a_patient_in_two_splits_is_an_error_only_where_the_split_is_by_patient() -> None:
    frame = hospital().with_columns(where(pl.col("note_id") == "n-test-0001", "subject_id", pl.lit("s-train-0001")))
    by_patient = checks_of(frame, split_by="patient")
    assert failed(by_patient) == {"patient_overlap": "error"}
    assert failed(checks_of(frame, split_by="note")) == {}
    (row,) = [row for row in by_patient["patient_overlap"].table if row["split"] == "test"]
    assert (row["num_seen_patients"], row["num_notes_of_seen_patients"]) == (1, 1)


def test_a_patient_who_comes_back_later_is_counted_but_no_error() -> None:
    """The paper's temporal splits are cut by date alone (appendix L)."""
    back = pl.col("note_id") == "n-temporal_2024-0001"
    checks = checks_of(hospital().with_columns(where(back, "subject_id", pl.lit("s-train-0001"))), split_by="patient")
    assert failed(checks) == {}
    seen = {row["split"]: row["num_seen_patients"] for row in checks["patient_overlap"].table}
    assert seen == {"test": 0, "val": 0, "temporal_2021": 0, "temporal_2024": 1}


def test_a_text_in_two_splits_whatever_its_layout() -> None:
    frame = hospital()
    copied = frame.filter(note_id="n-train-0005")["text"][0].upper().replace(" ", ",  ")
    checks = checks_of(frame.with_columns(where(pl.col("note_id") == "n-test-0001", "text", pl.lit(copied))))
    assert failed(checks) == {"text_overlap": "warn"}
    assert checks["text_overlap"].numbers["num_identical"] == 1
    assert checks["text_overlap"].numbers["num_near_duplicates"] == 1


def test_near_duplicates_are_counted_with_their_split() -> None:
    frame = hospital()
    source = frame.filter(pl.col("split") == "train", pl.col("text").str.len_chars() > 300)["text"][:40].to_list()
    changed = pl.concat([frame.filter(split="val").head(40).with_columns(text=pl.Series(source) + " addendum"), frame])
    checks = checks_of(changed.unique("note_id", keep="first", maintain_order=True))
    assert failed(checks) == {}
    near = {row["split"]: row["num_near_duplicates"] for row in checks["text_overlap"].table}
    assert near["val"] >= 39
    assert near["test"] == near["temporal_2024"] == 0


def jaccard(left: str, right: str) -> float:
    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    return len(shingles(left) & shingles(right)) / len(shingles(left) | shingles(right))


def test_near_duplicates_are_those_of_the_slow_definition() -> None:
    rng = random.Random(5)
    against = [" ".join(rng.choices(WORDS, k=200)) for _ in range(300)]
    texts, similarities = [], []
    for text in against:
        words = text.split()
        for position in rng.sample(range(200), k=rng.choice([0, 1, 3, 6, 30])):
            words[position] = "changed"
        texts.append(" ".join(words))
        similarities.append(jaccard(text, texts[-1]))
    found = leakage.near_duplicates(pl.Series(texts), pl.Series(against))
    exact = np.array(similarities)
    # The estimate from 60 hashes has a standard error of about 0.05.
    assert found[exact >= 0.93].mean() > 0.98
    assert not found[exact < 0.6].any()
    assert (exact >= 0.93).sum() > 80
    assert (exact < 0.6).sum() > 40
    signatures = leakage.minhashes(pl.Series(texts)) == leakage.minhashes(pl.Series(against))
    np.testing.assert_allclose(signatures.mean(axis=1), exact, atol=0.28)
    assert abs((signatures.mean(axis=1) - exact).mean()) < 0.02


def test_texts_without_five_words_or_without_any_have_no_near_duplicate() -> None:
    short = pl.Series(["", "one two three", None, "one two three four five"])
    assert leakage.near_duplicates(short, short).tolist() == [False, False, False, True]
    assert leakage.near_duplicates(short, short.clear()).tolist() == [False] * 4
    assert leakage.near_duplicates(short.clear(), short).tolist() == []


def test_minhashes_do_not_depend_on_the_chunks() -> None:
    texts = hospital()["text"].head(50)
    np.testing.assert_array_equal(leakage.minhashes(texts, chunk_size=7), leakage.minhashes(texts))


@pytest.mark.parametrize("by", ["note_id", "text"])
def test_a_headline_note_in_the_corpus(by: str) -> None:
    frame = hospital()
    note = frame.filter(note_id="n-temporal_2024-0007")
    corpus = hashed_texts(
        note.with_columns(text=pl.lit("else")) if by == "note_id" else note.with_columns(note_id=pl.lit("x"))
    )
    checks = checks_of(frame, corpus_hashes=corpus)
    assert failed(checks) == {"corpus_overlap": "warn"}
    (row,) = [row for row in checks["corpus_overlap"].table if row["split"] == "temporal_2024"]
    assert (row["num_by_note_id"], row["num_by_text"]) == ((1, 0) if by == "note_id" else (0, 1))


def test_other_notes_in_the_corpus_are_counted_as_the_paper_has_them() -> None:
    frame = hospital()
    corpus = hashed_texts(frame.filter(pl.col("split").is_in(["train", "test"])))
    checks = checks_of(frame, corpus_hashes=corpus)
    assert failed(checks) == {}
    assert checks["corpus_overlap"].numbers["num_in_corpus"] == SIZES["test"]
    assert leakage.corpus_overlap(frame, None).message.startswith("cannot tell")


def test_groups_too_small_cannot_be_judged() -> None:
    few = hospital().filter(pl.col("note_id").str.ends_with("01"))
    checks = checks_of(few)
    assert failed(checks) == {}
    judged = {name for name, check in checks.items() if not check.message.startswith("cannot tell")}
    assert judged == {
        "note_within_its_window",
        "note_not_after_index_time",
        "outcome_after_index_time",
        "no_outcome_phrase",
        "patient_overlap",
        "text_overlap",
    }


def test_a_test_split_of_one_class_cannot_be_judged() -> None:
    frame = hospital().filter((pl.col("split") != "test") | (pl.col("label") == 0))
    checks = checks_of(frame)
    assert failed(checks) == {}
    assert "split 'test' has" in checks["metadata_alone"].message


def test_texts_without_a_word_do_not_stop_the_checks() -> None:
    checks = checks_of(hospital().with_columns(text=pl.lit("")))
    assert failed(checks) == {"text_overlap": "warn"}
    assert checks["shuffled_labels"].message == "cannot tell: no training note holds a word"


def test_the_same_seed_gives_the_same_checks_in_any_order_of_rows() -> None:
    frame = hospital()
    limits = dataclasses.replace(LIMITS, max_train_notes=300, max_test_notes=120, max_compared_notes=90)
    one, other = (
        checks_of(frame, limits=limits),
        checks_of(frame.sample(fraction=1, shuffle=True, seed=9), limits=limits),
    )
    assert one == other
    assert one["metadata_alone"].numbers["num_train_notes"] == 300
    assert one["text_overlap"].numbers["num_compared_notes"] == 90


def test_what_is_told_holds_no_text_and_can_be_written_as_json() -> None:
    frame = hospital().with_columns(where(POSITIVE & share(0.5), "text", pl.col("text") + f" {PLANTED}"))
    told = json.dumps([dataclasses.asdict(check) for check in checks_of(frame, corpus_hashes=NO_CORPUS).values()])
    assert "NaN" not in told
    assert "expired on" not in told
    assert not [word for word in (*WORDS, SIGNAL) if word in told]


def test_timing_of_all_tasks_may_be_given() -> None:
    frame = hospital()
    timing = pl.concat(
        [
            frame.select(pl.lit(task).alias("task"), pl.exclude("task")).select(schemas.TIMING.names)
            for task in ("mortality", "length_of_stay")
        ]
    )
    joined = leakage.joined_timing(TASKS["mortality"], frame.select(schemas.EXAMPLES.names), timing)
    assert len(joined) == len(frame)


def test_frames_that_do_not_fit_are_refused_by_name() -> None:
    frame, task = hospital(), TASKS["mortality"]
    examples, timing = frame.select(schemas.EXAMPLES.names), frame.select(schemas.TIMING.names[1:])
    with pytest.raises(LeakageError, match=r"'mortality': 2 examples have no timing \(first: note_id n-test-0001\)"):
        leakage.joined_timing(task, examples, timing.filter(~pl.col("note_id").is_in(["n-test-0002", "n-test-0001"])))
    moved = timing.with_columns(
        where(pl.col("note_id") == "n-val-0001", "prediction_time", pl.lit(datetime(2020, 1, 1)))
    )
    with pytest.raises(LeakageError, match="1 examples have another prediction_time in timing"):
        leakage.joined_timing(task, examples, moved)
    with pytest.raises(LeakageError, match="timing hold note_id n-train-0000 more than once"):
        leakage.joined_timing(task, examples, pl.concat([timing, timing.head(1)]))
    with pytest.raises(
        LeakageError, match=r"timing lack column\(s\) author_id, outcome_time|outcome_time, .*author_id"
    ):
        leakage.joined_timing(task, examples, timing.drop("author_id", "outcome_time"))
    with pytest.raises(LeakageError, match="no examples"):
        leakage.joined_timing(task, examples.clear(), timing)


def test_hashes_are_stable_and_blind_to_layout() -> None:
    hashes = leakage.text_hashes(pl.Series(["Chest pain, 2 days", "chest  pain 2 DAYS.", None]))
    assert hashes[0] == hashes[1] != hashes[2]
    # Written down once: a corpus hashed today is compared with tests of another day.
    assert leakage.text_hashes(pl.Series(["chest pain"]))[0] == "e45af16edaca7c71897d8a2546fbf6ee"


def test_the_interval_of_hanley_and_mcneil_covers_the_truth() -> None:
    rng, truth, covered = np.random.default_rng(0), float(stats.norm.cdf(1 / np.sqrt(2))), 0
    for _ in range(400):
        scores = rng.normal(size=140) + np.repeat([0, 1], [80, 60])
        value = leakage.pairwise_auroc(np.repeat([False, True], [80, 60]), scores)
        low, high = leakage.hanley_interval(value, 60, 80)
        covered += low <= truth <= high
    assert 0.91 <= covered / 400 <= 0.985


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(leakage).failed == 0
