"""The model in service through its asset: who takes over, who does not, and what a person and MLflow are told."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.operation import serve
from lang1_assets.ops import succession
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking, registered_name
from lang1_assets.settings import Settings, load_settings
from tests.mlflow_database import database  # noqa: F401
from tests.ops.test_succession import predictions

FIRST, SECOND, THIRD = "lang1-tiny-notesplus-webtexts", "lang1-tiny-notesplus", "lang1-tiny-notes"
MODEL = registered_name("tiny", "joint")
IN_SERVICE = "model_in_service/joint"


class Hospital:
    """A store and an MLflow of their own, with finetuned and evaluated models of chosen skill."""

    def __init__(self, folder: Path, database: Path) -> None:  # noqa: F811
        tiny = load_settings("tiny")
        self.settings: Settings = tiny.model_copy(
            update={"evaluate": tiny.evaluate.model_copy(update={"num_resamples": 200})}
        )
        self.store = ArtifactStore(root=str(folder / "artifacts"))
        self.tracking = Tracking(
            tracking_uri=f"sqlite:///{shutil.copyfile(database, folder / 'mlflow.db')}",
            ui_url="http://127.0.0.1:5000",
            artifact_root=str(folder / "mlflow"),
            dagster_url="http://127.0.0.1:3000",
        )

    def finetune(
        self, variant: str, skill: float, val: float = 0.7, seed: int = 1, evaluate: bool = True, recipe: str = "joint"
    ) -> None:
        def write(work: Path) -> dict[str, Any]:
            (work / "model").mkdir(exist_ok=True)
            (work / "model" / "weights").write_text(f"{variant} {skill} {seed}")
            return {"best_val_micro_auroc": val}

        model = self.store.build(
            f"finetuned_{recipe}/{variant}", write, parameters={"skill": skill, "seed": seed, "val": val}
        )
        client = self.tracking._client()
        run = client.create_run("0").info.run_id
        tags = {"fingerprint": model.fingerprint, "variant": variant, "finetuned": model.created}
        self.tracking.register(registered_name("tiny", recipe), model.path / "model", run, tags)
        if evaluate:
            self.evaluate(variant, skill, seed, recipe=recipe)

    def evaluate(
        self, variant: str, skill: float, seed: int, frame: pl.DataFrame | None = None, recipe: str = "joint"
    ) -> None:
        def write(work: Path) -> dict[str, Any]:
            (predictions(skill, seed) if frame is None else frame).write_parquet(work / "predictions.parquet")
            for name in ("rows.json", "record.json"):
                (work / name).write_text(json.dumps([variant, skill]))
            return {}

        parameters = {"skill": skill, "seed": seed, "changed": frame is not None}
        inputs = [self.store.get(f"finetuned_{recipe}/{variant}")]
        self.store.build(f"{recipe}_evaluation/{variant}", write, inputs=inputs, parameters=parameters)

    def decide(self, recipe: str = "joint") -> dict[str, Any]:
        (asset,) = serve.build_assets(self.settings)
        result = dg.materialize(
            [asset], partition_key=recipe, resources={"store": self.store, "tracking": self.tracking}
        )
        metadata = result.asset_materializations_for_node("model_in_service")[0].metadata
        return {name: item.value for name, item in metadata.items()}

    @property
    def serving(self) -> str:
        return str(self.store.get(IN_SERVICE).summary["variant"])

    @property
    def weights(self) -> str:
        return (self.store.get(IN_SERVICE).path / "model" / "weights").read_text()

    @property
    def decisions(self) -> dict[str, str]:
        text = (self.store.get(IN_SERVICE).path / "decisions.json").read_text()
        return {decision["variant"]: decision["decision"] for decision in json.loads(text)}

    def tags(self, variant: str) -> dict[str, str]:
        """Of the newest version of a variant."""
        versions = self.tracking._client().search_model_versions(f"name = '{MODEL}'")
        found = [version for version in versions if version.tags["variant"] == variant]
        return dict(max(found, key=lambda version: int(version.version)).tags)

    @property
    def versions(self) -> list[Any]:
        """The oldest first."""
        found = self.tracking._client().search_model_versions(f"name = '{MODEL}'")
        return sorted(found, key=lambda version: int(version.version))

    @property
    def weights_by_alias(self) -> str:
        """What somebody loads who asks MLflow for the model in service."""
        version = self.tracking._client().get_model_version_by_alias(MODEL, "in_service")
        return (Path(version.source) / "weights").read_text()

    @property
    def alias(self) -> str:
        return str(self.tracking._client().get_model_version_by_alias(MODEL, "in_service").tags["variant"])


@pytest.fixture
def hospital(tmp_path: Path, database: Path) -> Hospital:  # noqa: F811
    return Hospital(tmp_path, database)


def test_the_first_one_is_the_best_on_validation(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 1.0, val=0.7)
    hospital.finetune(SECOND, 1.0, val=0.8, seed=2)
    shown = hospital.decide()
    assert (hospital.serving, hospital.alias) == (SECOND, SECOND)
    assert hospital.decisions == {SECOND: succession.FIRST, FIRST: succession.UNDECIDED}
    assert "the best on validation (0.800)" in shown["decisions"]
    # Third, after both candidates: that of the copy that serves.
    assert shown["registered_as"] == f"{MODEL} version 3"


def test_even_the_first_one_is_not_chosen_by_validation_alone(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 0.2, val=0.9)
    hospital.finetune(SECOND, 2.0, val=0.6, seed=2)
    hospital.decide()
    assert hospital.serving == SECOND


def test_a_better_one_takes_over_and_a_worse_one_does_not(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 1.0)
    hospital.decide()
    hospital.finetune(SECOND, 0.1, val=0.99, seed=2)
    hospital.decide()
    assert (hospital.serving, hospital.decisions[SECOND]) == (FIRST, succession.WORSE)
    hospital.finetune(THIRD, 2.0, val=0.5, seed=3)
    shown = hospital.decide()
    assert (hospital.serving, hospital.alias) == (THIRD, THIRD)
    assert hospital.decisions == {FIRST: succession.THE_SAME, SECOND: succession.WORSE, THIRD: succession.BETTER}
    assert hospital.tags(THIRD)["decision"] == succession.BETTER
    assert hospital.tags(THIRD)["decision.against"] == FIRST
    assert "mean AUROC over 2 task(s) +" in hospital.tags(THIRD)["decision.reason"]
    assert "In-hospital mortality" in shown["decisions"]
    assert hospital.weights == f"{THIRD} 2.0 3"


def test_one_that_is_not_shown_to_be_better_waits(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 1.0)
    hospital.decide()
    hospital.finetune(SECOND, 1.0, val=0.99, seed=2)
    hospital.decide()
    assert (hospital.serving, hospital.decisions[SECOND]) == (FIRST, succession.UNDECIDED)


def test_of_two_better_ones_the_better_one(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 0.3)
    hospital.decide()
    hospital.finetune(SECOND, 3.0, seed=2)
    hospital.finetune(THIRD, 1.5, seed=3)
    hospital.decide()
    assert hospital.decisions == {FIRST: succession.THE_SAME, SECOND: succession.BETTER, THIRD: succession.LESS_BETTER}
    assert hospital.serving == SECOND


def test_nothing_new_is_no_new_decision(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 1.0)
    hospital.decide()
    hospital.finetune(SECOND, 2.0, seed=2)
    hospital.decide()
    before = hospital.store.get(IN_SERVICE)
    assert hospital.decide()["status"] == "up to date, reused"
    after = hospital.store.get(IN_SERVICE)
    assert (before.fingerprint, before.created) == (after.fingerprint, after.created)
    assert hospital.decisions[SECOND] == succession.BETTER


def test_what_serves_outlives_a_worse_one_of_the_same_variant(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 2.0)
    hospital.decide()
    hospital.finetune(FIRST, 0.2, val=0.99, seed=5)
    hospital.decide()
    assert hospital.decisions == {FIRST: succession.WORSE}
    assert hospital.weights == f"{FIRST} 2.0 1"
    assert hospital.weights_by_alias == f"{FIRST} 2.0 1"
    # And from there it still goes on.
    hospital.finetune(FIRST, 4.0, seed=6)
    hospital.decide()
    assert hospital.weights == hospital.weights_by_alias == f"{FIRST} 4.0 6"


def test_the_alias_leads_to_the_weights_that_serve_before_the_next_decision_too(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 2.0)
    hospital.decide()
    hospital.finetune(FIRST, 0.2, val=0.99, seed=5)
    assert hospital.weights_by_alias == f"{FIRST} 2.0 1"
    hospital.decide()
    before = len(hospital.versions)
    hospital.decide()
    assert len(hospital.versions) == before
    assert hospital.weights_by_alias == f"{FIRST} 2.0 1"
    # What was finetuned last is the candidate, not the copy that serves.
    candidate = hospital.tracking._client().get_model_version_by_alias(MODEL, "candidate")
    assert Path(candidate.source) == hospital.store.get(f"finetuned_joint/{FIRST}").path / "model"


def test_the_version_that_serves_says_what_its_original_says(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 2.0)
    hospital.decide()
    client = hospital.tracking._client()
    original, kept = hospital.versions
    assert {**original.tags, "kept": "true"} == kept.tags
    assert (kept.run_id, kept.version) == (
        original.run_id,
        client.get_model_version_by_alias(MODEL, "in_service").version,
    )
    hospital.tracking.attach_card(MODEL, str(original.version), original.run_id, "the card", [])
    assert [version.description for version in hospital.versions] == ["the card"] * 2


def test_one_that_can_no_longer_be_compared_is_replaced(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 2.0)
    hospital.decide()
    other_notes = predictions(1.0, 2).with_columns(note_id=pl.concat_str(pl.lit("new-"), "note_id"))
    hospital.finetune(FIRST, 1.0, seed=2, evaluate=False)
    hospital.evaluate(FIRST, 1.0, 2, frame=other_notes)
    shown = hospital.decide()
    assert hospital.decisions == {FIRST: succession.FIRST}
    assert "can no longer be compared" in shown["decisions"]
    assert hospital.weights == f"{FIRST} 1.0 2"


def test_an_evaluation_of_an_earlier_model_does_not_count(hospital: Hospital) -> None:
    hospital.finetune(FIRST, 2.0)
    hospital.finetune(FIRST, 3.0, seed=9, evaluate=False)
    with pytest.raises(dg.Failure, match="No finetuned joint model that is evaluated yet"):
        hospital.decide()


def test_a_model_that_mlflow_forgot_still_serves(hospital: Hospital, tmp_path: Path) -> None:
    hospital.finetune(FIRST, 1.0)
    hospital.tracking = Tracking(
        **{**hospital.tracking.model_dump(), "tracking_uri": f"sqlite:///{tmp_path / 'new.db'}"}
    )
    assert hospital.decide()["registered_as"] == f"{MODEL} version unknown"
    assert hospital.serving == FIRST


def test_each_recipe_has_a_model_in_service_of_its_own(hospital: Hospital) -> None:
    operating = hospital.settings.operate.model_copy(update={"recipes": ("joint", "mortality")})
    hospital.settings = hospital.settings.model_copy(update={"operate": operating})
    hospital.finetune(FIRST, 1.0)
    hospital.finetune(SECOND, 1.0, recipe="mortality")
    hospital.decide()
    shown = hospital.decide("mortality")
    assert hospital.serving == FIRST
    found = hospital.store.get("model_in_service/mortality").summary
    assert (found["variant"], found["recipe"]) == (SECOND, "mortality")
    assert shown["registered_as"] == f"{registered_name('tiny', 'mortality')} version 2"
    assert hospital.alias == FIRST


def test_a_single_task_model_is_judged_on_its_own_task(hospital: Hospital) -> None:
    """Better at everything else by far, and worse at what it serves for."""
    operating = hospital.settings.operate.model_copy(update={"recipes": ("mortality",)})
    hospital.settings = hospital.settings.model_copy(update={"operate": operating})
    hospital.finetune(FIRST, 1.5, recipe="mortality")
    hospital.decide("mortality")
    hospital.finetune(SECOND, 0.1, seed=2, recipe="mortality", evaluate=False)
    own = predictions(0.1, 2).filter(task="mortality")
    others = predictions(5.0, 2).filter(pl.col("task") != "mortality")
    assert not others.is_empty()
    hospital.evaluate(SECOND, 0.1, 2, frame=pl.concat([own, others]), recipe="mortality")
    hospital.decide("mortality")
    held = hospital.store.get("model_in_service/mortality")
    assert held.summary["variant"] == FIRST
    told = {one["variant"]: one for one in json.loads((held.path / "decisions.json").read_text())}
    assert told[SECOND]["decision"] == succession.WORSE
    assert [row["task"] for row in told[SECOND]["tasks"]] == ["mortality"]
