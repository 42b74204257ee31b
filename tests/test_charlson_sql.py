"""The Charlson model's SQL on DuckDB against pycomorb, against a slow implementation and against published codes."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Template
from pycomorb import comorbidity

PROJECT = Path(__file__).parent.parent / "dbt_notes"
SEED = PROJECT / "seeds" / "charlson_codes.csv"
MODEL = Template((PROJECT / "models" / "cohorts" / "charlson_scores.sql").read_text()).render(
    ref=lambda name: f"main.{name}", config=lambda materialized: ""
)

Encounters = dict[str, Sequence[tuple[int, str]]]

# A slow second implementation over a handful of conditions: weights of Charlson 1987 (Table 3), codes of Quan 2005
# (Table 1), written down from the publications.
CONDITIONS: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {
    "infarction": (1, ("410", "412"), ("I21", "I22", "I252")),
    "heart failure": (1, ("428",), ("I50",)),
    "dementia": (1, ("290",), ("F00", "F01", "F02", "F03", "G30")),
    "pulmonary": (1, ("491", "496"), ("J44", "J45")),
    "mild liver": (1, ("5712", "5715"), ("K703", "K746")),
    "diabetes": (1, ("2500", "2501"), ("E109", "E119")),
    "complicated diabetes": (2, ("2504", "2505"), ("E112", "E113")),
    "renal": (2, ("585",), ("N18",)),
    "malignancy": (2, ("162", "174"), ("C34", "C50")),
    "severe liver": (3, ("4560", "5722"), ("I850", "K767")),
    "metastasis": (6, ("196", "197"), ("C77", "C78")),
    "aids": (6, ("042",), ("B20",)),
}
MILDER = {"complicated diabetes": "diabetes", "severe liver": "mild liver", "metastasis": "malignancy"}
CODES_9 = ["4280", "412", "2900", "496", "5712", "25000", "25040", "5856", "1629", "5722", "1970", "042", "4011"]
CODES_10 = ["I509", "I252", "G301", "J449", "K703", "E119", "E112", "N186", "C341", "K767", "C780", "B20", "I10"]

EACH_DISEASE = ["I21", "I50", "I70", "I60", "F00", "J44", "M05", "K25", "G81", "N18", "E112", "K767", "C77", "B20"]


def _seed() -> list[dict[str, str]]:
    with SEED.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "create table charlson_codes (icd_version integer, code_prefix varchar, condition varchar, weight integer, "
        "superseded_by varchar)"
    )
    rows = [[row[name] or None for name in row] for row in _seed()]
    connection.executemany("insert into charlson_codes values (?, ?, ?, ?, ?)", rows)
    return connection


def _diagnoses(encounters: Encounters) -> pl.DataFrame:
    rows = [(encounter, version, code) for encounter, codes in encounters.items() for version, code in codes]
    return pl.DataFrame(
        rows, schema={"encounter_id": pl.String, "icd_version": pl.Int32, "icd_code": pl.String}, orient="row"
    )


def _scores(database: duckdb.DuckDBPyConnection, encounters: Encounters) -> dict[str, int]:
    database.register("given", _diagnoses(encounters))
    database.execute("create or replace view main.stg_diagnoses as select * from given")
    rows = database.execute(MODEL).fetchall()
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def pycomorb_scores(diagnoses: pl.DataFrame) -> pl.DataFrame:
    """(encounter_id, charlson_score) by id from (encounter_id, icd_version, icd_code), codes with or without dots."""
    # With any other name of a version pycomorb takes the code for ICD-10.
    names = pl.col("icd_version").cast(pl.Int32).replace_strict({9: "ICD-9", 10: "ICD-10"}, return_dtype=pl.String)
    scores = comorbidity(
        "charlson",
        diagnoses.with_columns(icd_version=names, age=pl.lit(0)),
        id_col="encounter_id",
        code_col="icd_code",
        icd_version="icd9_10",
        icd_version_col="icd_version",
        implementation="quan",
        weights="charlson",
    )
    return scores.select("encounter_id", charlson_score="Charlson Comorbidity Index").sort("encounter_id")


def _pycomorb_scores(encounters: Encounters) -> dict[str, int]:
    return dict(pycomorb_scores(_diagnoses(encounters)).iter_rows())


def _slow_score(codes: Sequence[tuple[int, str]]) -> int:
    present = {
        name
        for name, (_, prefixes_9, prefixes_10) in CONDITIONS.items()
        for version, code in codes
        if code.startswith(prefixes_9 if version == 9 else prefixes_10)
    }
    present -= {mild for severe, mild in MILDER.items() if severe in present}
    return sum(CONDITIONS[name][0] for name in present)


def test_the_seed_is_sorted_and_upper_case_and_each_row_is_there_once() -> None:
    keys = [(int(row["icd_version"]), row["code_prefix"], row["condition"]) for row in _seed()]
    assert keys == sorted(set(keys))
    assert all(prefix.isalnum() and prefix == prefix.upper() for _, prefix, _ in keys)
    assert len({condition for _, _, condition in keys}) == 17


def test_a_condition_has_one_weight_and_the_severe_form_the_greater() -> None:
    conditions = {(row["condition"], int(row["weight"]), row["superseded_by"]) for row in _seed()}
    weights = {name: weight for name, weight, _ in conditions}
    assert len(conditions) == len(weights) == 17
    milder = {name: severe for name, _, severe in conditions if severe}
    assert milder == {
        "uncomplicated_diabetes": "complicated_diabetes",
        "mild_liver_disease": "severe_liver_disease",
        "malignancy": "metastatic_tumor",
    }
    assert all(weights[severe] > weights[mild] for mild, severe in milder.items())


def test_every_prefix_and_codes_around_it_score_as_pycomorb(database: duckdb.DuckDBPyConnection) -> None:
    around: Encounters = {}
    for row in _seed():
        version, prefix = int(row["icd_version"]), row["code_prefix"]
        beside = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        for code in (prefix, prefix[:-1], beside, *(f"{prefix}{digit}" for digit in "0123456789A"), f"{prefix}99X"):
            around[f"{version}/{code}"] = [(version, code)]
            around[f"other/{version}/{code}"] = [(19 - version, code)]
    scores = _scores(database, around)
    assert scores == _pycomorb_scores(around)
    assert set(scores.values()) == {0, 1, 2, 3, 6}


def test_every_pair_of_prefixes_of_different_conditions_scores_as_pycomorb(database: duckdb.DuckDBPyConnection) -> None:
    first = {(row["condition"], int(row["icd_version"])): row["code_prefix"] for row in _seed()}
    pairs = {f"{a}/{b}": [(a[1], first[a]), (b[1], first[b])] for a in first for b in first}
    assert _scores(database, pairs) == _pycomorb_scores(pairs)


PREFIXES = st.sampled_from([(int(row["icd_version"]), row["code_prefix"]) for row in _seed()])
CODES = st.one_of(
    st.tuples(PREFIXES, st.text("0123456789X", max_size=3)).map(lambda drawn: (drawn[0][0], drawn[0][1] + drawn[1])),
    st.tuples(st.sampled_from([9, 10]), st.from_regex(r"[A-Z0-9][0-9]{1,2}[0-9A-Z]{0,4}", fullmatch=True)),
)


@given(drawn=st.lists(st.lists(CODES, min_size=1, max_size=12), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_random_codes_of_both_versions_score_as_pycomorb(
    database: duckdb.DuckDBPyConnection, drawn: list[list[tuple[int, str]]]
) -> None:
    encounters: Encounters = {f"e{number}": codes for number, codes in enumerate(drawn)}
    assert _scores(database, encounters) == _pycomorb_scores(encounters)


@pytest.mark.parametrize(("name", "version"), [(name, version) for name in CONDITIONS for version in (9, 10)])
def test_each_condition_has_its_published_weight_in_both_versions(
    database: duckdb.DuckDBPyConnection, name: str, version: int
) -> None:
    weight, prefixes_9, prefixes_10 = CONDITIONS[name]
    encounters: Encounters = {code: [(version, code)] for code in (prefixes_9 if version == 9 else prefixes_10)}
    assert set(_scores(database, encounters).values()) == {weight}


def test_random_encounters_of_mixed_versions_score_as_the_slow_implementation(
    database: duckdb.DuckDBPyConnection,
) -> None:
    generator = random.Random(7)
    pool = [(9, code) for code in CODES_9] + [(10, code) for code in CODES_10]
    encounters: Encounters = {f"e{i:03d}": generator.choices(pool, k=generator.randint(1, 8)) for i in range(400)}
    expected = {encounter: _slow_score(codes) for encounter, codes in encounters.items()}
    assert _scores(database, encounters) == expected
    assert len(set(expected.values())) > 10


@pytest.mark.parametrize(
    ("codes", "score"),
    [
        # Coded in both versions, and twice in one.
        ([(9, "4280"), (10, "I509"), (10, "I509")], 1),
        # 404.03 is hypertensive heart and chronic kidney disease with heart failure: in two lists of Quan 2005.
        ([(9, "40403")], 3),
        # 437.3, cerebral aneurysm, is in two lists as well.
        ([(9, "4373")], 2),
        # The severe form counts alone, across versions too.
        ([(9, "25000"), (10, "E112")], 2),
        ([(10, "C341"), (9, "1970")], 6),
        ([(10, "K703"), (10, "K767")], 3),
        # The other forms of other diseases stay.
        ([(10, "E119"), (10, "K767"), (10, "C341")], 6),
        # Codes that are in no list: hypertension, an ICD-10 code given as ICD-9, an ICD-9 code without its zero.
        ([(10, "I10"), (9, "I509"), (9, "42")], 0),
        # Every disease once: 1 for eight, 2 for three, 3, and 6 for two.
        ([(10, code) for code in EACH_DISEASE], 29),
    ],
)
def test_codes_scored_by_hand(
    database: duckdb.DuckDBPyConnection, codes: Sequence[tuple[int, str]], score: int
) -> None:
    assert _scores(database, {"e": codes}) == {"e": score}


def test_without_diagnoses_there_is_no_row(database: duckdb.DuckDBPyConnection) -> None:
    assert _scores(database, {}) == {}
    columns = [(name, str(kind)) for name, kind, *_ in database.execute(MODEL).description]
    assert columns == [("encounter_id", "VARCHAR"), ("charlson_score", "INTEGER")]
