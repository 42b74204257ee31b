"""The shipped definitions, and what a file may not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.tasks import (
    COMPREHENSION,
    REMEDE,
    TASKS,
    Task,
    TaskError,
    asked_of,
    own_tasks,
    read_own_tasks,
    use_own_tasks,
)

OWN: dict[str, Any] = {
    "name": "icu_transfer",
    "title": "Transfer to intensive care",
    "version": 1,
    "note_type": "hp",
    "question": "Will the patient be transferred to intensive care?",
    "options": ["no", "yes"],
    "metric": "auroc",
    "cohort": {"sql": "select note_id, prediction_time, label from somewhere"},
}


def written(folder: Path, name: str = "icu_transfer", **changes: Any) -> Path:
    values = {key: value for key, value in {**OWN, "name": name, **changes}.items() if value is not None}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return folder


def test_the_published_prompts() -> None:
    """Letter for letter as in appendix H: results of other versions of these texts are not comparable."""
    assert tuple(TASKS)[:5] == REMEDE
    assert {task.version for task in TASKS.values()} == {1}
    assert TASKS["readmission"].question_block == (
        "Question: Given the above discharge note of the patient, will the patient be readmitted to the hospital within 30 "
        "days of discharge?\nA. no\nB. yes\nAnswer:"
    )
    assert TASKS["mortality"].question_block == (
        "Question: Given the above admission note of the patient, will the patient die during the hospital admission?\n"
        "A. no\nB. yes\nAnswer:"
    )
    assert TASKS["length_of_stay"].question_block == (
        "Question: Given the above admission note of the patient, how long will the patient stay at the hospital?\n"
        "A. 0 to 2 days\nB. 3 days\nC. 4 to 5 days\nD. more than 5 days\nAnswer:"
    )
    assert TASKS["comorbidity"].question_block == (
        "Question: Given the above admission note of the patient, what's the Charlson Comorbidity Index of the patient?\n"
        "A. score 0\nB. score 1 to 2\nC. score 3 to 4\nD. score 4 to 7\nE. score more than 7\nAnswer:"
    )
    assert TASKS["insurance_denial"].question_block == (
        "Question: Given the above discharge note of the patient, will the insurance claim of the patient be denied?\n"
        "A. no\nB. yes\nAnswer:"
    )


def test_mimic_asks_the_same_question_under_names_of_its_own() -> None:
    for name, task in TASKS.items():
        external = asked_of(task, "mimic_iii")
        has_one = name in ("readmission", "mortality", "length_of_stay")
        assert external.name == (f"mimic_iii_{name}" if has_one else name)
        assert external.question_block == task.question_block
        assert external.note_type == task.note_type
        assert asked_of(task, "omop") is task


def test_comprehension_is_one_text_for_all_files() -> None:
    assert {task.text for task in COMPREHENSION.values()} == {"{context}\nQuestion: {question}\nAnswer:"}
    assert {name: task.source for name, task in COMPREHENSION.items()} == {
        "comprehension": None,
        "pubmedqa": "pubmedqa",
        "sciq": "sciq",
    }
    assert {task.metric for task in COMPREHENSION.values()} == {"accuracy"}


def test_an_own_task_is_one_file(tmp_path: Path) -> None:
    written(tmp_path, cohort={"sql": "select 1", "split_shares": [60, 20, 20], "outcome_phrases": ["to the icu"]})
    written(tmp_path, name="falls", options=["none", "one", "several"])
    found = read_own_tasks(tmp_path)
    assert list(found) == ["falls", "icu_transfer"]
    assert found["falls"].letters == "ABC"
    cohort = found["icu_transfer"].cohort
    assert cohort is not None
    assert (cohort.sql, cohort.split_shares, cohort.outcome_phrases) == ("select 1", (60, 20, 20), ("to the icu",))
    assert all(Task.from_json(yaml.safe_load(yaml.safe_dump(to_plain(task)))) == task for task in found.values())


def to_plain(task: Task) -> Any:
    import json

    return json.loads(json.dumps(task.to_json()))


def test_a_process_knows_the_own_tasks_of_one_profile(tmp_path: Path) -> None:
    first, second = read_own_tasks(written(tmp_path)), read_own_tasks(written(tmp_path / "b", name="falls"))
    try:
        use_own_tasks(first.values())
        assert list(TASKS) == [*REMEDE, "icu_transfer"]
        use_own_tasks(second.values())
        assert list(TASKS) == [*REMEDE, "falls"]
        assert [task.name for task in own_tasks()] == ["falls"]
    finally:
        use_own_tasks(())
    assert list(TASKS) == list(REMEDE)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": None}, r"title: missing; expected a text"),
        ({"options": [False, True]}, r"options: expected 2 to 5 .*no and yes in quotes.*found \[False, True\]"),
        ({"options": ["yes"]}, "options: expected 2 to 5"),
        ({"options": ["yes", "yes"]}, "options: expected 2 to 5 different"),
        ({"options": list("abcdef")}, "options: expected 2 to 5"),
        ({"note_type": "H&P"}, "note_type: expected one of hp, discharge"),
        ({"version": True}, "version: expected a whole number from 1, found True"),
        ({"version": 0}, "version: expected a whole number"),
        ({"question": " spaced "}, "question: expected a text without spaces around it"),
        ({"metric": "accuracy"}, "metric: expected auroc, found 'accuracy'"),
        ({"threshold": 0.5}, "threshold: unknown; expected name, title"),
        ({"cohort": {}}, "cohort.sql: missing; expected a DuckDB query"),
        ({"cohort": {"sql": "x", "split": 1}}, "cohort.split: unknown; expected sql"),
        (
            {"cohort": {"sql": "x", "split_shares": [80, 10, 5]}},
            "cohort.split_shares: expected three whole percentages",
        ),
        ({"cohort": "select"}, "cohort: expected sql"),
        ({"cohort": None}, "icu_transfer has no cohort"),
        ({"extends": "mortality"}, "note_type: unknown; expected name"),
        ({"text": "{context}"}, "text: expected a text with {context} and {question}"),
    ],
)
def test_what_is_wrong_names_file_field_and_what_was_expected(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(TaskError, match=expected) as caught:
        read_own_tasks(written(tmp_path, **changes))
    assert str(tmp_path) in str(caught.value)


def test_every_problem_of_every_file_is_listed(tmp_path: Path) -> None:
    written(tmp_path, title=3, version="one")
    written(tmp_path, name="falls", note_type="none")
    with pytest.raises(TaskError) as caught:
        read_own_tasks(tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in sorted(lines)] == ["note_type", "title", "version"]


def test_names_are_not_taken_twice(tmp_path: Path) -> None:
    for taken in ("mortality", "mimic_iii_mortality", "sciq"):
        with pytest.raises(TaskError, match=f"name: '{taken}' is taken"):
            read_own_tasks(written(tmp_path / taken, name=taken))
    written(tmp_path)
    (tmp_path / "other.yaml").write_text((tmp_path / "icu_transfer.yaml").read_text())
    with pytest.raises(TaskError, match="name: 'icu_transfer' is taken"):
        read_own_tasks(tmp_path)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "icu.yaml").write_text(text)
    with pytest.raises(TaskError, match=r"icu\.yaml: "):
        read_own_tasks(tmp_path)


def test_a_folder_without_tasks(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"0 \.yaml files"):
        read_own_tasks(tmp_path)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = SCALARS | st.lists(SCALARS, max_size=6) | st.dictionaries(st.text(max_size=8), SCALARS, max_size=3)


@given(changes=st.dictionaries(st.sampled_from([*OWN, "extends", "text", "source", "other"]), VALUES, max_size=4))
def test_whatever_a_file_says_it_is_a_task_or_a_task_error(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.yaml").write_text(yaml.safe_dump({**OWN, **changes}))
    try:
        (task,) = read_own_tasks(folder).values()
    except TaskError:
        return
    assert task.question_block.endswith("\nAnswer:")
    assert 2 <= task.num_classes <= 5
