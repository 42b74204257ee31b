from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl

from lang1_assets.ops.corpora import chosen_notes, held_out_stays

NOTES = pl.DataFrame(
    {
        "note_id": ["old", "first", "last", "late", "outside", "scan"],
        "encounter_id": ["E1", "E1", "E2", "E3", None, "E1"],
        "note_type": ["hp", "hp", "discharge", "hp", "hp", "radiology"],
        "written_time": [
            datetime(2010, 12, 31, 23, 59, 59),
            datetime(2011, 1, 1),
            datetime(2020, 5, 31, 23, 59, 59),
            datetime(2020, 6, 1),
            datetime(2015, 1, 1),
            datetime(2015, 1, 1),
        ],
    }
)
WINDOW = (date(2011, 1, 1), date(2020, 6, 1))


def _taken(*arguments: object) -> list[str]:
    chosen = chosen_notes(*arguments)  # type: ignore[arg-type]
    return (NOTES if chosen is None else NOTES.filter(chosen))["note_id"].to_list()


def test_the_first_day_is_in_and_the_last_is_out() -> None:
    assert _taken(["hp", "discharge"], WINDOW) == ["first", "last", "outside"]
    assert _taken(None, WINDOW) == ["first", "last", "outside", "scan"]
    assert _taken(None, None) == NOTES["note_id"].to_list()


def test_no_note_of_a_held_out_stay_is_taken() -> None:
    assert _taken(None, None, ["E1", "E3"]) == ["last", "outside"]


def test_stays_of_one_split_of_every_task(tmp_path: Path) -> None:
    for name, splits in {"a": ["test", "train"], "b": ["test", "test"]}.items():
        pl.DataFrame({"encounter_id": [f"{name}1", f"{name}2"], "split": splits}).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    assert held_out_stays(sorted(tmp_path.glob("*.parquet")), "test") == ["a1", "b1", "b2"]
