from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.labeling import CohortError, check_classes, join_text, largest_loss, write_examples
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import synthetic_examples

MORTALITY, STAY = TASKS["mortality"], TASKS["length_of_stay"]


def cohort_and_notes(folder: Path, with_text: list[str], labelled: list[str]) -> tuple[Path, Path]:
    examples = synthetic_examples("mortality").head(len(labelled)).with_columns(note_id=pl.Series(labelled))
    examples.select(schemas.COHORT.names).write_parquet(folder / "cohort.parquet")
    notes = pl.DataFrame({"note_id": with_text, "text": [f"text of {name}" for name in with_text]})
    notes.write_parquet(folder / "notes.parquet")
    return folder / "cohort.parquet", folder / "notes.parquet"


def labels(rows: dict[str, list[int]]) -> pl.DataFrame:
    pairs = [(split, label) for split, held in rows.items() for label in held]
    return pl.DataFrame(pairs, schema={"split": pl.String, "label": pl.Int32}, orient="row")


def everywhere(held: list[int], **changed: list[int]) -> pl.DataFrame:
    return labels({split: changed.get(split, held) for split in schemas.SPLITS})


def test_every_labelled_note_has_its_own_text_or_is_counted(tmp_path: Path) -> None:
    joined = join_text(*cohort_and_notes(tmp_path, with_text=["c", "other", "a"], labelled=["a", "b", "c", "d"]))
    assert joined.num_without_text == 2
    assert sorted(joined.examples["note_id"]) == ["a", "c"]
    assert joined.examples["text"].to_list() == [f"text of {name}" for name in joined.examples["note_id"]]
    assert joined.examples.columns == schemas.EXAMPLES.names


def test_a_note_with_two_texts_is_not_two_examples(tmp_path: Path) -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        join_text(*cohort_and_notes(tmp_path, with_text=["a", "a"], labelled=["a", "b"]))


def test_the_file_has_the_contract_s_types(tmp_path: Path) -> None:
    examples = synthetic_examples("mortality").cast({"label": pl.Int64, "age": pl.Int64})
    write_examples(examples, tmp_path / "examples.parquet")
    written = pl.read_parquet(tmp_path / "examples.parquet")
    expected = pl.from_arrow(schemas.EXAMPLES.empty_table())
    assert isinstance(expected, pl.DataFrame)
    assert written.schema == expected.schema
    assert written["prediction_time"][0] == datetime(2019, 1, 1)


def test_a_cohort_with_all_classes_everywhere_is_fine() -> None:
    assert check_classes(everywhere([0, 1, 2, 3]), STAY) == []


def test_every_problem_is_listed_at_once() -> None:
    with pytest.raises(CohortError) as caught:
        check_classes(everywhere([0, 1, 2, 3], train=[0, 1, 3], val=[], test=[2, 2]), STAY)
    message = str(caught.value)
    assert "split 'train' has no example of class 2 ('4 to 5 days')" in message
    assert "split 'val' is empty" in message
    assert "split 'test' has no example of class 0 ('0 to 2 days'), 1 ('3 days'), 3 ('more than 5 days')" in message
    assert "temporal" not in message


def test_a_rare_class_may_be_missing_from_a_test_split_and_is_named() -> None:
    assert check_classes(everywhere([0, 1, 2, 3], temporal_2024=[0, 1, 2]), STAY) == [
        "split 'temporal_2024' has no example of class 3 ('more than 5 days')"
    ]


def test_a_binary_split_without_positives_has_no_auroc() -> None:
    with pytest.raises(CohortError, match=r"split 'temporal_2021' has no example of class 1 \('yes'\)"):
        check_classes(everywhere([0, 1], temporal_2021=[0, 0]), MORTALITY)


def test_the_step_at_which_most_notes_left_is_named(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "task": ["mortality"] * 4,
            "step_number": [0, 1, 2, 3],
            "step": ["notes", "in a stay", "within the windows", "chosen"],
            "num_notes_left": [4100, 4000, 10, 9],
        }
    ).write_parquet(tmp_path / "attrition.parquet")
    found = largest_loss(tmp_path / "attrition.parquet", MORTALITY)
    assert found == "most notes left at the step 'within the windows': 4,000 before, 10 after"
