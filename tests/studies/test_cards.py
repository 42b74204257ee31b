"""Model cards through their asset: every number from a file, what was not run is said, synthetic comes first."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from lang1_assets.models.finetuned import Finetuning, job_config, tasks_of
from lang1_assets.ops.model_card.items import HOSPITAL, ITEMS
from lang1_assets.ops.results import result_rows
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking, registered_name
from lang1_assets.settings import Settings, load_settings
from lang1_assets.studies import cards
from tests.mlflow_database import database  # noqa: F401
from tests.ops.conftest import synthetic_examples

VARIANT, RECIPE, TASK, SPLIT = "lang1-tiny-notesplus", "mortality", "mortality", "temporal_2024"
OTHER = "readmission"
"""Evaluated of `RECIPE`'s model too where `evaluate.transfer` is on."""
MODEL = registered_name("tiny", RECIPE)


def predicted(examples: pl.DataFrame, task: str = TASK) -> pl.DataFrame:
    """Better than chance, by far."""
    chance = np.random.default_rng(1).uniform(0.1, 0.6, len(examples)) + 0.3 * examples["label"].to_numpy()
    frame = examples.select("note_id", "subject_id", pl.lit(task).alias("task"), "split", "label")
    columns = np.column_stack([1 - chance, chance]).tolist()
    return frame.with_columns(pl.Series("probabilities", columns)).filter(pl.col("split").is_in(["test", SPLIT]))


