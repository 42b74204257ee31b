"""Nothing of a person is left, everything of the others is; wherever it was cut off."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lang1_assets.ops.forgetting.request import begin, forgotten_by_model, lines_of, record_of, survey, take_out
from lang1_assets.ops.forgetting.search import Identifiers
from lang1_assets.ops.forgetting.subjects import (
    ForgettingError,
    add_subjects,
    end_request,
    ended_requests,
    forgotten_digest,
    forgotten_subjects,
    list_file,
    one_at_a_time,
    require_nothing_unfinished,
    unfinished_request,
)
from tests.ops.forgetting.conftest import NOW, PEOPLE, VARIANT, Home, rows

GONE = ["wordP1000001", "P1000001", "N1000001", "E1000001"]
SAW = {"tokenizer", f"pretrained_model/{VARIANT}", f"finetuned_joint/{VARIANT}", "model_in_service"}
"""Not the model of web text, and what was made from it."""
REMOVED = {"hospital_exports", "warehouse", "clean_notes", "mortality_examples", "notes_tokens"}


def forget(home: Path, *subjects: str, absent_too: bool = False) -> dict[str, Any]:
    request = begin(home, subjects, absent_too=absent_too, now=NOW)
    take_out(home, request, lambda line: None)
    record = record_of(request, NOW)
    end_request(home, record)
    return record


def test_the_search_finds_what_is_there(home: Home) -> None:
    """Before: the tests below can fail."""
    assert all(home.told([word])[word] for word in ["wordP1000001", "P1000001", "N1000001", "E1000001", "wordP1000002"])


def test_nothing_of_the_person_is_left(home: Home) -> None:
    half = home.half_made("clean_notes")
    forget(home.folder, "P1000001")
    assert home.told(GONE) == {word: set() for word in GONE}
    assert not half.exists()
    for name in home.made:
        assert (home.store.find(name) is None) == (name in REMOVED), name


@pytest.mark.parametrize("ending", ["partial", "partial-0123abcd", "old"])
def test_nor_in_what_killed_runs_left_half_made(home: Home, ending: str) -> None:
    """A table that was being written under another name; what a model wrote before its training was cut off."""
    cut_off = home.store.path(f"clean_notes.{ending}")
    training = home.store.path(f"pretrained_model/other.{ending}")
    for folder in (cut_off, training):
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text("{}")
    rows("note_id", "subject_id", "text").write_parquet(cut_off / "part-00000.tmp", compression="uncompressed")
    (training / "generations.jsonl").write_text("wordP1000001")
    (training / "step-8.pt").write_bytes(b"weights")
    assert home.told(["wordP1000001"])["wordP1000001"] >= {
        f"artifacts/ours/clean_notes.{ending}/part-00000.tmp",
        f"artifacts/ours/pretrained_model/other.{ending}/generations.jsonl",
    }
    forget(home.folder, "P1000001")
    assert home.told(GONE) == {word: set() for word in GONE}
    assert (training / "step-8.pt").exists()


def test_evaluations_keep_their_rows_and_numbers_without_the_name(home: Home) -> None:
    before = home.predictions(f"joint_evaluation/{VARIANT}")
    forget(home.folder, "P1000001")
    after = home.predictions(f"joint_evaluation/{VARIANT}")
    kept = ["split", "label", "probabilities"]
    assert after.select(kept).equals(before.select(kept))
    assert after.filter(pl.col("subject_id").is_in(PEOPLE[1:])).equals(
        before.filter(pl.col("subject_id") != "P1000001")
    )
    renamed = after.row(0, named=True)
    assert all(renamed[column].startswith("forgotten-") for column in ("subject_id", "note_id"))
    # The same name everywhere, so that two evaluations are still compared note by note.
    for name in ("model_in_service", f"predictions/joint_evaluation/{VARIANT}"):
        assert home.predictions(name).equals(after)
    assert (
        home.store.get(f"joint_evaluation/{VARIANT}").fingerprint
        == home.made[f"joint_evaluation/{VARIANT}"].fingerprint
    )


def test_models_that_saw_them_are_told_with_what_they_saw(home: Home) -> None:
    record = forget(home.folder, "P1000001", "P1000003")
    seen = {model["name"]: model for model in record["models"]}
    assert set(seen) == SAW
    assert all(model["is_certain"] for model in seen.values())
    assert seen[f"pretrained_model/{VARIANT}"]["rows"] == {"clean_notes": 2}
    tuned = seen[f"finetuned_joint/{VARIANT}"]
    assert tuned["rows"] == {"clean_notes": 2, "mortality_examples/train": 1, "mortality_examples/val": 1}
    assert tuned["mlflow_run_id"] == "run-joint"
    assert seen["model_in_service"]["fingerprint"] == tuned["fingerprint"]


def test_what_nobody_can_look_up_any_more_counts_as_seen(home: Home) -> None:
    """The records are gone with the first request; the second one cannot tell what the models were made from."""
    forget(home.folder, "P1000001")
    record = forget(home.folder, "P1000002", absent_too=True)
    assert {model["name"] for model in record["models"]} == SAW
    assert not any(model["is_certain"] for model in record["models"])
    assert forgotten_by_model(home.folder, record)[home.made[f"finetuned_joint/{VARIANT}"].fingerprint] == 2
    assert home.told(["P1000002", "N1000002"]) == {"P1000002": set(), "N1000002": set()}


def test_a_mistyped_id_is_no_request(home: Home) -> None:
    before = home.told(["wordP1000001"])
    with pytest.raises(ForgettingError, match="1 of 2 people: nothing here has a row of theirs"):
        begin(home.folder, ["P1000001", "P1000011"], absent_too=False, now=NOW)
    assert forgotten_subjects(home.folder) == ()
    assert home.told(["wordP1000001"]) == before
    forget(home.folder, "P1000011", absent_too=True)
    assert forgotten_subjects(home.folder) == ("P1000011",)
    # The database in which SQL is worked with cannot be searched for rows that were deleted: it goes every time.
    before["wordP1000001"].remove("warehouse/ours.duckdb")
    assert home.told(["wordP1000001"]) == before


@pytest.mark.parametrize("wrong", ["", " ", "two\nlines", "x" * 201])
def test_what_is_no_id_is_not_repeated(home: Home, wrong: str) -> None:
    with pytest.raises(ForgettingError, match="subject id 2 of 2: expected 1 to 200 printable") as raised:
        begin(home.folder, ["P1000001", wrong], absent_too=False, now=NOW)
    assert not wrong.strip() or wrong not in str(raised.value)


def test_a_preview_says_it_all_and_changes_nothing(home: Home) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.folder.rglob("*") if path.is_file()}
    lines = lines_of(survey(home.folder, Identifiers(subjects=frozenset({"P1000001"}))))
    assert {path: path.stat().st_mtime_ns for path in home.folder.rglob("*") if path.is_file()} == before
    assert lines[0] == "rows of 1 of 1 people are here; 1 notes"
    for name in REMOVED:
        assert (
            sum(line.startswith(f"to be removed, and made again by the next run: ours/{name},") for line in lines) == 1
        )
    assert any(line.startswith(f"ids to be replaced: ours/joint_evaluation/{VARIANT}, 1 rows") for line in lines)
    assert any(line.startswith(f"has seen them: ours/finetuned_joint/{VARIANT}") for line in lines)
    assert not any(word in line for line in lines for word in ("P1000001", "N1000001", "E1000001"))


KILLED = """
import os, signal, sys
from pathlib import Path
from lang1_assets.ops.forgetting.request import begin, take_out
from tests.ops.forgetting.conftest import NOW
left = int(sys.argv[2])
def count(line):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
home = Path(sys.argv[1])
request = begin(home, ["P1000001"], absent_too=False, now=NOW)
count("begun")
take_out(home, request, count)
"""


@pytest.mark.parametrize("step", [1, 2, 4, 7])
def test_killed_half_way_it_is_completed(home: Home, step: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(home.folder), str(step)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(ForgettingError, match="complete it with: lang1 forget"):
        require_nothing_unfinished(home.folder)
    assert forgotten_subjects(home.folder) == ("P1000001",)
    record = forget(home.folder)
    assert home.told(GONE) == {word: set() for word in GONE}
    # What was seen before anything went.
    assert {model["name"]: model["rows"] for model in record["models"]}[f"finetuned_joint/{VARIANT}"] == {
        "clean_notes": 1,
        "mortality_examples/train": 1,
    }
    assert {one["name"] for one in record["removed"]} == REMOVED
    require_nothing_unfinished(home.folder)
    (kept,) = ended_requests(home.folder)
    assert kept == json.loads(json.dumps(record))


def test_a_folder_half_removed_is_removed(home: Home) -> None:
    """Killed in the middle of deleting: no manifest is left, and files of notes are."""
    folder = home.store.path("clean_notes")
    going = folder.rename(folder.with_name("clean_notes.forgotten"))
    (going / "artifact.json").unlink()
    (going / "plan.json").unlink()
    forget(home.folder, "P1000001")
    assert not going.exists()


def test_nothing_that_a_run_is_making_is_taken_from_under_it(home: Home) -> None:
    with open(home.store.path("clean_notes.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ForgettingError, match="clean_notes: a run is making it"):
            forget(home.folder, "P1000001")
    assert unfinished_request(home.folder) is not None
    forget(home.folder)
    assert home.told(GONE) == {word: set() for word in GONE}


def test_a_file_that_cannot_be_read_is_taken_as_holding_them(home: Home) -> None:
    torn = home.store.path("clean_notes") / "notes" / "part-00001.parquet"
    torn.write_bytes(b"PAR1 cut off")
    forget(home.folder, "P1000003")
    assert not torn.exists()


def test_who_is_forgotten_is_the_owner_s_alone(home: Home) -> None:
    os.umask(0o022)
    forget(home.folder, "P1000001")
    folder = list_file(home.folder).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("subjects.parquet", "requests.jsonl"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert "N1000001" not in (folder / "requests.jsonl").read_text()


def test_one_at_a_time(home: Home) -> None:
    other = one_at_a_time(home.folder)
    with one_at_a_time(home.folder), pytest.raises(ForgettingError, match="another process is forgetting"):
        other.__enter__()


def test_many_processes_make_the_first_list_and_nobody_is_lost(tmp_path: Path) -> None:
    """Services start together in a new home, while somebody is put on the list."""
    begin_list = "import sys; from pathlib import Path; from lang1_assets.ops.forgetting.subjects import list_file; "
    begin_list += "[list_file(Path(sys.argv[1]) / str(number)) for number in range(100)]"
    others = [subprocess.Popen([sys.executable, "-c", begin_list, str(tmp_path)]) for _ in range(2)]
    for number in range(100):
        add_subjects(tmp_path / str(number), ["P1000001"])
    assert [other.wait() for other in others] == [0, 0]
    assert {forgotten_subjects(tmp_path / str(number)) for number in range(100)} == {("P1000001",)}


def test_a_list_that_cannot_be_read_brings_nobody_back(home: Home) -> None:
    assert forgotten_digest(home.folder) is None
    add_subjects(home.folder, ["P1000002", "P1000001"])
    assert forgotten_subjects(home.folder) == ("P1000001", "P1000002")
    first = forgotten_digest(home.folder)
    add_subjects(home.folder, ["P1000001"])
    assert forgotten_digest(home.folder) == first
    list_file(home.folder).write_bytes(b"PAR1")
    with pytest.raises(ForgettingError, match="bring it back from a backup"):
        forgotten_subjects(home.folder)


def test_tokens_of_earlier_notes_go_though_the_notes_are_without_them(home: Home) -> None:
    """The notes were made again without the person, and their tokens not yet: nobody can look into those."""
    others = rows("note_id", "encounter_id", "subject_id", "text")[1:]

    def write(work: Path) -> dict[str, Any]:
        others.write_parquet(work / "part-00000.parquet")
        return {}

    home.store.build(
        "clean_notes",
        write,
        inputs=[home.made["warehouse"]],
        parameters={"rules": "stricter"},
    )
    forget(home.folder, "P1000001")
    assert home.store.find("clean_notes") is not None
    assert home.store.find("notes_tokens") is None
    assert home.told(GONE) == {word: set() for word in GONE}


def test_a_model_that_is_half_made_is_told_too(home: Home) -> None:
    """Training goes on from its checkpoints, which had seen them."""
    work = home.store.path("finetuned_joint/other.partial")
    work.mkdir(parents=True)
    inputs = {name: home.made[name].fingerprint for name in ("pretrained_model/web", "mortality_examples")}
    (work / "plan.json").write_text(json.dumps({"fingerprint": "half", "inputs": inputs}))
    (work / "mlflow_run_id").write_text("run-half")
    record = forget(home.folder, "P1000001")
    told = {model["name"]: model for model in record["models"]}["finetuned_joint/other.partial"]
    assert (told["fingerprint"], told["mlflow_run_id"], told["is_certain"]) == ("half", "run-half", True)
    assert told["rows"] == {"mortality_examples/train": 1}


def test_a_line_that_a_crash_tore_off_swallows_no_record(home: Home) -> None:
    forget(home.folder, "P1000001")
    with open(home.folder / "forgotten" / "requests.jsonl", "a") as handle:
        handle.write('{"begun": "20')
    second = forget(home.folder, "P1000002", absent_too=True)
    assert [one["subjects"] for one in ended_requests(home.folder)] == [["P1000001"], ["P1000002"]]
    assert second["subjects"] == ["P1000002"]
