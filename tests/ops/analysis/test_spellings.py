"""What is said of a person, in the spellings of the sources that there are."""

import polars as pl
import pytest

from lang1_assets.ops.analysis.spellings import SAYS_NOTHING, is_not_white, recorded
from lang1_assets.ops.hospital.population import BOROUGHS, ETHNICITIES, RACES

NOBODY_KNOWS = [
    None,
    "",
    " ",
    "-",
    "?",
    "UNKNOWN",
    "Unknown",
    " unknown ",
    "UNKNOWN/NOT SPECIFIED",  # MIMIC-III
    "UNABLE TO OBTAIN",
    "PATIENT DECLINED TO ANSWER",  # MIMIC-III and -IV
    "Patient Refused",
    "Declined",
    "Asked but unknown",  # HL7
    "ASKU",
    "UNK",
    "No matching concept",  # OMOP's concept 0
    "Other/Unknown",  # eICU
    "N/A",
]
WHITE = [
    "White",
    "WHITE",
    " white",
    "WHITE - RUSSIAN",  # MIMIC
    "WHITE - OTHER EUROPEAN",
    "White or Caucasian",
    "Caucasian",
    "White (Non-Hispanic)",
    "White; White",  # FHIR: categories of US Core
]
NOT_WHITE = [
    "Asian",
    "Asian; White",
    "White; Asian",
    "BLACK/AFRICAN AMERICAN",
    "HISPANIC/LATINO - PUERTO RICAN",
    "Other Race",
    "OTHER",
    "MULTIPLE RACE/ETHNICITY",
    "Non-White",
    "Not White",
    "Whitefolk",
]
CODES = ["1", "W", "2106-3", "8527", "A1"]


def told(spellings: list[str | None]) -> list[bool | None]:
    return pl.DataFrame({"race": spellings}).select(is_not_white(pl.col("race"))).to_series().to_list()


def kept(spellings: list[str | None]) -> list[str | None]:
    return (
        pl.DataFrame({"it": spellings}, schema={"it": pl.String}).select(recorded(pl.col("it"))).to_series().to_list()
    )


@pytest.mark.parametrize(
    ("spellings", "expected"), [(NOBODY_KNOWS, None), (WHITE, False), (NOT_WHITE, True), (CODES, None)]
)
def test_white_or_not_or_nobody_knows(spellings: list[str | None], expected: bool | None) -> None:
    assert dict(zip(spellings, told(spellings), strict=True)) == dict.fromkeys(spellings, expected)


def test_what_is_recorded_stays_as_it_is_spelled() -> None:
    assert set(kept(NOBODY_KNOWS)) == {None}
    for spellings in (WHITE, NOT_WHITE, CODES, ["Not of Spanish/Hispanic Origin", "F", "Unkown", "No. 7 Ward"]):
        assert kept(list(spellings)) == spellings


def test_words_that_say_nothing_are_compared_in_small_letters() -> None:
    assert all(words == words.lower() for words in SAYS_NOTHING)


def test_of_the_embedded_hospital_two_spellings_say_nothing() -> None:
    for spellings in (RACES, ETHNICITIES):
        assert set(spellings) - set(kept(list(spellings))) == {"Patient Refused", "Unknown"}
    assert kept(list(BOROUGHS)) == list(BOROUGHS)
    assert told(list(RACES)) == [False, *[True] * 8, None, None]


def test_a_column_in_which_nothing_is_written() -> None:
    nothing = pl.DataFrame({"race": [None, None]}, schema={"race": pl.String})
    assert nothing.select(is_not_white(pl.col("race"))).to_series().to_list() == [None, None]