class Finetuned:
    """A store with one finetuned and evaluated model, and its version in MLflow."""

    def __init__(self, folder: Path, database: Path) -> None:  # noqa: F811
        self.settings: Settings = load_settings("tiny")
        self.store = ArtifactStore(root=str(folder / "artifacts"))
        uri = f"sqlite:///{shutil.copyfile(database, folder / 'mlflow.db')}"
        self.tracking = Tracking(tracking_uri=uri, ui_url="", artifact_root=str(folder / "mlflow"), dagster_url="")
        self.client = self.tracking._client()
        self.examples = synthetic_examples(TASK)
        self.run_id = self.client.create_run(
            self.client.create_experiment("finetune", str(folder / "mlflow"))
        ).info.run_id
        self.write_data()
        self.write_model(steps=321)

    def write_data(self) -> None:
        def write_examples(work: Path) -> dict[str, Any]:
            self.examples.write_parquet(work / "examples.parquet")
            return {"switched_off": ""}

        def write_tables(work: Path) -> dict[str, Any]:
            counts = self.examples.group_by("split", "label").agg(
                num_notes=pl.len(), num_patients=pl.col("subject_id").n_unique()
            )
            counts.with_columns(task=pl.lit(TASK)).write_parquet(work / "cohort_counts.parquet")
            steps = [("notes of the right type", 1234), ("discharged within the study windows", len(self.examples))]
            rows = [
                {
                    "task": TASK,
                    "step_number": i,
                    "step": step,
                    **{f"num_{unit}_left": num for unit in ("notes", "encounters", "patients")},
                }
                for i, (step, num) in enumerate(steps)
            ]
            pl.DataFrame([*rows, {**rows[0], "task": "readmission"}]).write_parquet(work / "cohort_attrition.parquet")
            return {}

        self.store.build(f"{TASK}_examples", write_examples)
        self.store.build("warehouse", write_tables)
        self.store.build("hospital_exports", lambda work: {"num_rows": {"notes": 987654}, "synthetic": True})

        def write_base(work: Path) -> dict[str, Any]:
            (work / "job.json").write_text(json.dumps({"weights": {"notes_plus": 0.75, "web_text": 0.25}}))
            return {"tokens": 2_345_678, "num_parameters": 876_543, "trajectory": ["tokens-2345678"]}

        self.store.build(f"pretrained_model/{VARIANT}", write_base)

    def write_model(self, steps: int, evaluate: bool = True, recipe: str = RECIPE) -> None:
        base, examples = self.store.get(f"pretrained_model/{VARIANT}"), self.store.get(f"{TASK}_examples")
        name = f"finetuned_{recipe}/{VARIANT}"
        finetuning = Finetuning(
            artifact=name,
            title="",
            variant=VARIANT,
            recipe=recipe,
            base=base,
            examples=dict.fromkeys(tasks_of(recipe), examples),
        )
        job = job_config(self.settings, finetuning)

        def write(work: Path) -> dict[str, Any]:
            (work / "job.json").write_text(json.dumps(job))
            (work / "search.json").write_text(
                json.dumps([{"learning_rate": 3e-4, "val_micro_auroc": 0.654, "val_loss": 0.6}])
            )
            return {
                "steps": steps,
                "max_steps": job["training"]["max_steps"],
                "best_step": 300,
                "best_val_micro_auroc": 0.789,
                "train_notes": {TASK: 40},
                "mlflow_run_id": self.run_id,
            }

        model = self.store.build(name, write, inputs=[base], parameters={"steps": steps})
        tags = {"fingerprint": model.fingerprint}
        self.tracking.register(MODEL, model.path, self.run_id, tags)
        if evaluate:
            self.store.build(f"{recipe}_evaluation/{VARIANT}", self.write_evaluation, inputs=[model])

    def write_evaluation(self, work: Path) -> dict[str, Any]:
        rows = result_rows(predicted(self.examples), model=VARIANT, mode="finetuned", trained_on=TASK, num_resamples=30)
        (work / "rows.json").write_text(json.dumps(rows))
        record = {"model_sha256": "ab" * 32, "tasks": {TASK: {}}, "versions": {"torch": "2.13"}, "mlflow_run_id": "r2"}
        (work / "record.json").write_text(json.dumps(record))
        return {}

    def transfer(self, recipe: str = RECIPE, keep_own: bool = True) -> list[dict[str, Any]]:
        """The model is evaluated again, on `OTHER` as well or alone; the rows of that."""
        examples = synthetic_examples(OTHER)

        def write_examples(work: Path) -> dict[str, Any]:
            examples.write_parquet(work / "examples.parquet")
            return {"switched_off": ""}

        found = result_rows(
            predicted(examples, OTHER).filter(split=SPLIT),
            model=VARIANT,
            mode="finetuned",
            trained_on=recipe,
            num_resamples=30,
        )

        def write(work: Path) -> dict[str, Any]:
            self.write_evaluation(work)
            rows, record = (json.loads((work / name).read_text()) for name in ("rows.json", "record.json"))
            record["tasks"] = {**(record["tasks"] if keep_own else {}), OTHER: {}}
            (work / "rows.json").write_text(json.dumps([*(rows if keep_own else []), *found]))
            (work / "record.json").write_text(json.dumps(record))
            return {}

        self.store.build(f"{OTHER}_examples", write_examples)
        model = self.store.get(f"finetuned_{recipe}/{VARIANT}")
        self.store.build(
            f"{recipe}_evaluation/{VARIANT}", write, inputs=[model], parameters={"transfer": OTHER, "own": keep_own}
        )
        return [dict(row) for row in found]

    def analyze(self) -> None:
        common = {"task": TASK, "mode": RECIPE, "split": SPLIT, "n": 60, "value": 0.7, "low": 0.6, "high": 0.8}
        strata = [
            {**common, "attribute": "all", "group": "all", "is_worse": False},
            {**common, "attribute": "borough", "group": "Queens", "is_worse": True, "value": 0.512},
            {**common, "attribute": "borough", "group": "Bronx", "is_worse": False},
            {**common, "attribute": "borough", "group": "Other", "is_worse": False, "value": None},
        ]
        overlap = [{**common, "group": "new patients", "mean_age": 51.0}]
        for name, rows in (("strata", strata), ("patient_overlap", overlap)):
            other = [
                {**rows[0], "mode": "joint", "group": "of another model"},
                {**rows[-1], "task": OTHER, "group": "of another task", "value": 0.4, "is_worse": True},
            ]

            def write(work: Path, rows: Any = rows, other: Any = other) -> dict[str, Any]:
                (work / "rows.json").write_text(json.dumps([*rows, *other]))
                return {}

            self.store.build(f"{name}/{VARIANT}", write, inputs=[self.store.get(f"{RECIPE}_evaluation/{VARIANT}")])
        self.store.build(
            f"memorization/{VARIANT}",
            lambda work: {"verdict": "no canary stands out", "is_clean": True},
            inputs=[self.store.get(f"pretrained_model/{VARIANT}")],
        )
        self.store.build(
            f"elsewhere_evaluation/{VARIANT}/{RECIPE}",
            self.write_evaluation,
            inputs=[self.store.get(f"finetuned_{RECIPE}/{VARIANT}")],
        )

        def write_checks(work: Path) -> dict[str, Any]:
            checks = [
                {"name": "note_within_its_window", "passed": True, "message": "0 of 90", "numbers": {}, "table": []},
                {"name": "no_answer_phrase", "passed": False, "message": "3 of 90 notes", "numbers": {}, "table": []},
            ]
            (work / "checks.json").write_text(json.dumps(checks))
            return {"num_failed": 1}

        self.store.build(f"leak_checks/{TASK}", write_checks)

    def make(self) -> Any:
        (asset,) = cards.build_assets(self.settings)
        return dg.materialize(
            [asset], resources={"store": self.store, "tracking": self.tracking}, partition_key=VARIANT
        )

    @property
    def card(self) -> str:
        return self.card_of(RECIPE)

    def card_of(self, recipe: str) -> str:
        return (self.store.get(f"model_card/{VARIANT}/{recipe}").path / "card.md").read_text()

    def answers_of(self, recipe: str) -> dict[str, str]:
        facts = json.loads((self.store.get(f"model_card/{VARIANT}/{recipe}").path / "card.json").read_text())
        return {item["topic"]: item["text"] for item in facts["items"]}


