"""The figure of each study, from planted cells: which points, from which artifact, and what could not be measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.study import (
    ablations,
    answer_perplexity,
    calibration,
    comparisons,
    other_hospital,
    scaling,
    temporal_decay,
    transfer,
)
from lang1_assets.ops.study.evidence import Lacking
from lang1_assets.ops.study.figure import Figure, read_figures, write_figures
from lang1_assets.ops.tasks import REMEDE, TASKS
from tests.ops.study.planted import BAD, GOOD, NOTHING, Plan, studied


def values(figure: Figure) -> dict[tuple[str, str, float | str], float | None]:
    return {(point.panel, point.series, point.x): point.value for point in figure.points}


def test_zero_shot_models_and_those_from_elsewhere_are_side_by_side(tmp_path: Path) -> None:
    plan: Plan = {"ours/zero_shot": NOTHING, "outside:big": BAD, "ours/joint": GOOD}
    (figure,) = comparisons.zero_shot_figures(studied(tmp_path, plan))
    assert {point.series for point in figure.points} == {"ours", "big"}
    assert {point.x for point in figure.points} == {TASKS[task].title for task in REMEDE}
    assert all(point.low < point.value < point.high for point in figure.points if point.value)  # type: ignore[operator]
    assert {point.source for point in figure.points} == {"zero_shot_evaluation/ours", "outside_evaluation/big"}


def test_the_best_zero_shot_model_is_named(tmp_path: Path) -> None:
    plan: Plan = {
        "ours/zero_shot": NOTHING,
        "outside:big": BAD,
        "ours/joint": GOOD,
        "ours/mortality": BAD,
        "baseline:bag_of_words": BAD,
    }
    (figure,) = comparisons.finetuned_figures(studied(tmp_path, plan))
    best = [point for point in figure.points if point.series == "best zero-shot"]
    assert {point.note for point in best} == {"big"}
    by_series = {point.series: point for point in figure.points}
    assert set(by_series) == {"best zero-shot", "bag_of_words", "ours, joint", "ours, single"}
    # A model that was finetuned on one task stands beside that task alone.
    assert [point.x for point in figure.points if point.series == "ours, single"] == ["In-hospital mortality"]


def test_a_model_that_was_asked_about_few_notes_is_not_the_best(tmp_path: Path) -> None:
    many = studied(tmp_path, {"ours/zero_shot": BAD})
    few = studied(tmp_path, {"outside:lucky": GOOD}, num_notes=60)
    both = type(many)(**{**vars(many), "cells": [*many.cells, *few.cells]})
    assert comparisons.best_zero_shot(both, "readmission").cell == many.cells[0]


def test_a_row_a_recipe_and_a_column_a_task(tmp_path: Path) -> None:
    plan: Plan = {"ours/zero_shot": NOTHING, "ours/readmission": GOOD, "ours/joint": GOOD, "generalist/joint": BAD}
    (figure,) = transfer.figures(studied(tmp_path, plan))
    rows = list(dict.fromkeys(point.series for point in figure.points))
    assert (rows[0], rows[-1], len(rows)) == ("zero-shot", "joint", 7)
    # A base with no model of a single task transfers nothing.
    assert {point.panel for point in figure.points} == {"ours"}
    lacking = [point for point in figure.points if point.value is None]
    assert {point.source for point in lacking} == {f"{task}_evaluation/ours" for task in REMEDE[1:]}
    assert {point.note for point in lacking} == {"not evaluated"}


def test_of_the_other_hospital_a_panel_a_task_and_a_column_a_base(tmp_path: Path) -> None:
    plan: Plan = {
        "there:ours/zero_shot": {"readmission": NOTHING},
        "there:ours/readmission": {"readmission": GOOD},
        "there:generalist/elsewhere_readmission": {"readmission": BAD},
    }
    (figure,) = other_hospital.figures(studied(tmp_path, plan))
    found = values(figure)
    # As many notes as there: nobody made that model, and the profile does not ask for it.
    assert len(found) == 2 * (len(other_hospital.MODES) - 1)
    missing = ["elsewhere_evaluation/ours/matched_readmission"]
    (figure_of_more,) = other_hospital.figures(studied(tmp_path, plan, missing=missing))
    assert len(values(figure_of_more)) == 2 * len(other_hospital.MODES)
    title = TASKS["readmission"].title
    assert found[title, "finetuned here", "ours"] > 0.8  # type: ignore[operator]
    assert found[title, "finetuned here", "generalist"] is None


def test_budgets_are_tokens_of_both_kinds_and_random_weights_are_there(tmp_path: Path) -> None:
    plan: Plan = {"scaled:ours/1000/200/10": BAD, "scaled:ours/2000/200/all": GOOD, "scaled:random/0/300/all": BAD}
    (figure,) = scaling.token_budget_figures(studied(tmp_path, plan))
    assert {(point.series, point.x) for point in figure.points} == {
        ("10 notes", 1200.0),
        ("all 9,999 notes", 2200.0),
        ("random weights, all 9,999 notes", 300.0),
    }


def test_without_a_control_the_first_checkpoint_is_the_random_weights(tmp_path: Path) -> None:
    plan: Plan = {"scaled:ours/0/200/all": BAD, "scaled:ours/2000/200/all": GOOD}
    held = studied(tmp_path, plan)
    (figure,) = scaling.token_budget_figures(held)
    assert [point.series for point in figure.points] == ["all 9,999 notes", "random weights, all 9,999 notes"]
    (found,) = scaling.all_labels(held)
    assert found.verdict == "holds"


def test_a_model_of_unknown_tokens_is_nobody_s_random_weights(tmp_path: Path) -> None:
    """The main variant is a folder, and no control was finetuned at scale."""
    held = studied(tmp_path, {"scaled:ours/1/100/10": BAD, "scaled:ours/1/200/all": GOOD})
    held = replace(held, cells=[replace(cell, pretrain_tokens=None) for cell in held.cells])
    (figure,) = scaling.token_budget_figures(held)
    assert figure.points == ()
    assert [scaling.line_of(cell) for cell in held.cells] == ["10 notes", "all 9,999 notes"]
    (found,) = scaling.all_labels(held)
    assert isinstance(found, Lacking)
    # By labelled notes it is compared like any other.
    (figure,) = scaling.data_efficiency_figures(held)
    assert {point.series for point in figure.points} == {"ours"}


def test_of_each_base_the_last_checkpoint_is_in_the_curve_of_labels(tmp_path: Path) -> None:
    plan: Plan = {
        "scaled:ours/1000/200/10": BAD,
        "scaled:ours/2000/200/10": GOOD,
        "scaled:ours/2000/200/9999": GOOD,
        "scaled:ours/2000/200/all": GOOD,
        "scaled:generalist/2000/200/10": BAD,
    }
    (figure,) = scaling.data_efficiency_figures(studied(tmp_path, plan))
    # 9,999 are all there are: one point, and not two.
    assert [(point.series, point.x) for point in figure.points] == [
        ("ours", 10.0),
        ("ours", 9999.0),
        ("generalist", 10.0),
    ]
    assert all("/2000/" in point.source for point in figure.points)


def test_tests_in_the_order_of_time(tmp_path: Path) -> None:
    plan: Plan = {"ours/joint": GOOD, "encoder/readmission": BAD, "baseline:words": BAD}
    titles = SplitTitles(common={"temporal_2024": "2018"}, of_tasks={"insurance_denial": {"temporal_2024": "2018-11"}})
    (figure,) = temporal_decay.figures(studied(tmp_path, plan, split_titles=titles))
    ours = {
        task: [point.x for point in figure.points if point.series == "ours" and point.panel == TASKS[task].title]
        for task in REMEDE
    }
    assert ours.pop("insurance_denial") == ["test", "2018-11"]
    assert set(map(tuple, ours.values())) == {("test", "2018")}
    assert {point.series for point in figure.points} == {"ours", "encoder", "words"}


def test_a_baseline_says_from_what_it_learned_or_why_it_has_no_value(tmp_path: Path) -> None:
    (figure,) = comparisons.finetuned_figures(
        studied(tmp_path, {"ours/joint": GOOD, "baseline:words": {"mortality": BAD}})
    )
    notes = {point.x: point.note for point in figure.points if point.series == "words"}
    assert notes.pop(TASKS["mortality"].title) == "learned from every labelled note"
    assert set(notes.values()) == {"not evaluated on this task"}


def test_captions_call_the_test_after_its_window(tmp_path: Path) -> None:
    titles = SplitTitles(common={"temporal_2024": "2018"}, of_tasks={"insurance_denial": {"temporal_2024": "2019"}})
    plan: Plan = {"ours/zero_shot": BAD, "ours/joint": GOOD, "ours/readmission": GOOD, "scaled:ours/2000/200/all": GOOD}
    held = studied(tmp_path, plan, split_titles=titles)
    of_one_test = (transfer, ablations, calibration, answer_perplexity)
    makers = [*(study.figures for study in of_one_test), comparisons.zero_shot_figures, comparisons.finetuned_figures]
    for figures in makers:
        (figure,) = figures(held)
        assert "on the 2018 test (insurance denial: 2019)" in figure.caption
    (figure,) = scaling.token_budget_figures(held)
    assert figure.caption.startswith("30-day readmission on the 2018 test: checkpoints of ours")


def test_variants_say_what_they_are(tmp_path: Path) -> None:
    (figure,) = ablations.figures(studied(tmp_path, {"ours/joint": GOOD, "encoder/readmission": BAD}))
    assert {(point.x, point.series) for point in figure.points} == {
        ("ours", "decoder, notes_plus and web_text"),
        ("encoder", "encoder, notes"),
    }
    assert {point.panel for point in figure.points} == {TASKS[task].title for task in ablations.TASKS_SHOWN}


@pytest.mark.parametrize("figures", [comparisons.finetuned_figures, transfer.figures, ablations.figures])
def test_a_figure_survives_its_file(figures, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    made = figures(studied(tmp_path, {"ours/joint": GOOD, "ours/readmission": BAD}))
    write_figures(made, tmp_path)
    assert read_figures(tmp_path) == made
