import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.questions import QuestionsError, by_name, read_questions

SCIQ = [
    {
        "question": f"Question {number}?",
        "correct_answer": f"right {number}",
        "distractor1": f"wrong a {number}",
        "distractor2": f"wrong b {number}",
        "distractor3": f"wrong c {number}",
        "support": f"Support {number}.",
    }
    for number in range(40)
]
PUBMEDQA: dict[str, Any] = {
    "21645374": {"QUESTION": "Does it work?", "CONTEXTS": ["One.", "Two."], "final_decision": "maybe"},
    "16418930": {"QUESTION": "Is it safe?", "CONTEXTS": ["Three."], "final_decision": "no"},
}


def written(folder: Path, values: Any) -> Path:
    path = folder / "questions.json"
    path.write_text(json.dumps(values))
    return path


def test_files_are_known_by_what_is_in_them_whatever_their_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.json", "two.json", "ours.parquet")]
    files[0].write_text(json.dumps(SCIQ))
    files[1].write_text(json.dumps(PUBMEDQA))
    files[2].touch()
    expected = {"comprehension": files[2], "pubmedqa": files[1], "sciq": files[0]}
    for given in (files, files[::-1]):
        assert list(by_name(given).items()) == list(expected.items())
    assert by_name([]) == {}


@pytest.mark.parametrize(
    ("name", "problem"),
    [("more.json", "a second file of SciQ besides .*questions.json; give one"), ("no.parquet", "not there")],
)
def test_a_file_that_cannot_be_asked_is_named(tmp_path: Path, name: str, problem: str) -> None:
    first, second = written(tmp_path, SCIQ), tmp_path / name
    if name == "more.json":
        second.write_text(json.dumps(SCIQ))
    with pytest.raises(QuestionsError, match=f"{name}: {problem}"):
        by_name([first, second])


def test_sciq(tmp_path: Path) -> None:
    questions = read_questions(written(tmp_path, SCIQ), seed=3)
    assert questions.columns == schemas.QUESTIONS.names
    for number, row in enumerate(questions.iter_rows(named=True)):
        assert row["options"][row["answer"]] == f"right {number}"
        assert sorted(row["options"]) == sorted(
            [f"right {number}", f"wrong a {number}", f"wrong b {number}", f"wrong c {number}"]
        )
        assert (row["question"], row["context"]) == (f"Question {number}?", f"Support {number}.")
    # The right answer is no more often first than anywhere else, and the order is the seed's.
    assert set(questions["answer"]) == {0, 1, 2, 3}
    assert questions.equals(read_questions(written(tmp_path, SCIQ), seed=3))
    assert not questions.equals(read_questions(written(tmp_path, SCIQ), seed=4))


def test_the_order_of_a_question_s_options_does_not_depend_on_the_others(tmp_path: Path) -> None:
    whole, part = (read_questions(written(tmp_path, rows), seed=3) for rows in (SCIQ, SCIQ[:5]))
    assert whole.head(5).equals(part)


def test_pubmedqa(tmp_path: Path) -> None:
    questions = read_questions(written(tmp_path, PUBMEDQA), seed=3)
    assert questions["question_id"].to_list() == list(PUBMEDQA)
    assert questions["options"].to_list() == [["yes", "no", "maybe"]] * 2
    assert questions["answer"].to_list() == [2, 1]
    assert questions["context"].to_list() == ["Abstract: One. Two.", "Abstract: Three."]


def test_the_project_s_own_parquet(tmp_path: Path) -> None:
    questions = read_questions(written(tmp_path, SCIQ), seed=3)
    path = tmp_path / "questions.parquet"
    questions.with_columns(more=pl.lit(1)).write_parquet(path)
    assert read_questions(path, seed=9).equals(questions)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("text", "expected SciQ's list or PubMedQA's object, found str"),
        ([SCIQ[0], {"question": "?"}], "row 1: .*correct_answer, distractor1, distractor2, distractor3"),
        ([SCIQ[0], 5], "row 1: .*found int"),
        (["question correct_answer distractor1 distractor2 distractor3"], "row 0: .*found str"),
        ([{**SCIQ[0], "distractor2": None}], "row 0: .*distractor2"),
        ({"77": {"QUESTION": "?", "CONTEXTS": ["One."]}}, "entry 77: .*final_decision"),
        ({"77": {"QUESTION": "?", "CONTEXTS": "One.", "final_decision": "no"}}, "entry 77: .*CONTEXTS"),
        ({"77": {"QUESTION": "?", "CONTEXTS": ["One."], "final_decision": "Yes"}}, "entry 77: final_decision"),
        ({"77": None}, "entry 77: .*found NoneType"),
        ([], "no question"),
    ],
)
def test_a_malformed_file_is_explained(tmp_path: Path, values: Any, expected: str) -> None:
    with pytest.raises(QuestionsError, match=rf"questions.json: .*{expected}"):
        read_questions(written(tmp_path, values), seed=3)


@pytest.mark.parametrize("answer", [-1, 2, None])
def test_an_answer_that_is_no_option_is_an_error(tmp_path: Path, answer: int | None) -> None:
    row = {"question_id": "q7", "context": "", "question": "?", "options": ["a", "b"], "answer": answer}
    path = tmp_path / "questions.parquet"
    pl.DataFrame([row], schema_overrides={"answer": pl.Int32}).write_parquet(path)
    with pytest.raises(QuestionsError, match=r"questions\.parquet: question_id q7: answer"):
        read_questions(path, seed=3)


@pytest.mark.parametrize("name", ["questions.json", "questions.parquet"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(QuestionsError, match=name):
        read_questions(tmp_path / name, seed=3)
    (tmp_path / name).write_bytes(b"\xff{not this either")
    with pytest.raises(QuestionsError, match=name):
        read_questions(tmp_path / name, seed=3)


def test_a_parquet_without_the_columns_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"question": ["?"]}).write_parquet(tmp_path / "questions.parquet")
    with pytest.raises(QuestionsError, match=r"questions\.parquet: .*question_id, context"):
        read_questions(tmp_path / "questions.parquet", seed=3)