@pytest.fixture
def finetuned(tmp_path: Path, database: Path) -> Finetuned:  # noqa: F811
    return Finetuned(tmp_path, database)


def test_synthetic_is_the_first_line_and_every_item_is_there(finetuned: Finetuned) -> None:
    assert finetuned.make().success
    lines = finetuned.card.splitlines()
    assert lines[0].startswith("**Synthetic data")
    for item in ITEMS:
        assert any(line.startswith(f"### {item.topic}") for line in lines)
    assert len([line for line in lines if line.startswith("### ")]) == len(ITEMS)


def test_numbers_are_those_of_the_files(finetuned: Finetuned) -> None:
    finetuned.make()
    rows = json.loads((finetuned.store.get(f"{RECIPE}_evaluation/{VARIANT}").path / "rows.json").read_text())
    auroc = next(row for row in rows if (row["metric"], row["split"]) == ("auroc", SPLIT))
    patients = f"({auroc['low_by_patient']:.3f} \N{EN DASH} {auroc['high_by_patient']:.3f})"
    for number in (
        f"{auroc['value']:.3f}",
        patients,
        "987,654",
        "2,345,678",
        "876,543",
        "321",
        "(0.789) at step 300 of 1,600; stopped early at step 321.",
        "3.00e-04: 0.654",
    ):
        assert number in finetuned.card
    # The flow is of its task alone.
    assert finetuned.card.count("| notes of the right type | 1,234 |") == 1
    assert f"| {TASKS[TASK].title} | train |" in finetuned.card
    assert "ab" * 32 in finetuned.card
    assert f"{MODEL} version 1" in finetuned.card


def test_settings_are_those_of_the_job(finetuned: Finetuned) -> None:
    """Not the profile's: a joint run has five times its steps, and the profile may have been edited since."""
    finetuned.write_model(steps=9, recipe="joint")
    asked = finetuned.settings.finetune
    finetuned.make()
    assert f'"max_steps": {5 * asked.max_steps}' in finetuned.card_of("joint")
    assert f'"max_steps": {asked.max_steps}' in finetuned.card
    assert f"its first {asked.note_tokens} tokens" in finetuned.card
    assert "notes_plus (weight 0.75), web_text (weight 0.25)" in finetuned.card
    before = {recipe: finetuned.card_of(recipe) for recipe in ("joint", RECIPE)}
    edited = {"max_steps": 7, "warmup_steps": 1, "note_tokens": 11, "weight_decay": 0.5, "lora": None}
    variant = finetuned.settings.variants[VARIANT].model_copy(update={"mixture": {"notes": 1.0}})
    finetuned.settings = finetuned.settings.model_copy(
        update={
            "finetune": asked.model_copy(update=edited),
            "variants": {**finetuned.settings.variants, VARIANT: variant},
        }
    )
    finetuned.make()
    assert {recipe: finetuned.card_of(recipe) for recipe in before} == before


def test_a_base_that_had_no_job_was_made_elsewhere_or_never_trained(finetuned: Finetuned) -> None:
    for summary, words in (({"folder": "/models/x"}, "made elsewhere"), ({"tokens": 0}, "untrained")):
        base = finetuned.store.build(
            f"pretrained_model/{VARIANT}", lambda work, held=summary: held, parameters={"summary": summary}
        )
        assert cards.base_of(base)["origin"] == words


def test_what_was_not_run_says_which_asset_would(finetuned: Finetuned) -> None:
    (check,) = finetuned.make().get_asset_check_evaluations()
    assert not check.passed
    for asset in ("strata", "patient_overlap", "elsewhere_evaluation", "memorization", "TASK_examples"):
        assert f"Not measured. The asset `{asset}` would." in finetuned.card
        assert asset in str(check.description)
    # Nobody's card claims an approval.
    assert finetuned.card.count(HOSPITAL) == 3


def test_what_was_run_is_told_of_this_model_alone(finetuned: Finetuned) -> None:
    finetuned.analyze()
    (check,) = finetuned.make().get_asset_check_evaluations()
    assert "strata" not in str(check.description)
    assert "borough Queens" in finetuned.card
    assert "| Queens: 0.512 (0.600 \N{EN DASH} 0.800), 60 notes | Bronx: 0.700" in finetuned.card
    assert "new patients" in finetuned.card
    assert "Of the base: no canary stands out." in finetuned.card
    assert "1 of 2 checks passed; failed: no answer phrase (3 of 90 notes)" in finetuned.card
    assert "of another model" not in finetuned.card
    assert "of another task" not in finetuned.card


