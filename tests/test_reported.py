"""What the report finds in the store of studies, claims, memorization and cards."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lang1_assets.ops.study.figure import write_figures
from lang1_assets.ops.study.names import STUDY_NAMES
from lang1_assets.ops.study.studies import STUDIES
from lang1_assets.reported import made_so_far, parts_of
from lang1_assets.resources.store import ArtifactStore
from tests.ops.report.sample import CARD, sample_claims
from tests.ops.study.sample import bars, lines

TRACKING: Any = SimpleNamespace(dagster_url="http://dagster", ui_url="http://mlflow")
SETTINGS: Any = SimpleNamespace(variants={"ours": None, "other": None}, recipes=("joint", "mortality"))


def build(store: ArtifactStore, name: str, files: dict[str, str], **summary: Any) -> None:
    def make(work: Path) -> dict[str, Any]:
        for file, text in files.items():
            (work / file).write_text(text)
        return summary

    store.build(name, make)


def filled(root: Path) -> ArtifactStore:
    store = ArtifactStore(root=str(root))

    def make(work: Path) -> dict[str, Any]:
        write_figures((bars(), lines()), work)
        return {"mlflow_url": "http://mlflow/1"}

    store.build("study/transfer", make)
    build(store, "claims", {"claims.json": json.dumps([asdict(judged) for judged in sample_claims()])})
    build(store, "model_card/ours/joint", {"card.md": CARD})
    build(store, "memorization/other", {}, is_clean=False, verdict="3 of 20", mlflow_url="http://mlflow/2")
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


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    made = made_so_far(ArtifactStore(root=str(tmp_path)), SETTINGS)
    assert made.artifacts == []
    assert not any(parts_of(made, TRACKING).values())


def test_the_page_and_the_assets_are_of_the_same_studies() -> None:
    assert tuple(study.name for study in STUDIES) == STUDY_NAMES
