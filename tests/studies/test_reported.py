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
from lang1_assets.settings.cohorts import Cohorts
from lang1_assets.studies.reported import made_so_far, parts_of
from tests.ops.report.sample import CARD, sample_claims
from tests.ops.study.sample import bars, lines

TRACKING: Any = SimpleNamespace(dagster_url="http://dagster", ui_url="http://mlflow")
SETTINGS: Any = SimpleNamespace(
    variants={"ours": None, "other": None}, recipes=("joint", "mortality"), main_variant="ours", cohorts=Cohorts()
)
GROUPS = [
    {"task": "readmission", "mode": "joint", "attribute": "sex", "group": group, "is_worse": False, "left_out": None}
    | {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 90}
    for group, value in (("F", 0.7), ("M", 0.8))
]
STRATA = {"rows.json": json.dumps(GROUPS)}


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
    build(store, "strata/ours", STRATA, ["joint_evaluation/ours"], mlflow_url="http://mlflow/3")
    build(store, "label_dependence", {"rows.json": "[]"}, switched_off="the source has no H&P notes")

    def make(work: Path) -> dict[str, Any]:
        write_figures((bars(), lines()), work)
        return {"mlflow_url": "http://mlflow/1", "missing": ["mortality_evaluation/ours", "zero_shot_evaluation/other"]}

    store.build("study/transfer", make, inputs=[store.get("joint_evaluation/ours")])
    judged = json.dumps([asdict(judged) for judged in sample_claims()])
    build(store, "claims", {"claims.json": judged}, ["study/transfer", "strata/ours", "label_dependence"])
    build(store, "model_card/ours/joint", {"card.md": CARD}, ["finetuned_joint/ours", "strata/ours"])
    summary = {"is_clean": False, "verdict": "3 of 20", "mlflow_url": "http://mlflow/2"}
    build(store, "memorization/other", {}, ["pretrained_model/other"], **summary)
    return store


def test_what_was_made_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = made_so_far(filled(tmp_path), SETTINGS)
    parts = parts_of(made, TRACKING, SETTINGS)
    study, dependence, strata = parts["studies"]
    assert (study.name, study.figures) == ("transfer", (bars(), lines()))
    assert (study.asset_url, study.mlflow_url) == ("http://dagster/assets/transfer", "http://mlflow/1")
    assert study.missing == ("Without: mortality_evaluation/ours, zero_shot_evaluation/other.",)
    assert (strata.name, strata.asset_url, strata.mlflow_url) == (
        "strata",
        "http://dagster/assets/strata",
        "http://mlflow/3",
    )
    (figure,) = strata.figures
    assert [(point.x, point.value, point.source) for point in figure.points] == [
        ("Sex: F", 0.7, "strata/ours"),
        ("Sex: M", 0.8, "strata/ours"),
    ]
    assert "AUROC on the 2024 test" in figure.caption
    assert (dependence.name, dependence.figures, dependence.mlflow_url) == ("label_dependence", (), None)
    assert dependence.missing == ("Switched off: the source has no H&P notes.",)
    assert parts["claims"] == sample_claims()
    assert [(card.variant, card.recipe, card.text) for card in parts["cards"]] == [("ours", "joint", CARD)]
    (held,) = parts["memorized"]
    assert (held.model, held.is_clean, held.figures) == ("other", False, ())
    assert sorted(item.name for item in made.artifacts) == [
        "claims",
        "label_dependence",
        "memorization/other",
        "model_card/ours/joint",
        "strata/ours",
        "study/transfer",
    ]
    assert made.left_out == ()


def test_what_tells_of_an_earlier_model_is_left_out_by_name(tmp_path: Path) -> None:
    store = filled(tmp_path)
    build(store, "finetuned_joint/ours", {}, ["pretrained_model/ours"], since=2)
    made = made_so_far(store, SETTINGS)
    assert [item.name for item in made.artifacts] == ["label_dependence", "memorization/other"]
    assert made.left_out == ("claims", "study/transfer", "strata/ours", "model_card/ours/joint")
    build(store, "pretrained_model/other", {}, since=2)
    made = made_so_far(store, SETTINGS)
    assert ([item.name for item in made.artifacts], made.left_out[3]) == (["label_dependence"], "memorization/other")


def test_a_study_whose_evaluation_is_gone_takes_the_claims_with_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    shutil.rmtree(store.path("joint_evaluation/ours"))
    made = made_so_far(store, SETTINGS)
    assert (made.studies, made.claims) == ({}, None)
    assert {"claims", "study/transfer"} <= set(made.left_out)


def test_findings_judged_from_an_analysis_of_other_notes_are_left_out_with_it(tmp_path: Path) -> None:
    """As a study is whose evaluation was made anew, also where no model was."""
    store = filled(tmp_path)
    build(store, "mortality_examples", {})
    build(store, "label_dependence", {"rows.json": "[]"}, ["mortality_examples"])
    build(store, "claims", {"claims.json": "[]"}, ["study/transfer", "label_dependence"], since=2)
    assert made_so_far(store, SETTINGS).left_out == ()
    build(store, "mortality_examples", {}, since=2)
    made = made_so_far(store, SETTINGS)
    assert made.left_out == ("claims", "label_dependence")
    assert (list(made.studies), list(made.analyses), made.claims) == (["transfer"], ["strata"], None)


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    made = made_so_far(ArtifactStore(root=str(tmp_path)), SETTINGS)
    assert made.artifacts == []
    assert not any(parts_of(made, TRACKING, SETTINGS).values())


def test_the_page_and_the_assets_are_of_the_same_studies() -> None:
    assert tuple(study.name for study in STUDIES) == STUDY_NAMES