def test_a_card_is_about_the_tasks_that_its_model_was_finetuned_on(finetuned: Finetuned) -> None:
    """`evaluate.transfer` asks a single-task model more than it was made for."""
    rows = finetuned.transfer()
    assert finetuned.make().success
    said = finetuned.answers_of(RECIPE)
    apart = said.pop("Transfer, not trained for it")
    assert len(said) == len(ITEMS) - 1
    assert [topic for topic, text in said.items() if TASKS[OTHER].title in text] == []
    assert all(TASKS[TASK].title in said[topic] for topic in ("Intended use", "Performance", "Calibration"))
    # The other task reads notes of another type, and a return to another hospital is nothing that this one could see.
    assert f"one note ({TASKS[TASK].note_type})" in said["Predictors"]
    assert "return" not in said["Limits"]
    auroc = next(row for row in rows if row["metric"] == "auroc")
    assert f"| {TASKS[OTHER].title} | {SPLIT} | {auroc['n']} | {auroc['value']:.3f} (" in apart
    assert TASKS[TASK].title not in apart
    described = finetuned.client.get_model_version(MODEL, "1").description
    assert TASKS[TASK].title in described
    assert TASKS[OTHER].title not in described


def test_of_a_joint_model_none_of_its_tasks_is_transfer(finetuned: Finetuned) -> None:
    finetuned.write_model(steps=9, recipe="joint")
    finetuned.transfer(recipe="joint")
    finetuned.make()
    said = finetuned.answers_of("joint")
    assert all(TASKS[task].title in said["Intended use"] for task in (TASK, OTHER))
    assert all(TASKS[task].title in said["Performance"] for task in (TASK, OTHER))
    assert said["Transfer, not trained for it"].startswith("Not asked")


def test_a_model_that_was_asked_other_tasks_alone_has_no_card(finetuned: Finetuned) -> None:
    finetuned.transfer(keep_own=False)
    with pytest.raises(dg.Failure, match="Nothing of lang1-tiny-notesplus is finetuned and evaluated yet"):
        finetuned.make()


def test_the_card_is_at_the_model_in_mlflow(finetuned: Finetuned) -> None:
    finetuned.make()
    version = finetuned.client.get_model_version(MODEL, "1")
    assert version.description.startswith("Synthetic data. ")
    assert f"AUROC on `{SPLIT}`" in version.description
    attached = {item.path for item in finetuned.client.list_artifacts(finetuned.run_id, "model_card")}
    assert attached == {"model_card/card.md", "model_card/card.json"}


def test_no_card_is_of_an_evaluation_of_an_earlier_model(finetuned: Finetuned) -> None:
    finetuned.write_model(steps=400, evaluate=False)
    with pytest.raises(dg.Failure, match="Nothing of lang1-tiny-notesplus is finetuned and evaluated yet"):
        finetuned.make()


def test_no_card_is_of_a_model_of_an_earlier_base(finetuned: Finetuned) -> None:
    finetuned.store.build(f"pretrained_model/{VARIANT}", lambda work: {}, parameters={"seed": 2})
    with pytest.raises(dg.Failure, match="Nothing of lang1-tiny-notesplus is finetuned and evaluated yet"):
        finetuned.make()


def test_what_was_measured_of_an_earlier_model_counts_as_not_measured(finetuned: Finetuned) -> None:
    finetuned.analyze()
    finetuned.write_model(steps=400)
    (check,) = finetuned.make().get_asset_check_evaluations()
    for asset in ("strata", "patient_overlap", "elsewhere_evaluation"):
        assert f"Not measured. The asset `{asset}` would." in finetuned.card
        assert asset in str(check.description)
    assert "Queens" not in finetuned.card
    # The base and the notes are as they were.
    assert "Of the base: no canary stands out." in finetuned.card
    assert "1 of 2 checks passed" in finetuned.card
    finetuned.analyze()
    finetuned.make()
    assert "borough Queens" in finetuned.card


def test_no_text_of_a_note_is_in_it(finetuned: Finetuned) -> None:
    finetuned.make()
    folder = finetuned.store.get(f"model_card/{VARIANT}/{RECIPE}").path
    for file in folder.iterdir():
        text = file.read_text()
        assert not any(note in text for note in finetuned.examples["text"] if len(note) > 30)
        assert not any(name in text for name in finetuned.examples["note_id"])


def test_a_table_is_a_table(finetuned: Finetuned) -> None:
    finetuned.analyze()
    finetuned.make()
    blocks = [block.splitlines() for block in finetuned.card.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 8
    for block in blocks:
        columns = {line.replace("\\|", "").count("|") for line in block}
        assert len(columns) == 1, block[0]
        assert len(block) > 2, block[0]
