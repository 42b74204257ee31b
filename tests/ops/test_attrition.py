"""The flow chart says every number and word of its table, and refuses tables that contradict themselves."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lang1_assets.ops.attrition import ATTRITION_COLUMNS, COUNT_COLUMNS, AttritionError, flow_chart, steps_of
from lang1_assets.ops.figures import MAX_PNG_BYTES, inline_png, text_width, wrapped

LONG = "written within the hours allowed around admission, before discharge, by an author of the department, for $5 & <b> up"


def attrition_of(num_steps: int, last: int = 1_000, text: str = "the encounter has step") -> pl.DataFrame:
    """Notes fall by 500 a step to `last`; step 1 leaves nothing out."""
    rows = []
    for number in range(num_steps):
        notes = last + 500 * (num_steps - 1 - max(number, 1)) if num_steps > 1 else last
        rows.append(("readmission", number, f"{text} {number}", notes, notes - 7, notes - 99))
    other = ("mortality", 0, "another task", 5, 5, 5)
    return pl.DataFrame([other, *reversed(rows)], schema=list(ATTRITION_COLUMNS), orient="row")


def counts_of(splits: dict[str, tuple[int, ...]], task: str = "readmission") -> pl.DataFrame:
    rows = [(task, split, label, n, n // 2) for split, held in splits.items() for label, n in enumerate(held)]
    schema = dict(zip(COUNT_COLUMNS, (pl.String, pl.String, pl.Int32, pl.Int64, pl.Int64), strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row")


FIVE = counts_of(
    {"temporal_2024": (90, 11), "temporal_2021": (80, 9), "test": (100, 10), "val": (95, 5), "train": (530, 70)}
)


def texts_of(svg: bytes) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def words_of(svg: bytes) -> str:
    return " ".join(texts_of(svg))


@pytest.mark.parametrize("num_steps", [1, 3, 8, 11])
def test_every_step_and_number_is_in_the_picture(num_steps: int) -> None:
    frame = attrition_of(num_steps, text=LONG)
    words = words_of(flow_chart(frame, FIVE, "readmission", is_synthetic=False, form="svg"))
    steps = steps_of(frame, "readmission")
    assert len(steps) == num_steps
    for step in steps[1:]:
        assert f"not met: {step.text}" in words
    for step in steps:
        for number in step.counts:
            assert f"{number:,}" in words
    assert words.count("left out: 500 notes 500 encounters, 500 patients") == max(num_steps - 2, 0)
    assert words.count("left out: 0 notes") == (1 if num_steps > 1 else 0)
    assert "another task" not in words


def test_the_last_box_holds_the_splits_in_their_order_and_the_labels_by_name() -> None:
    words = words_of(flow_chart(attrition_of(3), FIVE, "readmission", is_synthetic=False, form="svg"))
    # Splits are drawn from the right, the words of a name from below.
    assert "2024 temporal 2021 temporal test val train" in words
    assert "90 45 80 40 100 50 95 47 530 265 not readmitted" in words
    assert "11 5 9 4 10 5 5 2 70 35 readmitted within 30 days" in words
    assert "all notes 101 89 110 100 600" in words


@pytest.mark.parametrize("splits", [{"train": (1_000, 0)}, {f"hospital_{k}": (90, 10) for k in range(10)}])
def test_any_list_of_splits_is_drawn_whole(splits: dict[str, tuple[int, ...]]) -> None:
    words = words_of(flow_chart(attrition_of(3), counts_of(splits), "readmission", is_synthetic=False, form="svg"))
    for split in splits:
        assert split.split("_")[-1] in words
    assert words.count("all notes") == (1 if len(splits) == 1 else 2)


def test_a_task_and_labels_of_ones_own_are_drawn_by_their_names() -> None:
    frame = attrition_of(3, last=30).with_columns(task=pl.lit("falls")).filter(pl.col("step") != "another task")
    counts = counts_of({"train": (10, 20)}, task="falls")
    texts = texts_of(flow_chart(frame, counts, "falls", is_synthetic=False, form="svg"))
    assert {"falls", "label 0", "label 1"} <= set(texts)


def test_a_cohort_that_lost_every_note_says_so() -> None:
    frame = pl.DataFrame(
        [("readmission", 0, "all", 9, 9, 9), ("readmission", 1, "none", 0, 0, 0)],
        schema=list(ATTRITION_COLUMNS),
        orient="row",
    )
    words = words_of(flow_chart(frame, FIVE.clear(), "readmission", is_synthetic=False, form="svg"))
    assert "no note is left" in words


def test_synthetic_data_is_said_in_the_caption_and_only_then() -> None:
    charts = [flow_chart(attrition_of(3), FIVE, "readmission", is_synthetic=flag, form="svg") for flag in (True, False)]
    assert ["Synthetic data" in words_of(chart) for chart in charts] == [True, False]


@pytest.mark.parametrize("num_steps", [3, 10])
def test_the_png_is_valid_small_and_two_pixels_wide_for_each_of_a_phone(num_steps: int) -> None:
    png = flow_chart(attrition_of(num_steps), FIVE, "readmission", is_synthetic=True)
    image = Image.open(io.BytesIO(png))
    image.load()
    assert (image.format, image.width) == ("PNG", 800)
    assert 200 * num_steps < image.height < 400 * num_steps + 600
    assert len(png) <= MAX_PNG_BYTES
    assert "1,000 of" in image.info["Title"]


def test_a_very_long_chart_keeps_to_the_limit_of_bytes() -> None:
    png = flow_chart(attrition_of(11, text=f"{LONG} {LONG}"), FIVE, "readmission", is_synthetic=True)
    assert len(png) <= MAX_PNG_BYTES
    assert Image.open(io.BytesIO(png)).width >= 400


def test_nothing_is_drawn_outside_the_sheet() -> None:
    svg = flow_chart(attrition_of(8, last=1_000, text=LONG), FIVE, "readmission", is_synthetic=True, form="svg")
    image = Image.open(io.BytesIO(flow_chart(attrition_of(8, text=LONG), FIVE, "readmission", is_synthetic=True)))
    page = image.convert("RGB")
    for x in (0, 4, page.width - 5, page.width - 1):
        assert {page.getpixel((x, y)) for y in range(page.height)} == {(255, 255, 255)}
    assert b"viewBox" in svg


def test_the_same_tables_give_the_same_bytes() -> None:
    for form in ("png", "svg"):
        first, second = (flow_chart(attrition_of(4), FIVE, "readmission", is_synthetic=True, form=form) for _ in "ab")
        assert first == second


def test_contradictions_and_gaps_are_errors_that_say_where() -> None:
    good = attrition_of(3)
    grows = good.with_columns(num_patients_left=pl.when(step_number=2).then(9_999).otherwise("num_patients_left"))
    empty = good.with_columns(step=pl.when(pl.col("step_number") < 2).then("step"))
    for frame, counts, said in (
        (grows, FIVE, "task 'readmission', step 2 leaves"),
        (empty, FIVE, "task 'readmission' has rows without step"),
        (good.drop("step"), FIVE, "cohort_attrition lacks the columns step"),
        (good.filter(pl.col("task") == "mortality"), FIVE, "no step of task 'readmission', only of: mortality"),
        (pl.concat([good, good]), FIVE, "step number twice"),
        (good, FIVE.head(3), "leaves 1,000 notes, but the splits and labels hold 181"),
        (good, pl.concat([FIVE, FIVE]), "split and label twice"),
        (good, FIVE.drop("split"), "cohort_counts lacks the columns split"),
    ):
        with pytest.raises(AttritionError, match=said):
            flow_chart(frame, counts, "readmission", is_synthetic=True)


def test_markdown_holds_the_picture_itself_and_words_that_cannot_end_it() -> None:
    line = inline_png(b"\x89PNG", "a [flow]\n(chart)")
    assert line.startswith("![a (flow) (chart)](data:image/png;base64,")
    assert base64.b64decode(line.split(",")[1].removesuffix(")")) == b"\x89PNG"
    assert "\n" not in line


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="abiWM $&<_-/ ", max_size=120), st.floats(20, 300))
def test_wrapping_loses_no_letter_and_overruns_no_line(content: str, width: float) -> None:
    lines = wrapped(content, width, 12)
    assert "".join("".join(lines).split()) == "".join(content.split())
    assert all(text_width(line, 12) <= width for line in lines if len(line) > 1)


def test_a_name_too_wide_is_broken_after_its_hyphens() -> None:
    assert wrapped("lang1-tiny-encoder-notes", 130, 12) == ["lang1-tiny-encoder-", "notes"]
    assert wrapped("ours: joint_evaluation/lang1-tiny", 150, 12) == ["ours:", "joint_evaluation/lang1-", "tiny"]
