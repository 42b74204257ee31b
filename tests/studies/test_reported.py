"""What the report finds in the store of studies, claims, memorization and cards."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lang1_assets.ops.study.figure import write_figures
from lang1_assets.ops.study.names import STUDY_NAMES
from lang1_assets.ops.study.studies import STUDIES
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.studies.reported import made_so_far, parts_of
from tests.ops.report.sample import CARD, sample_claims
from tests.ops.study.sample import bars, lines

TRACKING: Any = SimpleNamespace(dagster_url="http://dagster", ui_url="http://mlflow")
SETTINGS: Any = SimpleNamespace(variants={"ours": None, "other": None}, recipes=("joint", "mortality"))


def build(
    store: ArtifactStore, name: str, files: dict[str, str], inputs: Sequence[str] = (), since: int = 1, **summary: Any
) -> None:
    def make(work: Path) -> dict[str, Any]:
        for file, text in files.items():
            (work / file).write_text(text)
        return summary

    store.build(name, make, inputs=[store.get(source) for source in inputs], parameters={"since": since})


def filled(root: Path) -> ArtifactStore:
    store = ArtifactStore(root=str(root))
    for variant in ("ours", "other"):
        build(store, f"pretrained_model/{variant}", {})
    build(store, "finetuned_joint/ours", {}, ["pretrained_model/ours"])
    build(store, "joint_evaluation/ours", {}, ["finetuned_joint/ours"])
    build(store, "strata/ours", {}, ["joint_evaluation/ours"])

    def make(work: Path) -> dict[str, Any]:
        write_figures((bars(), lines()), work)
        return {"mlflow_url": "http://mlflow/1"}

    store.build("study/transfer", make, inputs=[store.get("joint_evaluation/ours")])
    judged = json.dumps([asdict(judged) for judged in sample_claims()])
    build(store, "claims", {"claims.json": judged}, ["study/transfer"])
    build(store, "model_card/ours/joint", {"card.md": CARD}, ["finetuned_joint/ours", "strata/ours"])
    summary = {"is_clean": False, "verdict": "3 of 20", "mlflow_url": "http://mlflow/2"}
    build(store, "memorization/other", {}, ["pretrained_model/other"], **summary)
    return store


def test_what_was_made_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = made_so_far(filled(tmp_path), SETTINGS)
    parts = parts_of(made, TRACKING)
    (study,) = parts["studies"]
    assert (study.name, study.figures) == ("transfer", (bars(), lines()))
    assert (study.asset_url, study.mlflow_url) == ("http://dagster/assets/transfer", "http://mlflow/1")
    assert parts["claims"] == sample_claims()
    assert [(card.variant, card.recipe, card.text) for card in parts["cards"]] == [("ours", "joint", CARD)]
    (held,) = parts["memorized"]
    assert (held.model, held.is_clean, held.figures) == ("other", False, ())
    assert sorted(item.name for item in made.artifacts) == [
        "claims",
        "memorization/other",
        "model_card/ours/joint",
        "study/transfer",
    ]
    assert made.left_out == ()


def test_what_tells_of_an_earlier_model_is_left_out_by_name(tmp_path: Path) -> None:
    store = filled(tmp_path)
    build(store, "finetuned_joint/ours", {}, ["pretrained_model/ours"], since=2)
    made = made_so_far(store, SETTINGS)
    assert [item.name for item in made.artifacts] == ["memorization/other"]
    assert made.left_out == ("claims", "study/transfer", "model_card/ours/joint")
    build(store, "pretrained_model/other", {}, since=2)
    made = made_so_far(store, SETTINGS)
    assert (made.artifacts, made.left_out[2]) == ([], "memorization/other")


def test_a_study_whose_evaluation_is_gone_takes_the_claims_with_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    shutil.rmtree(store.path("joint_evaluation/ours"))
    made = made_so_far(store, SETTINGS)
    assert (made.studies, made.claims) == ({}, None)
    assert {"claims", "study/transfer"} <= set(made.left_out)


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    made = made_so_far(ArtifactStore(root=str(tmp_path)), SETTINGS)
    assert made.artifacts == []
    assert not any(parts_of(made, TRACKING).values())


def test_the_page_and_the_assets_are_of_the_same_studies() -> None:
    assert tuple(study.name for study in STUDIES) == STUDY_NAMES
