"""When a trajectory is measured again. What is measured is in tests/ops/test_trajectory.py."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.ops.tasks import REMEDE
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from lang1_assets.studies import trajectory
from tests.mlflow_database import database  # noqa: F401

VARIANT = "lang1-tiny-notesplus-webtexts"
POINT = {"name": "comprehension", "metric": "accuracy", "checkpoint": "tokens-100", "tokens": 100, "value": 0.4}
POINT |= {"low": 0.3, "high": 0.5, "n": 90, "num_events": 40, "chance": 0.25}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    questions = [{"question": "Which?", "correct_answer": "a", **{f"distractor{i}": f"{i}" for i in (1, 2, 3)}}]
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    (tmp_path / "ours.yaml").write_text("extends: tiny\nname: ours\nweb_text: {question_files: [questions.json]}\n")
    return load_settings(str(tmp_path / "ours.yaml"))


@pytest.fixture
def resources(tmp_path: Path, database: Path) -> dict[str, Any]:  # noqa: F811
    store = ArtifactStore(root=str(tmp_path / "artifacts"))
    store.build(f"pretrained_model/{VARIANT}", lambda work: {"trajectory": ["tokens-100"]})
    for name in ("web_text_source", *(f"{task}_examples" for task in REMEDE)):
        store.build(name, lambda work: {"switched_off": ""})
    uri = f"sqlite:///{shutil.copyfile(database, tmp_path / 'mlflow.db')}"
    tracking = Tracking(tracking_uri=uri, ui_url="", artifact_root=str(tmp_path / "mlflow"), dagster_url="")
    return {"store": store, "tracking": tracking}


def test_it_is_measured_again_when_the_questions_change_in_place_and_not_when_they_move(
    settings: Settings, resources: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measured(context: Any, settings: Settings, model: Any, examples: Any, questions: Any, length: int) -> Any:
        asked.append(questions["sciq"].read_text())
        return {"rows": [POINT], "comprehension_gains": {}, "off_chance": []}

    monkeypatch.setattr(trajectory, "measure_trajectory", measured)
    file = tmp_path / "questions.json"

    def make(where: Path) -> None:
        web_text = settings.web_text.model_copy(update={"question_files": (where,)})
        moved = settings.model_copy(update={"web_text": web_text})
        (asset,) = trajectory.build_assets(moved)
        result = dg.materialize([asset], resources=resources, partition_key=VARIANT)
        (told,) = result.asset_materializations_for_node("trajectory_evaluation")
        assert str(told.metadata["points"].value).startswith("Synthetic data")

    make(file)
    make(file)
    make(Path(shutil.copyfile(file, tmp_path / "moved.json")))
    assert len(asked) == 1
    file.write_text(file.read_text().replace("Which?", "Who??"))
    make(file)
    assert len(asked) == 2
    assert "Who??" in asked[1]
