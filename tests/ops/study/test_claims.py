"""Each claim that is about AUROCs, on cells where it must hold, must not hold, and cannot be told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.study.cells import Base
from lang1_assets.ops.study.claim import Judged
from lang1_assets.ops.study.evidence import judge
from lang1_assets.ops.study.studies import ANALYSES, CLAIMS, STUDIES, from_json, to_json
from lang1_assets.ops.tasks import REMEDE
from tests.ops.study.planted import BAD, BASES, GOOD, LARGE, NOTHING, SMALL, SPLITS, Plan, studied

QUESTIONS = {
    question.claim.name: (question, study.name) for study in (*STUDIES, *ANALYSES) for question in study.questions
}

# Claim -> cells where it holds, where it does not, and the cell without which it cannot be told.
CASES: dict[str, tuple[Plan, Plan, str]] = {
    "zero_shot_is_weak": (
        {
            "ours/zero_shot": NOTHING,
            "outside:big": {**dict.fromkeys(REMEDE, BAD), "mortality": 4.0},
            "ours/joint": GOOD,
        },
        {"ours/zero_shot": GOOD, "ours/joint": BAD},
        "ours/joint",
    ),
    "finetuned_exceeds_best_zero_shot": (
        {"ours/zero_shot": NOTHING, "outside:big": BAD, "ours/joint": GOOD},
        {
            "ours/zero_shot": NOTHING,
            "outside:big": {**dict.fromkeys(REMEDE, BAD), "mortality": 4.0},
            "ours/joint": {**dict.fromkeys(REMEDE, GOOD), "mortality": 1.6},
        },
        "ours/joint",
    ),
    "clinical_base_exceeds_generalist": (
        {"ours/joint": GOOD, "generalist/joint": BAD},
        {"ours/joint": GOOD, "generalist/joint": {**dict.fromkeys(REMEDE, BAD), "comorbidity": 4.0}},
        "generalist/joint",
    ),
    "finetuned_exceeds_every_finetuned_generalist": (
        {"ours/joint": GOOD, "generalist/joint": BAD},
        {"ours/joint": GOOD, "generalist/joint": {**dict.fromkeys(REMEDE, BAD), "comorbidity": 4.0}},
        "generalist/joint",
    ),
    "small_finetuned_exceeds_large_zero_shot": (
        {"ours/joint": GOOD, "outside:big": BAD},
        {"ours/joint": BAD, "outside:big": GOOD},
        "outside:big",
    ),
    "finetuning_tokens_are_worth_more": (
        {
            "scaled:ours/1000/100/10": NOTHING,
            "scaled:ours/1000/900/100": GOOD,
            "scaled:ours/1900/100/10": NOTHING,
            "scaled:ours/100/1900/100": GOOD,
        },
        {
            "scaled:ours/1000/100/10": GOOD,
            "scaled:ours/1000/900/100": NOTHING,
            "scaled:ours/1900/100/10": GOOD,
            "scaled:ours/100/1900/100": NOTHING,
        },
        "scaled:ours/1000/100/10",
    ),
    "pretraining_helps_with_all_labels": (
        {"scaled:ours/1000/100/all": GOOD, "scaled:random/0/100/all": BAD},
        {"scaled:ours/1000/100/all": BAD, "scaled:random/0/100/all": GOOD},
        "scaled:random/0/100/all",
    ),
    "clinical_base_is_better_with_few_labels": (
        {
            "scaled:ours/1000/100/10": GOOD,
            "scaled:generalist/1000/100/10": BAD,
            "scaled:ours/1000/100/100": GOOD,
            "scaled:generalist/1000/100/100": BAD,
            "scaled:ours/1000/100/all": NOTHING,
            "scaled:generalist/1000/100/all": GOOD,
        },
        {"scaled:ours/1000/100/10": BAD, "scaled:generalist/1000/100/10": GOOD},
        "scaled:generalist/1000/100/10 scaled:generalist/1000/100/100",
    ),
    "clinical_base_needs_fewer_labels": (
        {
            "scaled:ours/1000/100/10": NOTHING,
            "scaled:ours/1000/100/100": GOOD,
            "scaled:generalist/1000/100/all": BAD,
        },
        {
            "scaled:ours/1000/100/10": NOTHING,
            "scaled:ours/1000/100/100": BAD,
            "scaled:generalist/1000/100/all": GOOD,
        },
        "scaled:generalist/1000/100/all",
    ),
    "joint_exceeds_single": (
        {
            "ours/joint": {**dict.fromkeys(REMEDE, GOOD), "mortality": NOTHING},
            **{f"ours/{task}": BAD for task in REMEDE},
        },
        {
            "ours/joint": {**dict.fromkeys(REMEDE, BAD), "mortality": GOOD, "comorbidity": GOOD},
            **{f"ours/{task}": 1.6 for task in REMEDE},
        },
        "ours/joint",
    ),
    "readmission_helps_the_others": (
        {"ours/readmission": GOOD, "ours/zero_shot": NOTHING},
        {"ours/readmission": {**dict.fromkeys(REMEDE, GOOD), "mortality": NOTHING}, "ours/zero_shot": BAD},
        "ours/zero_shot",
    ),
    "mortality_helps_stay_and_not_the_reverse": (
        {"ours/mortality": GOOD, "ours/length_of_stay": NOTHING, "ours/zero_shot": BAD},
        {"ours/mortality": GOOD, "ours/length_of_stay": GOOD, "ours/zero_shot": BAD},
        "ours/length_of_stay",
    ),
    "bases_transfer_differently": (
        {
            "ours/joint": GOOD,
            "generalist/joint": BAD,
            **{f"{base}/{task}": 1.6 for base in ("ours", "generalist") for task in REMEDE},
        },
        {
            "ours/joint": GOOD,
            "generalist/joint": GOOD,
            **{f"{base}/{task}": 1.6 for base in ("ours", "generalist") for task in REMEDE},
        },
        "generalist/mortality",
    ),
    "denial_lowers_stay_of_ours_alone": (
        {
            "ours/insurance_denial": BAD,
            "ours/zero_shot": GOOD,
            "generalist/insurance_denial": GOOD,
            "generalist/zero_shot": BAD,
        },
        {
            "ours/insurance_denial": BAD,
            "ours/zero_shot": GOOD,
            "generalist/insurance_denial": BAD,
            "generalist/zero_shot": GOOD,
        },
        "generalist/insurance_denial",
    ),
    "generalist_transfers_alike": (
        {
            "generalist/readmission": GOOD,
            "generalist/mortality": GOOD,
            "generalist/length_of_stay": NOTHING,
            "generalist/zero_shot": BAD,
        },
        {
            "generalist/readmission": GOOD,
            "generalist/mortality": GOOD,
            "generalist/length_of_stay": GOOD,
            "generalist/zero_shot": BAD,
        },
        "generalist/length_of_stay",
    ),
    "finetuning_here_transfers_there": (
        {"there:ours/readmission": GOOD, "there:ours/elsewhere_readmission": GOOD, "there:ours/zero_shot": NOTHING},
        {"there:ours/readmission": BAD, "there:ours/elsewhere_readmission": GOOD, "there:ours/zero_shot": NOTHING},
        "there:ours/zero_shot",
    ),
    "clinical_base_is_better_there": (
        {
            **{f"there:ours/{recipe}": GOOD for recipe in ("readmission", "elsewhere_readmission")},
            **{f"there:generalist/{recipe}": BAD for recipe in ("readmission", "elsewhere_readmission")},
        },
        {
            **{f"there:ours/{recipe}": BAD for recipe in ("readmission", "elsewhere_readmission")},
            **{f"there:generalist/{recipe}": GOOD for recipe in ("readmission", "elsewhere_readmission")},
        },
        "there:generalist/readmission",
    ),
    "generalist_gains_from_more_labels": (
        {"there:generalist/readmission": GOOD, "there:generalist/elsewhere_readmission": BAD},
        {"there:generalist/readmission": BAD, "there:generalist/elsewhere_readmission": GOOD},
        "there:generalist/elsewhere_readmission",
    ),
    "as_many_labels_remove_the_gain": (
        {"there:generalist/matched_readmission": BAD, "there:generalist/elsewhere_readmission": BAD},
        {"there:generalist/matched_readmission": GOOD, "there:generalist/elsewhere_readmission": BAD},
        "there:generalist/matched_readmission",
    ),
    "clinical_base_prefers_labels_from_there": (
        {"there:ours/readmission": BAD, "there:ours/elsewhere_readmission": GOOD},
        {"there:ours/readmission": GOOD, "there:ours/elsewhere_readmission": BAD},
        "there:ours/elsewhere_readmission",
    ),
    "performance_decays_with_time": (
        {
            "ours/joint": {
                (task, split): GOOD if split == "test" else BAD
                for task in REMEDE
                for split in ("test", "temporal_2024")
            }
        },
        {
            "ours/joint": {
                (task, split): BAD if split == "test" else GOOD
                for task in REMEDE
                for split in ("test", "temporal_2024")
            }
        },
        "ours/joint",
    ),
    "encoder_decays_with_time": (
        {"encoder/joint": {(task, split): GOOD if split == "test" else BAD for task in REMEDE for split in SPLITS}},
        {"encoder/joint": {(task, split): BAD if split == "test" else GOOD for task in REMEDE for split in SPLITS}},
        "encoder/joint",
    ),
    "decoder_decays_less_than_encoder": (
        {
            "older/readmission": GOOD,
            "encoder/readmission": {("readmission", "test"): GOOD, ("readmission", "temporal_2024"): NOTHING},
        },
        {
            "older/readmission": {("readmission", "test"): GOOD, ("readmission", "temporal_2024"): NOTHING},
            "encoder/readmission": GOOD,
        },
        "encoder/readmission",
    ),
    "larger_is_better": (
        {"ours/joint": GOOD, "small/joint": BAD},
        {"ours/joint": BAD, "small/joint": GOOD},
        "small/joint",
    ),
    "web_text_does_not_hurt": (
        {"ours/joint": GOOD, "clinical/joint": GOOD},
        {"ours/joint": BAD, "clinical/joint": GOOD},
        "clinical/joint",
    ),
    "recent_clinical_text_helps": (
        {"clinical/joint": GOOD, "older/joint": BAD},
        {"clinical/joint": BAD, "older/joint": GOOD},
        "older/joint",
    ),
    "decoder_exceeds_encoder": (
        {"older/readmission": GOOD, "encoder/readmission": BAD},
        {"older/readmission": BAD, "encoder/readmission": GOOD},
        "older/readmission",
    ),
}
# What holds of equal models too: of these a claim is that a difference is small, or on one side of a margin.
HOLD_OF_EQUALS = {"web_text_does_not_hurt", "as_many_labels_remove_the_gain", "clinical_base_needs_fewer_labels"}
OF_OTHER_NOTES = {"performance_decays_with_time", "encoder_decays_with_time"}
"""Its two AUROCs are of different notes: they differ by chance."""


def verdict(folder: Path, name: str, plan: Plan) -> Judged:
    question, figure = QUESTIONS[name]
    return judge(question, studied(folder, plan), figure)


@pytest.mark.parametrize("name", CASES)
def test_it_holds_where_it_must(name: str, tmp_path: Path) -> None:
    judged = verdict(tmp_path, name, CASES[name][0])
    assert judged.verdict == "holds", judged.numbers
    assert judged.sources
    assert all(detail["verdict"] in ("holds", "does not hold", "cannot tell") for detail in judged.details)


@pytest.mark.parametrize("name", CASES)
def test_it_does_not_hold_where_it_must_not(name: str, tmp_path: Path) -> None:
    judged = verdict(tmp_path, name, CASES[name][1])
    assert judged.verdict == "does not hold", judged.numbers


@pytest.mark.parametrize("name", CASES)
def test_it_cannot_be_told_without_what_it_needs(name: str, tmp_path: Path) -> None:
    holds, _, dropped = CASES[name]
    gone = dropped.split()
    judged = verdict(tmp_path, name, {key: signal for key, signal in holds.items() if key not in gone})
    assert judged.verdict == "cannot tell", judged.numbers
    assert "not" in judged.numbers.lower() or "Nothing" in judged.numbers


@pytest.mark.parametrize("name", sorted(set(CASES) - HOLD_OF_EQUALS - OF_OTHER_NOTES))
def test_of_equal_models_no_difference_is_claimed(name: str, tmp_path: Path) -> None:
    judged = verdict(tmp_path, name, dict.fromkeys(CASES[name][0], BAD))
    assert judged.verdict == "cannot tell", judged.numbers


def test_every_claim_is_written_once_and_tested_here_or_in_its_own_module() -> None:
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names) == 39
    own = {
        "comprehension_rises",
        "zero_shot_does_not_rise",
        "zero_shot_stays_near_chance",
        "larger_gains_more_from_recent_text",
        "ours_finds_answers_likelier_than_generalists",
        "seen_patients_are_another_population",
        "lower_perplexity_goes_with_higher_auroc",
        "finetuned_is_well_calibrated",
        "the_dead_stayed_shortly_or_long",
        "long_stays_have_the_risk_of_short_ones",
        "auroc_differs_among_groups",
        "patient_overlap_changes_little",
    }
    assert set(names) == own | set(CASES)


def test_a_verdict_survives_its_file(tmp_path: Path) -> None:
    import json

    judged: Any = verdict(tmp_path, "larger_is_better", CASES["larger_is_better"][0])
    again = from_json(json.loads(json.dumps(to_json(judged), allow_nan=False)))
    assert again == judged


def test_a_class_of_few_notes_is_named_and_not_judged(tmp_path: Path) -> None:
    question, figure = QUESTIONS["larger_is_better"]
    judged = judge(question, studied(tmp_path, CASES["larger_is_better"][0], num_notes=8), figure)
    assert judged.verdict == "cannot tell"
    assert "score more notes" in judged.numbers


@pytest.mark.parametrize(("here", "there", "verdict"), [(900, 500, "holds"), (500, 500, "cannot tell")])
def test_more_labels_are_compared_with_fewer(here: int, there: int, verdict: str, tmp_path: Path) -> None:
    """A run that ends before it has read its notes has learned from as many here as there."""
    plan: Plan = {"there:generalist/readmission": GOOD, "there:generalist/elsewhere_readmission": BAD}
    held = studied(tmp_path, plan)
    cells = [replace(cell, num_notes=notes) for cell, notes in zip(held.cells, (here, there), strict=True)]
    question, figure = QUESTIONS["generalist_gains_from_more_labels"]
    judged = judge(question, replace(held, cells=cells), figure)
    assert judged.verdict == verdict, judged.numbers


def test_random_weights_are_nobody_s_large_model(tmp_path: Path) -> None:
    """A finding about small and large models would hold for having beaten chance."""
    held = studied(tmp_path, {"ours/joint": GOOD, "outside:big": BAD})
    untrained = [replace(cell, is_untrained=cell.kind == "outside") for cell in held.cells]
    question, figure = QUESTIONS["small_finetuned_exceeds_large_zero_shot"]
    assert judge(question, held, figure).verdict == "holds"
    assert judge(question, replace(held, cells=untrained), figure).verdict == "cannot tell"


FOLDERS = (
    BASES[0],
    Base(name="llama-3.2-1b", is_from_folder=True, num_parameters=1_000_000),
    Base(name="deepseek-70b-lora", is_from_folder=True, num_parameters=70_000_000),
)


def test_every_finetuned_generalist_is_compared_with(tmp_path: Path) -> None:
    """The finding is about generalists up to 70 times as large: the first one in the profile is not all of them."""
    plan: Plan = {"ours/joint": 1.6, "llama-3.2-1b/joint": NOTHING, "deepseek-70b-lora/joint": GOOD}
    held = studied(tmp_path, plan, bases=FOLDERS)
    size_matched, figure = QUESTIONS["clinical_base_exceeds_generalist"]
    assert judge(size_matched, held, figure).verdict == "holds"
    every, figure = QUESTIONS["finetuned_exceeds_every_finetuned_generalist"]
    judged = judge(every, held, figure)
    assert judged.verdict == "does not hold", judged.numbers
    assert len(judged.details) == 2 * len(REMEDE)
    assert {detail["level"] for detail in judged.details} == {1 - 0.05 / (2 * len(REMEDE))}
    assert "deepseek-70b-lora" in judged.numbers


def test_a_generalist_that_the_profile_asks_for_is_missed(tmp_path: Path) -> None:
    plan: Plan = {"ours/joint": GOOD, "llama-3.2-1b/joint": NOTHING}
    question, figure = QUESTIONS["finetuned_exceeds_every_finetuned_generalist"]
    assert judge(question, studied(tmp_path, plan, bases=FOLDERS), figure).verdict == "holds"
    held = studied(tmp_path, plan, bases=FOLDERS, missing=["joint_evaluation/deepseek-70b-lora"])
    assert judge(question, held, figure).verdict == "cannot tell"


@pytest.mark.parametrize("name", ["clinical_base_is_better_with_few_labels", "clinical_base_needs_fewer_labels"])
def test_few_labels_are_compared_with_every_generalist_that_has_few(name: str, tmp_path: Path) -> None:
    plan: Plan = {
        "scaled:ours/1000/100/10": 1.6,
        "scaled:ours/1000/900/all": GOOD,
        "scaled:llama-3.2-1b/1000/100/10": NOTHING,
        "scaled:llama-3.2-1b/1000/900/all": NOTHING,
    }
    question, figure = QUESTIONS[name]
    assert judge(question, studied(tmp_path, plan, bases=FOLDERS), figure).verdict == "holds"
    better: Plan = {"scaled:deepseek-70b-lora/9/100/10": GOOD, "scaled:deepseek-70b-lora/9/900/all": GOOD}
    judged = judge(question, studied(tmp_path, {**plan, **better}, bases=FOLDERS), figure)
    assert judged.verdict == "does not hold", judged.numbers


def test_no_statement_says_of_a_folder_that_it_read_web_text_alone() -> None:
    for claim in CLAIMS:
        assert "web-only" not in claim.statement
        assert "read web text alone" not in claim.statement


SIZES = (
    Base(name="large_older", corpora=frozenset({"notes"}), num_parameters=1_000_000, shape=LARGE),
    Base(name="large_newer", corpora=frozenset({"notes_plus"}), num_parameters=1_000_000, shape=LARGE),
    Base(name="small_older", corpora=frozenset({"notes"}), num_parameters=100_000, shape=SMALL),
    Base(name="small_newer", corpora=frozenset({"notes_plus"}), num_parameters=100_000, shape=SMALL),
)


@pytest.mark.parametrize(
    ("large", "small", "helps", "more"),
    [
        ((BAD, GOOD), (GOOD, BAD), "holds", "holds"),
        ((BAD, GOOD), (BAD, BAD), "holds", "holds"),
        ((BAD, GOOD), (NOTHING, 5.0), "holds", "does not hold"),
        ((GOOD, BAD), (BAD, GOOD), "does not hold", "does not hold"),
        ((BAD, BAD), (BAD, BAD), "cannot tell", "cannot tell"),
    ],
)
def test_more_recent_text_is_asked_of_the_largest(
    large: tuple[float, float], small: tuple[float, float], helps: str, more: str, tmp_path: Path
) -> None:
    """The paper's 1B gains by Notes+ and its 100M does not: that the small one gains nothing is part of the finding."""
    signals = dict(zip(("large_older", "large_newer", "small_older", "small_newer"), (*large, *small), strict=True))
    held = studied(tmp_path, {f"{name}/joint": signal for name, signal in signals.items()}, bases=SIZES)
    for name, verdict in (("recent_clinical_text_helps", helps), ("larger_gains_more_from_recent_text", more)):
        question, figure = QUESTIONS[name]
        judged = judge(question, held, figure)
        assert judged.verdict == verdict, judged.numbers


def test_one_size_says_nothing_of_which_gains_more(tmp_path: Path) -> None:
    plan: Plan = {"large_older/joint": BAD, "large_newer/joint": GOOD}
    question, figure = QUESTIONS["larger_gains_more_from_recent_text"]
    for bases in (SIZES, SIZES[:2]):
        assert judge(question, studied(tmp_path, plan, bases=bases), figure).verdict == "cannot tell"
