from __future__ import annotations

import random

import polars as pl
import pytest

from lang1_assets.ops.charlson import charlson_scores

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
CODES_9 = [
    "4280",
    "412",
    "290.0",
    "496",
    "571.2",
    "250.00",
    "250.40",
    "585.6",
    "162.9",
    "572.2",
    "197.0",
    "042",
    "4011",
]
CODES_10 = [
    "I50.9",
    "I252",
    "G30.1",
    "J44.9",
    "K70.3",
    "E11.9",
    "E11.2",
    "N18.6",
    "C34.1",
    "K76.7",
    "C78.0",
    "B20",
    "I10",
]


def _slow_score(codes: list[tuple[int, str]]) -> int:
    present = {
        name
        for name, (_, prefixes_9, prefixes_10) in CONDITIONS.items()
        for version, code in codes
        if code.replace(".", "").startswith(prefixes_9 if version == 9 else prefixes_10)
    }
    present -= {mild for severe, mild in MILDER.items() if severe in present}
    return sum(CONDITIONS[name][0] for name in present)


def _diagnoses(encounters: dict[str, list[tuple[int, str]]]) -> pl.DataFrame:
    rows = [(encounter, version, code) for encounter, codes in encounters.items() for version, code in codes]
    return pl.DataFrame(rows, schema=["encounter_id", "icd_version", "icd_code"], orient="row")


def _scores(encounters: dict[str, list[tuple[int, str]]]) -> dict[str, int]:
    return {row["encounter_id"]: row["charlson_score"] for row in charlson_scores(_diagnoses(encounters)).to_pylist()}


@pytest.mark.parametrize(("name", "version"), [(name, version) for name in CONDITIONS for version in (9, 10)])
def test_each_condition_has_its_published_weight_in_both_versions(name: str, version: int) -> None:
    weight, prefixes_9, prefixes_10 = CONDITIONS[name]
    for prefix in prefixes_9 if version == 9 else prefixes_10:
        assert _scores({"e": [(version, prefix)]}) == {"e": weight}


def test_random_encounters_of_mixed_versions_score_as_the_slow_implementation() -> None:
    generator = random.Random(7)
    pool = [(9, code) for code in CODES_9] + [(10, code) for code in CODES_10]
    encounters = {f"e{i:03d}": generator.choices(pool, k=generator.randint(1, 8)) for i in range(400)}
    expected = {encounter: _slow_score(codes) for encounter, codes in encounters.items()}
    assert _scores(encounters) == expected
    assert len(set(expected.values())) > 10


def test_a_disease_coded_in_both_versions_counts_once() -> None:
    assert _scores({"e": [(9, "428.0"), (10, "I50.9")]}) == {"e": 1}


def test_dots_and_case_do_not_matter_and_an_unlisted_code_scores_zero() -> None:
    assert _scores({"a": [(10, "c78.00")], "b": [(10, "C7800")], "c": [(10, "Z00")]}) == {"a": 6, "b": 6, "c": 0}


def test_all_icd_9_and_none() -> None:
    assert _scores({"e": [(9, "585.6")]}) == {"e": 2}
    empty = charlson_scores(_diagnoses({"e": [(9, "585.6")]}).clear())
    assert empty.num_rows == 0
    assert empty.column_names == ["encounter_id", "charlson_score"]


def test_an_unknown_version_is_named() -> None:
    with pytest.raises(ValueError, match="found 11 in 1 rows; expected 9 or 10"):
        charlson_scores(_diagnoses({"e": [(11, "585.6"), (9, "412")]}))
