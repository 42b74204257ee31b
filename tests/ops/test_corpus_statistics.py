from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from PIL import Image

from lang1_assets.ops import schemas
from lang1_assets.ops.corpus_statistics import StatisticsError, corpus_statistics
from lang1_assets.ops.figures import WIDE, top_five_picture

TYPES = ("hp", "discharge", "progress", "radiology", "pathology")


def write_diagnoses(folder: Path, rows: list[tuple[str, int, int, str]]) -> None:
    schema = {
        "encounter_id": pl.String,
        "sequence_number": pl.Int32,
        "icd_version": pl.Int32,
        "icd_code": pl.String,
    }
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "diagnoses.parquet")


def write_tables(folder: Path) -> list[Path]:
    """240 notes of 60 encounters of 20 patients in two files; every tenth note and encounter 7 name no department."""
    notes = [
        {
            "note_id": f"N{number}",
            "encounter_id": f"E{number % 60}",
            "subject_id": f"P{number % 20}",
            "note_type": TYPES[number % 5],
            "department": None if number % 10 == 7 else f"D{number % 6}",
            "written_time": datetime(2015, 1, 1),
            "num_words": number,
            "text": "",
        }
        for number in range(240)
    ]
    frame = pl.DataFrame(notes, schema=pl.DataFrame(schemas.CLEAN_NOTES.empty_table()).schema)
    (folder / "notes").mkdir()
    frame[:100].write_parquet(folder / "notes" / "part-0.parquet")
    frame[100:].write_parquet(folder / "notes" / "part-1.parquet")
    encounters = pl.DataFrame(
        {
            "encounter_id": [f"E{number}" for number in range(60)],
            "subject_id": [f"P{number % 20}" for number in range(60)],
            "department": [None if number == 7 else "ED" for number in range(60)],
        }
    )
    encounters.write_parquet(folder / "encounters.parquet")
    codes = [(f"E{number}", place, 10, f"I{number % 7 + place}") for number in range(0, 60, 2) for place in (3, 1, 2)]
    write_diagnoses(folder, codes)
    patients = [(f"P{number}", "Queens" if number % 3 else "Bronx") for number in range(19)]
    pl.DataFrame(patients, schema=["subject_id", "borough"], orient="row").write_parquet(folder / "patients.parquet")
    return [
        folder / "notes" / "*.parquet",
        *(folder / f"{name}.parquet" for name in ("encounters", "diagnoses", "patients")),
    ]


def group_of(number: int) -> str:
    return "hospital" if number % 5 < 3 else TYPES[number % 5]


def test_totals_are_those_counted_by_hand(tmp_path: Path) -> None:
    totals, _ = corpus_statistics(*write_tables(tmp_path))
    assert totals["note_group"].to_list() == ["hospital", "pathology", "radiology", "all"]
    rows = {row["note_group"]: row for row in totals.iter_rows(named=True)}
    for group in ("hospital", "pathology", "radiology"):
        numbers = [number for number in range(240) if group_of(number) == group]
        assert rows[group]["num_notes"] == len(numbers)
        assert rows[group]["num_words"] == sum(numbers)
        assert rows[group]["num_patients"] == len({number % 20 for number in numbers})
    assert (rows["all"]["num_patients"], rows["all"]["num_notes"]) == (20, 240)
    assert rows["all"]["num_words"] == sum(range(240))


def department(number: int) -> str | None:
    if number % 10 != 7:
        return f"D{number % 6}"
    return None if number % 60 == 7 else "ED"


def diagnosis(number: int) -> str | None:
    return None if number % 2 else f"I{number % 60 % 7 + 1}"


def borough(number: int) -> str | None:
    patient = number % 20
    return None if patient == 19 else "Queens" if patient % 3 else "Bronx"


@pytest.mark.parametrize("attribute", [department, diagnosis, borough])
def test_top_values_are_those_counted_by_hand(tmp_path: Path, attribute: Callable[[int], str | None]) -> None:
    _, top = corpus_statistics(*write_tables(tmp_path))
    for group in ("hospital", "pathology", "radiology"):
        values = [attribute(number) for number in range(240) if group_of(number) == group]
        counted = Counter(value for value in values if value is not None)
        expected = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:5]
        found = top.filter((pl.col("note_group") == group) & (pl.col("attribute") == attribute.__name__))
        assert list(found.select("value", "num_notes").iter_rows()) == expected
        assert found["rank"].to_list() == list(range(1, len(expected) + 1))
        assert found["share"].to_list() == pytest.approx([count / counted.total() for _, count in expected])
        missing = values.count(None) / len(values)
        assert found["share_missing"].to_list() == pytest.approx([missing] * len(expected))


def test_a_code_is_counted_and_named_by_its_version(tmp_path: Path) -> None:
    paths = write_tables(tmp_path)
    codes = {0: (9, "486"), 1: (10, "486"), 2: (10, "J18.9"), 3: (10, "Q999")}
    write_diagnoses(tmp_path, [(f"E{number}", 1, *codes[number % 4]) for number in range(60)])
    _, top = corpus_statistics(*paths)
    found = top.filter(attribute="diagnosis", note_group="radiology").select("value", "title", "num_notes").rows()
    assert found == [("486", "pneumonia", 12), ("486", "", 12), ("J18.9", "pneumonia", 12), ("Q999", "", 12)]


def svg_words(svg: bytes) -> str:
    root = ElementTree.fromstring(svg)
    return " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("wide", [False, True])
def test_the_picture_says_every_value_and_its_percentage(tmp_path: Path, wide: bool) -> None:
    totals, top = corpus_statistics(*write_tables(tmp_path))
    words = svg_words(top_five_picture(totals, top, is_synthetic=True, wide=wide, form="svg"))
    for row in top.iter_rows(named=True):
        assert row["value"] in words
        assert f"{row['share']:.1%}" in words
        assert f"{row['share_missing']:.1%} missing" in words
    assert words.index("Pathology notes") < words.index("Radiology notes") < words.index("Hospital notes")
    assert "Paper: Manhattan 41.0%, Queens 32.6%" in words
    assert "Synthetic data" in words


def test_the_picture_of_a_source_without_boroughs_says_so_and_warns_of_nothing(tmp_path: Path) -> None:
    totals, top = corpus_statistics(*write_tables(tmp_path))
    bare = top.filter(pl.col("attribute") != "borough")
    words = svg_words(top_five_picture(totals, bare, is_synthetic=False, form="svg"))
    assert words.count("no note names one") == 3
    assert "Synthetic" not in words


def test_the_picture_is_a_png_sharp_on_a_phone_and_small(tmp_path: Path) -> None:
    totals, top = corpus_statistics(*write_tables(tmp_path))
    for wide, width in ((False, 800), (True, 2 * WIDE)):
        png = top_five_picture(totals, top, is_synthetic=True, wide=wide)
        image = Image.open(io.BytesIO(png))
        assert image.format == "PNG"
        assert image.width == width
        assert len(png) <= 150_000


def test_a_table_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    paths = write_tables(tmp_path)
    pl.DataFrame({"subject_id": ["P1"]}).write_parquet(paths[3])
    with pytest.raises(StatisticsError, match="borough"):
        corpus_statistics(*paths)
    paths[3].unlink()
    with pytest.raises(StatisticsError, match=r"patients\.parquet"):
        corpus_statistics(*paths)
