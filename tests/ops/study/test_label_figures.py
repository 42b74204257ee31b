"""Figures F6, K8 and L9 from the rows of their analyses: every row a point, with its artifact, and what has no value says why."""

from typing import Any

import polars as pl
import pytest

from lang1_assets.ops.analysis.label_dependence import dependence_rows
from lang1_assets.ops.analysis.patient_overlap import overlap_rows
from lang1_assets.ops.analysis.strata import strata_rows
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.label_figures import GROUP, WORSE, analysis_figures
from lang1_assets.ops.study.names import ANALYSIS_NAMES
from lang1_assets.ops.study.pictures import draw_svg
from lang1_assets.ops.study.studies import ANALYSES
from lang1_assets.ops.tasks import TASKS
from tests.ops.analysis.notes import HOW, scored

TEST = "2018 test"


def dependence() -> list[Any]:
    both = [
        scored(task=task)[1].with_columns(encounter_id=pl.int_range(pl.len()).cast(pl.String))
        for task in ("mortality", "length_of_stay")
    ]
    return list(dependence_rows(*both)[0])


def strata() -> list[Any]:
    cells = (("joint", "readmission"), ("zero_shot", "readmission"), ("mortality", "mortality"))
    return [row for mode, task in cells for row in strata_rows(*scored(task=task), mode, 20, HOW)]


def overlap(num_seen: int = 300) -> list[Any]:
    """As the asset writes them: what compares seen and new patients in every row."""
    predictions, examples = scored()
    rows, flattery = overlap_rows(predictions, examples, "joint", set(examples["subject_id"].head(num_seen)), HOW)
    difference = {"difference_value": flattery["value"], "difference_low": flattery["low"]}
    difference["difference_high"] = flattery["high"]
    others = {"age_difference": flattery["age"], "not_white_difference": flattery["not_white"]}
    return [{**row, **difference, **others} for row in rows]


ROWS = {"label_dependence": dependence, "strata": strata, "patient_overlap": overlap}


def figures(name: str, rows: list[Any]) -> tuple[Figure, ...]:
    return analysis_figures(name, rows, f"{name}/ours", TEST)


def test_every_analysis_with_claims_is_drawn() -> None:
    assert tuple(study.name for study in ANALYSES) == ANALYSIS_NAMES == tuple(ROWS)


@pytest.mark.parametrize("name", ANALYSIS_NAMES)
def test_a_figure_is_the_analysis_s_and_every_point_names_its_artifact(name: str) -> None:
    made = figures(name, ROWS[name]())
    assert made
    for figure in made:
        assert (figure.name, figure.kind) == (name, "bars")
        assert {point.source for point in figure.points} == {f"{name}/ours"}
        assert all((point.value is None) == bool(point.note) for point in figure.points)
        assert Figure.from_json(figure.to_json()) == figure
        for wide in (True, False):
            svg = draw_svg(figure, wide=wide, is_synthetic=True)
            assert "Synthetic data" in svg
            assert all(f"{point.value:.3f}".lstrip("-") in svg for point in figure.points if point.value is not None)
    # Headings of the tables, and the words that lead to them.
    assert len({(figure.paper, figure.title) for figure in made}) == len(made)


def values(figure: Figure) -> dict[tuple[str, str | float], Point]:
    return {(point.series, point.x): point for point in figure.points}


def test_both_halves_of_label_dependence() -> None:
    rows = dependence()
    stays, deaths = figures("label_dependence", rows)
    assert (stays.paper, deaths.paper) == ("Fig. F6a", "Fig. F6b")
    assert len(stays.points) + len(deaths.points) == len(rows)
    for row in rows:
        series, x = row["condition"], row["outcome"]
        held = values(stays)[series, x] if row["panel"] == "stay given death" else values(deaths)[x, series]
        assert (held.value, held.low, held.high, held.n) == (row["value"], row["low"], row["high"], row["n"])
    assert sum(point.value or 0 for point in stays.points if point.series == "died") == pytest.approx(1)


def test_a_condition_that_nobody_meets_has_no_value() -> None:
    rows = [{**row, "value": None, "low": None, "high": None, "n": 0} for row in dependence()]
    assert {point.note for figure in figures("label_dependence", rows) for point in figure.points} == {
        "nobody is in this group"
    }


def test_groups_are_of_the_finetuned_model_and_those_left_out_say_why() -> None:
    rows = strata()
    worse = next(place for place, row in enumerate(rows) if row["group"] == "Bronx")
    rows[worse] = {**rows[worse], "is_worse": True}
    (figure,) = figures("strata", rows)
    readmission, mortality = (f"{TASKS['readmission'].title}, joint", TASKS["mortality"].title)
    assert {point.panel for point in figure.points} == {readmission, mortality}
    assert len(figure.points) == sum(row["mode"] != "zero_shot" for row in rows)
    marked = [point for point in figure.points if point.series != GROUP]
    assert [(point.series, point.x) for point in marked] == [(WORSE, "Borough: Bronx")]
    assert next(point for point in figure.points if point.panel == readmission).x == "All notes"
    lacking = [point for point in figure.points if point.value is None]
    assert {point.x for point in lacking} == {"Ethnicity: not recorded"}
    assert all("fewer than" in point.note or "one class" in point.note for point in lacking)
    assert TEST in figure.caption


def test_patients_seen_before_beside_new_ones_and_who_they_are() -> None:
    rows = overlap()
    auroc, difference, age, race = figures("patient_overlap", rows)
    assert {point.series: point.value for point in auroc.points} == {row["group"]: row["value"] for row in rows}
    for figure, value in (
        (difference, rows[0]["difference_value"]),
        (age, rows[0]["age_difference"]["value"]),
        (race, rows[0]["not_white_difference"]["value"]),
    ):
        (point,) = figure.points
        assert (point.value, point.n, point.x) == (value, 900, f"{TASKS['readmission'].title}, joint")
    assert all(TEST in figure.caption for figure in (auroc, difference, age, race))


def test_where_nobody_was_seen_before_there_is_no_difference() -> None:
    rows = overlap(num_seen=0)
    # Rows of an older version do not have all of them.
    del rows[0]["age_difference"]
    _, *differences = figures("patient_overlap", rows)
    assert [figure.points[0].note for figure in differences[1:]] == ["not both of them have a value"] * 2


def test_a_task_that_was_taken_away_is_left_out() -> None:
    rows = [{**row, "task": "icu_transfer"} for row in overlap()]
    assert figures("patient_overlap", rows) == ()
    assert len(figures("patient_overlap", [*rows, *overlap()])[0].points) == 3


@pytest.mark.parametrize("name", ANALYSIS_NAMES)
def test_without_rows_there_is_no_figure(name: str) -> None:
    assert figures(name, []) == ()
