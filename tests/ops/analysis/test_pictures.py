"""Every number is in its picture, both widths, said to be synthetic where it is; nothing leaves the sheet."""

import io
import re

import polars as pl
import pytest
from PIL import Image

from lang1_assets.ops.analysis import pictures
from lang1_assets.ops.analysis.forest_figure import Forest, Lane, Section, forest_picture
from lang1_assets.ops.analysis.label_dependence import dependence_rows
from lang1_assets.ops.analysis.month_figure import drift_picture
from lang1_assets.ops.analysis.patient_overlap import overlap_rows
from lang1_assets.ops.analysis.strata import strata_rows
from lang1_assets.ops.analysis.temporal_drift import drift_rows
from lang1_assets.ops.figures import BLUE, ORANGE, PHONE_WIDTH, SYNTHETIC, WIDE
from lang1_assets.ops.tasks import TASKS
from tests.ops.analysis.notes import HOW, scored
from tests.ops.analysis.test_temporal_drift import two_splits

MODEL = "lang1-tiny"


def strata():
    rows = []
    for mode, task in (("joint", "readmission"), ("joint", "mortality"), ("mortality", "mortality")):
        rows += strata_rows(*scored(task=task), mode, 20, HOW)
    return rows


def overlap():
    predictions, examples = scored()
    return overlap_rows(predictions, examples, "joint", set(examples["subject_id"].head(300)), HOW)[0]


def dependence():
    _, mortality = scored(task="mortality")
    _, stays = scored(task="length_of_stay")
    both = [frame.with_columns(encounter_id=pl.int_range(pl.len()).cast(pl.String)) for frame in (mortality, stays)]
    return dependence_rows(*both)[0]


def drawn(name, *, is_synthetic=True, wide=True, form="svg"):
    look = {"is_synthetic": is_synthetic, "wide": wide, "form": form}
    if name == "strata":
        return pictures.strata_picture(strata(), MODEL, "2024 test", **look)
    if name == "overlap":
        return pictures.overlap_picture(overlap(), MODEL, "2024 test", **look)
    if name == "dependence":
        return pictures.dependence_picture(dependence(), **look)
    return drift_picture(drift_rows(*two_splits(), "joint", HOW), MODEL, **look)


NAMES = ("strata", "overlap", "dependence", "drift")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wide", [True, False])
def test_synthetic_data_are_said_to_be_synthetic(name, wide):
    written = " ".join(re.sub("<[^>]+>", " ", drawn(name, wide=wide).decode()).split())
    assert "(synthetic data)" in written
    assert SYNTHETIC in written.replace("\n", " ")
    assert "ynthetic" not in drawn(name, is_synthetic=False, wide=wide).decode()


@pytest.mark.parametrize("name", NAMES)
def test_two_widths_both_small_enough_for_metadata(name):
    for wide, width in ((True, WIDE), (False, PHONE_WIDTH)):
        png = drawn(name, wide=wide, form="png")
        assert len(png) < 150_000
        assert Image.open(io.BytesIO(png)).size[0] in (width, 1.5 * width, 2 * width)


@pytest.mark.parametrize("name", NAMES)
def test_no_text_begins_or_ends_outside_the_sheet(name):
    for wide, width in ((True, WIDE), (False, PHONE_WIDTH)):
        image = Image.open(io.BytesIO(drawn(name, wide=wide, form="png"))).convert("L")
        for column in (0, image.width - 1):
            assert min(image.crop((column, 0, column + 1, image.height)).getdata()) > 200, (name, width)


def test_groups_that_are_left_out_are_named():
    written = drawn("strata", wide=True).decode()
    assert "Ethnicity not recorded" in re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", written))
    assert "Bronx" in written


def test_a_picture_is_of_the_joint_model_where_there_is_one():
    rows = strata()
    assert pictures.modes_shown(rows) == {"readmission": "joint", "mortality": "joint"}
    assert pictures.modes_shown([row for row in rows if row["mode"] == "mortality"]) == {"mortality": "mortality"}
    assert TASKS["mortality"].title in drawn("strata").decode()


@pytest.mark.parametrize("color", [BLUE, ORANGE])
def test_a_single_warning_keeps_its_color(color):
    """The palette of a PNG has 64 colors; a rare one must be among them."""
    lanes = [Lane(label=f"group {i}", n=100, value=0.7, low=0.6, high=0.8, is_marked=i == 3) for i in range(150)]
    png = forest_picture(
        "t",
        [Forest(title="f", sections=(Section(heading="h", lanes=tuple(lanes)),))],
        "c",
        is_synthetic=False,
        wide=False,
    )
    wanted = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    found = Image.open(io.BytesIO(png)).convert("RGB").getcolors(2**24)
    assert min(sum(abs(a - b) for a, b in zip(pixel, wanted, strict=True)) for _, pixel in found) < 30


@pytest.mark.parametrize("num_notes", [0, 6])
def test_with_too_few_notes_there_is_still_a_picture(num_notes):
    predictions, examples = scored(12)
    chosen = predictions.head(num_notes)
    rows = [] if chosen.is_empty() else strata_rows(chosen, examples, "joint", 20, HOW)
    months = [] if chosen.is_empty() else drift_rows(chosen, examples, "joint", HOW)
    patients = [] if chosen.is_empty() else overlap_rows(chosen, examples, "joint", set(), HOW)[0]
    for wide in (True, False):
        look = {"is_synthetic": True, "wide": wide, "form": "svg"}
        for picture in (
            pictures.strata_picture(rows, MODEL, "test set", **look),
            pictures.overlap_picture(patients, MODEL, "test set", **look),
            drift_picture(months, MODEL, **look),
        ):
            assert b"(synthetic data)" in picture
