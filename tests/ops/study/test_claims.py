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
from tests.ops.study.cases import CASES, HOLD_OF_EQUALS, OF_OTHER_NOTES
from tests.ops.study.planted import BAD, BASES, GOOD, LARGE, NOTHING, SMALL, Plan, studied

QUESTIONS = {
    question.claim.name: (question, study.name) for study in (*STUDIES, *ANALYSES) for question in study.questions
}


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


@pytest.mark.parametrize(
    ("name", "missing", "verdict"),
    [
        ("finetuned_exceeds_best_zero_shot", "served_evaluation/gpt", "cannot tell"),
        ("finetuned_exceeds_best_zero_shot", "zero_shot_evaluation/small", "cannot tell"),
        ("zero_shot_is_weak", "outside_evaluation/gpt", "cannot tell"),
        ("small_finetuned_exceeds_large_zero_shot", "served_evaluation/gpt", "cannot tell"),
        # Neither is larger than ours.
        ("small_finetuned_exceeds_large_zero_shot", "zero_shot_evaluation/small", "holds"),
        ("small_finetuned_exceeds_large_zero_shot", "zero_shot_evaluation/random", "holds"),
        ("finetuned_exceeds_best_zero_shot", "baseline_evaluation/tfidf", "holds"),
    ],
)
def test_a_model_that_nobody_asked_may_be_the_best(name: str, missing: str, verdict: str, tmp_path: Path) -> None:
    """`make study` asks no served model: what it would have said is unknown, not weaker."""
    holds, fails, _ = CASES[name]
    question, figure = QUESTIONS[name]
    assert judge(question, studied(tmp_path, holds), figure).verdict == "holds"
    judged = judge(question, studied(tmp_path, holds, missing=[missing]), figure)
    assert judged.verdict == verdict, judged.numbers
    assert (missing in judged.numbers) == (verdict == "cannot tell")
    # Who is weaker than one of them is weaker than the best.
    assert judge(question, studied(tmp_path, fails, missing=[missing]), figure).verdict == "does not hold"


OF_CLINICAL_BASE = sorted(name for name, (question, _) in QUESTIONS.items() if question.is_of_clinical_base)


@pytest.mark.parametrize("name", OF_CLINICAL_BASE)
def test_nothing_is_said_of_a_clinical_base_where_ours_is_none(name: str, tmp_path: Path) -> None:
    """A profile may have a model from a folder as its only one, and another hospital and few labels beside."""
    assert name in CASES
    question, figure = QUESTIONS[name]
    bases = (replace(BASES[0], corpora=frozenset()), *BASES[1:])
    judged = judge(question, studied(tmp_path, CASES[name][0], bases=bases), figure)
    assert judged.verdict == "cannot tell"
    assert "read no clinical text" in judged.numbers


def test_a_statement_about_the_clinical_base_is_marked_as_one() -> None:
    named = {claim.name for claim in CLAIMS if "clinical base" in claim.statement or "clinically" in claim.statement}
    assert named == set(OF_CLINICAL_BASE)


@pytest.mark.parametrize(
    ("here", "matched", "there", "verdict"),
    [(900, 500, 500, "holds"), (500, 500, 3_000, "cannot tell"), (900, 400, 500, "cannot tell")],
)
def test_as_many_notes_as_there_are_fewer_than_here(
    here: int, matched: int, there: int, verdict: str, tmp_path: Path
) -> None:
    plan: Plan = {
        "there:generalist/readmission": GOOD,
        "there:generalist/matched_readmission": BAD,
        "there:generalist/elsewhere_readmission": BAD,
    }
    held = studied(tmp_path, plan)
    cells = [replace(cell, num_notes=notes) for cell, notes in zip(held.cells, (here, matched, there), strict=True)]
    question, figure = QUESTIONS["as_many_labels_remove_the_gain"]
    judged = judge(question, replace(held, cells=cells), figure)
    assert judged.verdict == verdict, judged.numbers


def test_a_size_that_was_not_pretrained_yet_is_missed(tmp_path: Path) -> None:
    """Of every pair: the 7B that the profile asks for is in one."""
    question, figure = QUESTIONS["larger_is_better"]
    bases = (*BASES, Base(name="huge", corpora=BASES[0].corpora, shape='{"hidden_size": 4096}'))
    plan = CASES["larger_is_better"][0]
    assert judge(question, studied(tmp_path, plan, bases=bases), figure).verdict == "holds"
    judged = judge(question, studied(tmp_path, plan, bases=bases, missing=["joint_evaluation/huge"]), figure)
    assert judged.verdict == "cannot tell"
    assert "pretrained_model/huge was not made" in judged.numbers


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
