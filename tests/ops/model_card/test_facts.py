"""What a card counts of the people behind it."""

from datetime import datetime

import polars as pl

from lang1_assets.ops.model_card.facts import described


def test_words_for_not_known_are_missing() -> None:
    """MIMIC writes that nobody knows in a dozen ways, none of them an empty cell."""
    races = ["WHITE", "UNKNOWN", "UNABLE TO OBTAIN", None, "ASIAN"]
    examples = pl.DataFrame(
        {
            "subject_id": ["a", "b", "c", "d", "d"],
            "split": "train",
            "age": [50, None, 70, 80, 80],
            "sex": ["F", "male", "Unknown", "f", "f"],
            "race": races,
            "ethnicity": "Not Hispanic",
            "borough": pl.Series([None] * 5, dtype=pl.String),
            "prediction_time": datetime(2020, 1, 2),
        }
    )
    (row,) = described("mortality", examples)
    missing = {name: row[f"missing_{name}"] for name in ("age", "sex", "race", "ethnicity", "borough")}
    assert missing == {"age": 1, "sex": 1, "race": 3, "ethnicity": 0, "borough": 5}
    assert (row["num_notes"], row["num_patients"], row["share_female"]) == (5, 4, 3 / 5)
