"""The report and the leaderboard through their assets: what tells of an earlier model is left out of both, by name."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.evaluation import leaderboard
from lang1_assets.ops.results import result_rows
from lang1_assets.ops.study.figure import write_figures
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from lang1_assets.studies import report
from tests.ops.conftest import synthetic_examples
from tests.ops.report.sample import CARD, sample_trajectory
from tests.ops.study.sample import bars

VARIANT, OUTSIDE, BASELINE = "lang1-tiny-notesplus-webtexts", "untrained-100m", "tfidf-logistic"
SPLIT = "temporal_2024"


class Evaluated:
    """A store with a base, a finetuned model, all that was made of both, and models that are none of ours."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = load_settings("tiny")
        self.store = ArtifactStore(root=str(folder / "artifacts"))
        self.build("hospital_exports", {})
        self.write_tables()
        self.tokenizer = self.build("tokenizer", {})
        self.examples = [self.write_examples(task) for task in TASKS]
        facts = {"num_parameters": 1, "tokens": 2}
        self.base = self.build(f"pretrained_model/{VARIANT}", {}, **facts)
        self.evaluate("zero_shot_evaluation", VARIANT, "zero_shot", [self.base])
        rows = [{**vars(point), "metric": "auroc"} for point in sample_trajectory()]
        self.build(f"trajectory_evaluation/{VARIANT}", {"rows.json": json.dumps(rows)}, [self.base])
        self.build(f"memorization/{VARIANT}", {}, [self.base], is_clean=True, verdict="nothing by heart")
        self.evaluate("outside_evaluation", OUTSIDE, "zero_shot", [self.tokenizer], kind="untrained")
        self.evaluate("baseline_evaluation", BASELINE, "single_task", [], kind="baseline")
        self.finetune(1)
        self.evaluate_joint()
        self.write_card_and_studies()

    def build(
        self, name: str, files: dict[str, str], inputs: Sequence[Artifact] = (), since: int = 1, **summary: Any
    ) -> Artifact:
        def make(work: Path) -> dict[str, Any]:
            for file, text in files.items():
                (work / file).write_text(text)
            return {"mlflow_url": "http://mlflow/run", **summary}

        return self.store.build(name, make, inputs=inputs, parameters={"since": since})

    def write_tables(self) -> None:
        def warehouse(work: Path) -> dict[str, Any]:
            counts = {"table_name": ["notes"], "rows_in": [9], "rows_out": [8]}
            pl.DataFrame(counts).write_parquet(work / "intake_counts.parquet")
            rejects(work / "rejects.parquet")
            return {"cohort_sql_sha256": dict.fromkeys(TASKS, "ab" * 32)}

        def clean(work: Path) -> dict[str, Any]:
            (work / "rejects").mkdir()
            rejects(work / "rejects" / "part.parquet")
            return {"rows_in": 8, "rows_kept": 7}

        def rejects(path: Path) -> None:
            pl.DataFrame({"source": ["notes"], "row_id": ["1"], "reason": ["empty"]}).write_parquet(path)

        self.store.build("warehouse", warehouse)
        self.store.build("clean_notes", clean)

    def write_examples(self, task: str) -> Artifact:
        def write(work: Path) -> dict[str, Any]:
            synthetic_examples(task).write_parquet(work / "examples.parquet")
            return {"switched_off": "" if task == "mortality" else "no notes"}

        return self.store.build(f"{task}_examples", write)

    def evaluate(
        self, asset: str, name: str, mode: str, inputs: Sequence[Artifact], kind: str = "variant", since: int = 1
    ) -> Artifact:
        frame = synthetic_examples("mortality").select(
            "note_id", "subject_id", pl.lit("mortality").alias("task"), "split", "label"
        )
        known = pl.col("label").cast(pl.Float64) * 0.3 + pl.col("note_id").hash(len(asset)) % 100 / 150
        frame = frame.filter(split=SPLIT).with_columns(probabilities=pl.concat_list(1 - known, known))
        trained_on = None if mode == "zero_shot" else mode
        rows = result_rows(
            frame, model=name, mode="finetuned" if trained_on else "zero_shot", trained_on=trained_on, num_resamples=20
        )

        def write(work: Path) -> dict[str, Any]:
            frame.write_parquet(work / "predictions.parquet")
            (work / "rows.json").write_text(json.dumps(rows))
            record = {"name": name, "mode": mode, "kind": kind, "tasks": {}, "prompts": []}
            record |= {"parameters": {"note_tokens": 40}, "tokenizer_sha256": ""}
            (work / "record.json").write_text(json.dumps(record))
            return {"mlflow_url": "http://mlflow/run"}

        scored = self.build(f"predictions/{asset}/{name}", {}, inputs, since=since)
        return self.store.build(f"{asset}/{name}", write, inputs=[scored, *inputs])

    def finetune(self, since: int) -> None:
        self.model = self.build(f"finetuned_joint/{VARIANT}", {}, [self.base], since=since)

    def evaluate_joint(self) -> None:
        self.evaluate("joint_evaluation", VARIANT, "joint", [self.model])

    def write_card_and_studies(self) -> None:
        evaluation = self.store.get(f"joint_evaluation/{VARIANT}")
        self.build(f"model_card/{VARIANT}/joint", {"card.md": CARD}, [self.model, evaluation])

        def write(work: Path) -> dict[str, Any]:
            write_figures((bars(),), work)
            return {"mlflow_url": "http://mlflow/run"}

        study = self.store.build("study/transfer", write, inputs=[evaluation])
        self.build("claims", {"claims.json": "[]"}, [study])

    def make(self, stage: Any) -> dg.ExecuteInProcessResult:
        tracking = Tracking(tracking_uri="", ui_url="http://mlflow", artifact_root="", dagster_url="http://dagster")
        (asset,) = stage.build_assets(self.settings)
        return dg.materialize(
            [asset], resources={"store": self.store, **({"tracking": tracking} if stage is report else {})}
        )

    def page(self) -> str:
        assert self.make(report).success
        return (self.store.get("report").path / "index.html").read_text()

    def board(self) -> dict[tuple[str, str], dict[str, Any]]:
        (self.check,) = self.make(leaderboard).get_asset_check_evaluations()
        entries = json.loads((self.store.get("leaderboard").path / "leaderboard.json").read_text())
        return {(entry["model"], entry["mode"]): entry for entry in entries}


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path / "home"))
    return Evaluated(tmp_path)


