"""Which comprehension questions are asked."""

import json
from pathlib import Path

import dagster as dg
import pytest

from lang1_assets.corpus.supplied import hashes_of_questions, question_files
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings, load_settings

SCIQ = [{"question": "Which?", "correct_answer": "a", **{f"distractor{n}": f"{n}" for n in (1, 2, 3)}}]


@pytest.fixture
def web(tmp_path: Path) -> Artifact:
    """Web text with the embedded source's own questions beside it."""
    store = ArtifactStore(root=str(tmp_path / "artifacts"))
    return store.build("web_text_source", lambda work: {"made": (work / "questions.parquet").write_bytes(b"")})


def profile_with(folder: Path, *files: str) -> Settings:
    for file in files:
        (folder / file).write_text(json.dumps(SCIQ))
    named = f"web_text: {{question_files: [{', '.join(files)}]}}\n" if files else ""
    (folder / "ours.yaml").write_text(f"extends: tiny\nname: ours\n{named}")
    return load_settings(str(folder / "ours.yaml"))


def test_a_profile_s_questions_stand_for_the_embedded_ones(tmp_path: Path, web: Artifact) -> None:
    assert question_files(profile_with(tmp_path), web) == {"comprehension": web.path / "questions.parquet"}
    assert question_files(profile_with(tmp_path, "sciq.json"), web) == {"sciq": tmp_path / "sciq.json"}


def test_a_file_that_cannot_be_asked_stops_before_anything_is_made(tmp_path: Path, web: Artifact) -> None:
    twice = profile_with(tmp_path, "sciq.json", "again.json")
    with pytest.raises(dg.Failure, match=r"again\.json: a second file of SciQ"):
        question_files(twice, web)


def test_a_fingerprint_knows_what_is_asked_and_not_in_which_order(tmp_path: Path) -> None:
    one = profile_with(tmp_path, "sciq.json", "more.json")
    (tmp_path / "more.json").write_text("{}")
    held = hashes_of_questions(one)
    swapped = one.web_text.model_copy(update={"question_files": one.web_text.question_files[::-1]})
    assert hashes_of_questions(one.model_copy(update={"web_text": swapped})) == held
    (tmp_path / "more.json").write_text("[]")
    assert hashes_of_questions(one) != held