OF_OTHERS = {(VARIANT, "zero_shot"), (OUTSIDE, "zero_shot"), (BASELINE, "single_task")}


def test_of_a_model_that_was_finetuned_anew_nothing_is_shown_until_it_is_evaluated_again(evaluated: Evaluated) -> None:
    assert set(evaluated.board()) == {*OF_OTHERS, (VARIANT, "joint")}
    page = evaluated.page()
    assert "Left out" not in page
    for shown in ('id="cards"', 'id="study-transfer"', "joint_evaluation"):
        assert shown in page
    evaluated.finetune(2)
    # The leaderboard of before is among what is left out.
    page = evaluated.page()
    for gone in ('id="study-transfer"', "Made for research", "assets/joint_evaluation"):
        assert gone not in page
    for name in (
        f"joint_evaluation/{VARIANT}",
        "study/transfer",
        "claims",
        f"model_card/{VARIANT}/joint",
        "leaderboard",
    ):
        assert f"Left out, for the models or inputs behind it were made anew since: {name}." in page
    # The base is as it was.
    assert "nothing by heart" in page
    assert "What emerges in pretraining" in page
    assert "Left out" not in page.split('id="trajectory"')[1].split("</section>")[0]
    assert set(evaluated.board()) == OF_OTHERS
    assert not evaluated.check.passed
    assert f"evaluate again: joint_evaluation/{VARIANT}" in str(evaluated.check.description)
    evaluated.evaluate_joint()
    evaluated.write_card_and_studies()
    assert set(evaluated.board()) == {*OF_OTHERS, (VARIANT, "joint")}
    assert "Left out" not in evaluated.page()


def test_of_a_base_that_was_pretrained_anew_nothing_is_shown(evaluated: Evaluated) -> None:
    evaluated.base = evaluated.build(f"pretrained_model/{VARIANT}", {}, since=2, num_parameters=1, tokens=2)
    with pytest.raises(
        dg.Failure, match=f"Materialize again: zero_shot_evaluation/{VARIANT}, joint_evaluation/{VARIANT}"
    ):
        evaluated.make(report)
    assert set(evaluated.board()) == OF_OTHERS - {(VARIANT, "zero_shot")}
    evaluated.evaluate("zero_shot_evaluation", VARIANT, "zero_shot", [evaluated.base], since=2)
    page = evaluated.page()
    for name in (f"trajectory_evaluation/{VARIANT}", f"memorization/{VARIANT}", f"joint_evaluation/{VARIANT}"):
        assert f"made anew since: {name}." in page
    assert "nothing by heart" not in page
